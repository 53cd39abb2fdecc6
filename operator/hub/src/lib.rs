//! Where sidecars attach: streams, identity, plans out, evidence in.
//!
//! [`Hub::serve`] takes connections. What to walk goes in through [`HubHandle`], what was found comes out of
//! the receiver of [`HubEvent`]s that [`Hub::new`] returns. Who a sidecar is, an [`Authenticator`] says; the
//! hub itself knows no Kubernetes.
//!
//! What happens on a stream is decided by a state machine without I/O (`session.rs`), which `driver.rs` gives
//! frames, reviews, orders and the time.

mod authenticate;
mod config;
mod driver;
mod event;
mod expiry;
mod handle;
mod mailbox;
mod metrics;
mod rate;
mod registry;
mod reviews;
mod seats;
mod server;
mod session;
mod shared;
mod tls;

pub use authenticate::{AuthError, Authenticator};
pub use config::{Config, Rate};
pub use event::HubEvent;
pub use handle::{HubHandle, Role};
pub use metrics::Metrics;
pub use server::Hub;
pub use tls::server_config;
