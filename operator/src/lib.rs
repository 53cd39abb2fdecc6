//! What the operator's binary is made of: the place where controller, hub and webhook meet.

pub mod args;
pub mod certificates;
pub mod http;
pub mod identity;
pub mod lease;
pub mod namespaces;
pub mod pki;
pub mod role;
pub mod run;
pub mod stages;
pub mod telemetry;
