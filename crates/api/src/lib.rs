//! The ConnectivityCheck resource: types, conditions, and the CRD made from them.
