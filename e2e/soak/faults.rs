//! What each fault does to the cluster, and undoes.

pub mod api_server;
pub mod certificates;
pub mod leader;
pub mod network;
pub mod node;
pub mod nothing;
pub mod operator_killed;
pub mod reconnect;
pub mod sidecar;
pub mod upgrade;
