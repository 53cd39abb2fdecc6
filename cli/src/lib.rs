//! `kubectl peerwalk`: asks the policy engine about manifests or a live cluster, and reads the live checks.

pub mod args;
pub mod changes;
pub mod command;
pub mod end;
pub mod exit;
pub mod flows;
pub mod input;
pub mod lint;
pub mod pairs;
pub mod print;
pub mod profile;
pub mod progress;
pub mod sarif;
