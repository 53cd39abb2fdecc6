//! One walk: resolve, route, connect, tls, request, and the evidence each leaves.
//!
//! [`Prober::walk`] walks a [`peerwalk_model::plan::PlannedTarget`] in an [`Environment`], within a budget
//! that no plan can exceed. Nothing is judged here.

mod budget;
mod clock;
mod connect;
mod environment;
mod limits;
mod peer;
mod proxied;
mod random;
mod request;
mod resolve;
mod route;
mod rules;
mod socket;
mod strain;
mod tls;
mod url;
mod walk;
mod witness;

pub use clock::now;
pub use environment::{ContainerEnv, Environment, Family};
pub use peer::Peer;
pub use rules::DialRules;
pub use url::{Scheme, TargetUrl, UrlError};
pub use walk::Prober;
pub use witness::Witness;
