//! What a walk leaves behind: raw per stage, never pre-judged.

pub mod after;
pub mod connect;
pub mod place;
pub mod request;
pub mod resolve;
pub mod route;
mod signature;
pub mod strain;

use crate::Timestamp;
use crate::name::TargetKey;

pub use after::{AfterConnect, Connection, SmallSegments};
pub use connect::{Breaker, Connect, Dial, DialOutcome, DialPurpose, IcmpError, LocalPeer, MOMENT};
pub use place::{Hop, HopLimits, Neighbour, NeighbourState};
pub use request::{Request, RequestOutcome, Tls, TlsOutcome};
pub use resolve::{Pair, Query, QueryOutcome, Resolve, ResolveSource, Transport};
pub use route::{ProxyAttempt, ProxyUse, Route};
pub use signature::{digest, finding, signature};
pub use strain::{Shortage, Strain};

/// One source pod trying one target, stage by stage. A stage that was not reached is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct Walk {
    /// Which target.
    pub target: TargetKey,
    /// The generation of the plan it was made under.
    #[cfg_attr(feature = "serde", serde(default))]
    pub plan_generation: u64,
    /// Why it was made.
    #[cfg_attr(feature = "serde", serde(default))]
    pub trigger: Trigger,
    /// Whether more of the same walk is to come: a diagnosis reports at about 300 ms and again when it ends.
    #[cfg_attr(feature = "serde", serde(default))]
    pub interim: bool,
    /// Before the first packet.
    pub started: Timestamp,
    /// After the last one, or the moment of an interim report.
    pub ended: Timestamp,
    /// Name to addresses; `None` when the target is an address.
    #[cfg_attr(feature = "serde", serde(default))]
    pub resolve: Option<Resolve>,
    /// The proxy variables of the application's containers; `None` where they do not apply (plain TCP).
    #[cfg_attr(feature = "serde", serde(default))]
    pub route: Option<Route>,
    /// The direct dials.
    #[cfg_attr(feature = "serde", serde(default))]
    pub connect: Option<Connect>,
    /// The handshake of the direct way.
    #[cfg_attr(feature = "serde", serde(default))]
    pub tls: Option<Tls>,
    /// The exchange of the direct way.
    #[cfg_attr(feature = "serde", serde(default))]
    pub request: Option<Request>,
    /// What the kernel told of the direct connection, where its exchange got no answer.
    #[cfg_attr(feature = "serde", serde(default))]
    pub after: Option<AfterConnect>,
    /// The same through the proxy the variables name, when they name one.
    #[cfg_attr(feature = "serde", serde(default))]
    pub proxied: Option<ProxyAttempt>,
    /// The prober's own trouble, which voids the walk.
    #[cfg_attr(feature = "serde", serde(default))]
    pub local: Option<LocalTrouble>,
    /// How the prober itself fared, where it was hard pressed.
    #[cfg_attr(feature = "serde", serde(default))]
    pub strain: Option<Strain>,
}

/// Why a walk was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub enum Trigger {
    /// The interval.
    #[default]
    Interval,
    /// A change in the cluster that the hub told of, or a new plan.
    Event,
}

/// Trouble of the prober itself. It says nothing about the network.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct LocalTrouble {
    /// What it ran out of, such as `file descriptors` or `ephemeral ports`.
    pub what: String,
    /// The error number, Linux.
    pub errno: i32,
}

impl LocalTrouble {
    /// What is said when the sidecar's own budget for DNS queries is spent: no trouble of the pod.
    pub const BUDGET: &str = "the budget for DNS queries";
}

impl Walk {
    /// A walk with no evidence yet.
    pub fn begin(target: TargetKey, plan_generation: u64, trigger: Trigger, now: Timestamp) -> Self {
        Self {
            target,
            plan_generation,
            trigger,
            interim: false,
            started: now,
            ended: now,
            resolve: None,
            route: None,
            connect: None,
            tls: None,
            request: None,
            after: None,
            proxied: None,
            local: None,
            strain: None,
        }
    }

    /// Whether every address of a purpose was skipped for want of budget: all of the Service's own, or all behind it, or
    /// the proxy; or there was none left to ask for the name. Half of what makes a walk proves less than the whole
    /// one before it.
    pub fn is_short_of_budget(&self) -> bool {
        use DialPurpose::{Address, Endpoint, Proxy, ServiceAddress};
        if self.local.as_ref().is_some_and(|local| local.what == LocalTrouble::BUDGET) {
            return true;
        }
        let direct = self.connect.iter().flat_map(|connect| &connect.dials);
        let dials = direct.chain(self.proxied.iter().flat_map(|proxied| &proxied.dials));
        let allowed: Vec<_> = dials.filter(|dial| dial.outcome != DialOutcome::NotAllowed).collect();
        [ServiceAddress, Endpoint, Address, Proxy].into_iter().any(|purpose| {
            let mut of_it = allowed.iter().filter(|dial| dial.purpose == purpose).peekable();
            of_it.peek().is_some() && of_it.all(|dial| dial.outcome == DialOutcome::Skipped)
        })
    }

    /// Whether anything that was waited for in this walk did not come. What came as an answer, a refusal too, is true
    /// however the prober fared; this is not.
    pub fn waited_in_vain(&self) -> bool {
        let silent = |dials: &[Dial]| {
            let own = |dial: &&Dial| dial.purpose != DialPurpose::Control && dial.started >= self.started;
            dials.iter().filter(own).any(|dial| dial.outcome == DialOutcome::Silent)
        };
        // Of a name that was resolved in the end it is said that it is slow.
        let name = |resolve: &Resolve| {
            resolve.spent || resolve.queries.iter().any(|query| query.outcome == QueryOutcome::Timeout)
        };
        let exchange = |tls: Option<&Tls>, request: Option<&Request>| {
            tls.is_some_and(|tls| tls.outcome == TlsOutcome::Timeout)
                || request.is_some_and(|request| request.outcome == RequestOutcome::NoResponse)
        };
        self.connect.as_ref().is_some_and(|connect| silent(&connect.dials))
            || self.resolve.as_ref().is_some_and(name)
            || exchange(self.tls.as_ref(), self.request.as_ref())
            || self.proxied.as_ref().is_some_and(|proxied| {
                silent(&proxied.dials)
                    || exchange(proxied.tls.as_ref(), proxied.request.as_ref())
                    || (proxied.connect_status.is_none()
                        && proxied.request.is_none()
                        && proxied.dials.iter().any(|d| matches!(d.outcome, DialOutcome::Connected { .. })))
            })
    }
}
