//! `kubectl peerwalk`: asks the policy engine about manifests or a live cluster, and reads the live checks.

pub mod args;
pub mod command;
pub mod exit;
