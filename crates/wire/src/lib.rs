//! The protocol between sidecar and hub, and its conversion to the model.
//!
//! Users see [`FromSidecar`] and [`FromHub`], made of the model's own types, and [`Frame`], which is one of
//! them encoded. The protobuf types stay inside. Nothing here reads a clock: `sent_at` and `received_at` are
//! arguments, and turn moments into ages and back.

mod delta;
mod error;
mod evidence;
mod field;
mod frame;
#[cfg(feature = "tonic")]
pub mod grpc;
mod handshake;
pub mod limits;
mod message;
mod peer;
mod plan;
mod proto;
mod report;

pub use delta::{DeltaError, PlanDelta};
pub use error::WireError;
pub use frame::Frame;
pub use handshake::{SUPPORTED, Versions, negotiate};
pub use message::{FromHub, FromSidecar, Hello, Refusal, RefusalCode, RetryReason, Transitions};
