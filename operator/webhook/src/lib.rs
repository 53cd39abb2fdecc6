//! The mutating webhook that injects the sidecar.
//!
//! A native sidecar gates the application's containers, so this crate is careful before it is useful: a
//! pod is read as raw JSON and never written back, the answer is a JSON Patch of our own additions, and
//! whatever goes wrong lets the pod pass unchanged.
//!
//! What is decided (`decide`), how large it may be (`room`), what is added (`patch`) and how it is served
//! (`server`) are separate: all but the last are functions of values.

pub mod config;
pub mod decide;
pub mod metrics;
pub mod namespaces;
pub mod patch;
pub mod pauses;
pub mod proxy_env;
mod review;
pub mod room;
pub mod server;
#[cfg(test)]
mod testing;

pub use config::{ConfigError, HubRoot, InjectConfig};
pub use decide::{Decision, Injection, NamespaceInfo, SkipReason, decide};
pub use metrics::WebhookMetrics;
pub use namespaces::Namespaces;
pub use pauses::{Pause, Pauses};
pub use server::serve;
