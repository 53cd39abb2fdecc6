//! How sentences read.
