//! The faults by name, and what may be said meanwhile.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::faults::{api_server, certificates, leader, network, node, nothing, operator_killed, sidecar};
use crate::steady::Steady;

/// What a fault tells of itself.
#[derive(Default)]
pub struct Told {
    /// What was done, in counts.
    pub what: String,
    /// How long the slowest pod took to start that was made meanwhile.
    pub started: Option<Duration>,
    /// What was not as it should be.
    pub wrong: Vec<String>,
    /// Whether Unknown was the truth for a while, by what happened.
    pub may_doubt: bool,
}

impl Told {
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), ..Self::default() }
    }
}

/// The fault that needs no nodes and runs on a cluster without.
pub const RECONNECT: &str = "reconnect";
/// The one that begins with another version, on a cluster of its own.
pub const UPGRADE: &str = "upgrade";

/// Something that fails. `xtask/src/soak.rs` says of each what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Steady,
    OperatorKilled,
    LeaderPaused,
    ApiPaused,
    ApiKilled,
    WebhookDown,
    CertificatesRotated,
    HubWithoutEndpoints,
    HubCutOff,
    SidecarKilled,
    SidecarOutOfMemory,
    SidecarStarved,
    KubeletStopped,
}

impl Fault {
    pub const ALL: [Self; 13] = [
        Self::Steady,
        Self::OperatorKilled,
        Self::LeaderPaused,
        Self::ApiPaused,
        Self::ApiKilled,
        Self::WebhookDown,
        Self::CertificatesRotated,
        Self::HubWithoutEndpoints,
        Self::HubCutOff,
        Self::SidecarKilled,
        Self::SidecarOutOfMemory,
        Self::SidecarStarved,
        Self::KubeletStopped,
    ];

    pub fn named(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|fault| fault.name() == name);
        found.with_context(|| format!("there is no fault {name}: `cargo xtask soak --help` lists them"))
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::OperatorKilled => "operator-killed",
            Self::LeaderPaused => "leader-paused",
            Self::ApiPaused => "api-paused",
            Self::ApiKilled => "api-killed",
            Self::WebhookDown => "webhook-down",
            Self::CertificatesRotated => "certificates-rotated",
            Self::HubWithoutEndpoints => "hub-without-endpoints",
            Self::HubCutOff => "hub-cut-off",
            Self::SidecarKilled => "sidecar-killed",
            Self::SidecarOutOfMemory => "sidecar-out-of-memory",
            Self::SidecarStarved => "sidecar-starved",
            Self::KubeletStopped => "kubelet-stopped",
        }
    }

    /// The longest that it may last.
    pub fn at_most(self) -> Duration {
        match self {
            Self::OperatorKilled => Duration::from_mins(25),
            Self::Steady => Duration::from_mins(15),
            _ => Duration::from_mins(10),
        }
    }

    /// How soon everything has to be right again.
    pub fn right_within(self) -> Duration {
        match self {
            // A sidecar that ended several times is started again after up to 40 s.
            Self::SidecarKilled | Self::SidecarOutOfMemory => Duration::from_mins(2),
            // A sidecar looks for the hub every 30 s at the least.
            _ => Duration::from_secs(90),
        }
    }

    /// Whether Unknown is the truth while it lasts: nobody can say what a source pod reaches that nobody hears of.
    pub fn may_doubt(self) -> bool {
        match self {
            Self::Steady
            | Self::OperatorKilled
            | Self::LeaderPaused
            | Self::ApiPaused
            | Self::ApiKilled
            | Self::WebhookDown
            | Self::CertificatesRotated => false,
            Self::HubWithoutEndpoints
            | Self::HubCutOff
            | Self::SidecarKilled
            | Self::SidecarOutOfMemory
            | Self::SidecarStarved
            | Self::KubeletStopped => true,
        }
    }

    /// Whether the API server answers all the time, so that the observer sees every version.
    pub fn leaves_api(self) -> bool {
        !matches!(self, Self::ApiPaused | Self::ApiKilled)
    }

    /// Whether no process of the operator ends by it.
    pub fn leaves_operators(self) -> bool {
        let ended = [Self::OperatorKilled, Self::LeaderPaused, Self::HubWithoutEndpoints, Self::HubCutOff];
        !ended.contains(&self)
    }

    pub async fn play(self, steady: &Steady<'_>) -> Result<Told> {
        match self {
            Self::Steady => nothing::play(steady).await,
            Self::OperatorKilled => operator_killed::play(steady).await,
            Self::LeaderPaused => leader::paused(steady).await,
            Self::ApiPaused => api_server::paused(steady).await,
            Self::ApiKilled => api_server::killed(steady).await,
            Self::WebhookDown => network::webhook_down(steady).await,
            Self::CertificatesRotated => certificates::rotated(steady).await,
            Self::HubWithoutEndpoints => network::hub_without_endpoints(steady).await,
            Self::HubCutOff => network::hub_cut_off(steady).await,
            Self::SidecarKilled => sidecar::killed(steady).await,
            Self::SidecarOutOfMemory => sidecar::out_of_memory(steady).await,
            Self::SidecarStarved => sidecar::starved(steady).await,
            Self::KubeletStopped => node::kubelet_stopped(steady).await,
        }
    }
}

/// Undoes what a fault that was cut short may have left, as far as it goes.
pub fn put_back(steady: &Steady<'_>) {
    let nodes = steady.scene.nodes;
    for service in ["peerwalk-webhook", "peerwalk-hub"] {
        let _ = network::endpoints(nodes, service, true);
    }
    let _ = nodes.signal_api("CONT");
    let _ = nodes.signal_program("CONT", "kubelet-n2");
    for pod in nodes.holder().into_iter().flatten() {
        let _ = nodes.signal_operator("CONT", &pod);
    }
}
