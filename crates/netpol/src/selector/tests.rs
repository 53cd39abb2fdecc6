//! What selectors select.
