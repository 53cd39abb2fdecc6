//! One walk: resolve, route, connect, tls, request, and the evidence each leaves.

mod budget;
mod clock;
mod environment;
mod random;
mod resolve;
mod rules;
mod socket;

pub use clock::now;
pub use environment::{ContainerEnv, Environment, Family};
pub use rules::{DialRules, never};
