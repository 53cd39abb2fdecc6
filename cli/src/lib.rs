//! `kubectl peerwalk`: asks the policy engine about manifests or a live cluster, and reads the live checks.

mod age;
pub mod args;
pub mod changes;
mod check;
pub mod command;
pub mod connect;
pub mod end;
pub mod exit;
pub mod flows;
pub mod input;
pub mod lint;
pub mod live;
mod names;
pub mod pairs;
pub mod print;
pub mod profile;
pub mod progress;
pub mod sarif;
