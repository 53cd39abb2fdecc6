//! `kubectl peerwalk`: asks the policy engine about manifests or a live cluster, and reads the live checks.

mod age;
pub mod args;
mod check;
pub mod command;
pub mod connect;
pub mod exit;
pub mod hub;
pub mod live;
pub mod print;
pub mod progress;
