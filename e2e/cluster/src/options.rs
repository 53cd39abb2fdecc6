//! What a cluster can be asked to be.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

/// How [`crate::Cluster::up`] makes a cluster.
#[derive(Clone, Debug)]
pub struct Options {
    /// 0 is the control plane alone (API, webhooks, tokens), 1 or 2 have kubelets and pods.
    pub nodes: u8,
    /// What a packet gets that a policy denies; see [`crate::Cluster::set_deny`].
    pub deny: Deny,
    /// Whether addresses of pods that the enforcer does not know yet are denied. Off, a new pod is reachable for
    /// a moment before its policies hold, as with most network plugins.
    pub strict: bool,
    /// The cluster ends by itself after this time.
    pub max_life: Duration,
    /// Install missing Debian packages instead of failing with their names.
    pub install: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { nodes: 2, deny: Deny::Drop, strict: false, max_life: Duration::from_hours(4), install: false }
    }
}

/// What a packet gets that a NetworkPolicy denies, as its sender sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Deny {
    /// Silence: time-outs.
    Drop,
    /// ICMP port unreachable (3/3), for TCP and UDP: `ECONNREFUSED`.
    Reject,
    /// TCP RST, ICMP port unreachable for the rest: `ECONNREFUSED`.
    Reset,
    /// ICMP communication administratively prohibited (3/13): `EHOSTUNREACH`.
    Prohibited,
    /// Nothing: policies exist and have no effect.
    None,
}

impl Deny {
    /// Every mode, in the order in which help lists them.
    pub const ALL: [Self; 5] = [Self::Drop, Self::Reject, Self::Reset, Self::Prohibited, Self::None];

    /// The name in the enforcer's ConfigMap and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Reject => "reject",
            Self::Reset => "reset",
            Self::Prohibited => "prohibited",
            Self::None => "none",
        }
    }
}

impl fmt::Display for Deny {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Deny {
    type Err = anyhow::Error;

    fn from_str(s: &str) -> Result<Self> {
        match Self::ALL.into_iter().find(|d| d.as_str() == s) {
            Some(deny) => Ok(deny),
            None => bail!("no such deny mode: {s:?}; there are drop, reject, reset, prohibited and none"),
        }
    }
}
