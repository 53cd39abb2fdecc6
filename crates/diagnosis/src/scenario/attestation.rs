//! What sidecars of destination pods saw, as a scenario has it.

use std::net::SocketAddr;
use std::time::Duration;

use peerwalk_model::peer::{Listener, PeerSocket, Saw, Seen, Tuple};
use serde::Deserialize;

use super::scene::{SOURCE, at};
use super::yes;
use crate::Attestation;

/// What one pod held of dials from some source ports, 40000 where it does not say which.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ScenarioAttestation {
    who: String,
    #[serde(default = "yes")]
    endpoint: bool,
    #[serde(default = "looked")]
    at: i64,
    destination: SocketAddr,
    #[serde(default = "first_port")]
    ports: Vec<u16>,
    #[serde(default)]
    listener: ScenarioListener,
    socket: Option<ScenarioSocket>,
    #[serde(default)]
    overflows: u64,
    #[serde(default)]
    cookies: u64,
    #[serde(default)]
    always_cookies: bool,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ScenarioSocket {
    state: u8,
    /// Where its packets come from, if not from the source.
    from: Option<SocketAddr>,
    #[serde(default)]
    closed: bool,
    #[serde(default)]
    unread: u32,
    #[serde(default)]
    retransmits: u32,
    #[serde(default)]
    quiet: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum ScenarioListener {
    #[default]
    Unknown,
    Open,
    Full,
    Absent,
    Elsewhere(SocketAddr),
}

fn looked() -> i64 {
    102_200
}

fn first_port() -> Vec<u16> {
    vec![40_000]
}

impl ScenarioAttestation {
    pub(super) fn attestation(&self) -> Attestation {
        let listener = match self.listener {
            ScenarioListener::Unknown => Listener::Unknown,
            ScenarioListener::Open => Listener::Listens { queue: 0, backlog: 128 },
            ScenarioListener::Full => Listener::Listens { queue: 129, backlog: 128 },
            ScenarioListener::Absent => Listener::Absent { elsewhere: None },
            ScenarioListener::Elsewhere(address) => Listener::Absent { elsewhere: Some(address) },
        };
        let seen = |port: &u16| {
            let source = SocketAddr::new(SOURCE.parse().unwrap(), *port);
            let socket = self.socket.map(|socket| PeerSocket {
                source: socket.from.unwrap_or(source),
                state: socket.state,
                closed: socket.closed,
                unread: socket.unread,
                retransmits: socket.retransmits,
                quiet: Duration::from_millis(socket.quiet),
            });
            let tuple = Tuple { source, destination: self.destination, mss: None };
            Seen { tuple, socket, listener: listener.clone() }
        };
        Attestation {
            who: self.who.clone(),
            endpoint: self.endpoint,
            at: at(self.at),
            saw: Saw {
                seen: self.ports.iter().map(seen).collect(),
                listen_overflows: self.overflows,
                syn_cookies: self.cookies,
                always_cookies: self.always_cookies,
            },
        }
    }
}
