//! Where sidecars attach: streams, identity, plans out, evidence in.
