//! The JSON and YAML form of an answer: a contract, see `docs/explain-output.md`.

use std::net::IpAddr;

use peerwalk_model::{Direction, Protocol};
use peerwalk_netpol::{
    Cause, Caveat, Decision, DirectionDecision, NearestMiss, Peer, PeerDifference, PolicyIndex, PolicyRef,
    PolicyStep, RuleStep, Verdict,
};
use serde::Serialize;
use serde_json::Value;

use super::{distinct, fix, unread};
use crate::flows::{self, Flows};

/// An answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// What is said of all flows together.
    pub verdict: Rollup,
    flows: Vec<Connection>,
    nearest_misses: Vec<Miss>,
    fix: Option<Value>,
    caveats: Vec<Open>,
    /// Policies that could not be read and may turn it.
    #[serde(skip)]
    unread: Vec<String>,
}

/// What is said of several flows together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Rollup {
    /// All are allowed.
    Allowed,
    /// All are denied.
    Denied,
    /// Some are allowed, and others denied.
    Partial,
    /// Nothing, or not all, can be said.
    Undecided,
}

/// One connection.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Connection {
    from: Source,
    to: Destination,
    via_service: Option<Via>,
    egress: Way,
    ingress: Way,
}

/// Who connects.
#[derive(Debug, Serialize)]
struct Source {
    pod: Option<String>,
    node: Option<String>,
    ip: Option<IpAddr>,
}

/// Who is connected to.
#[derive(Debug, Serialize)]
struct Destination {
    pod: Option<String>,
    node: Option<String>,
    ip: Option<IpAddr>,
    port: u16,
    protocol: Protocol,
}

/// The Service that the connection is opened to.
#[derive(Debug, Serialize)]
struct Via {
    namespace: String,
    name: String,
    port: u16,
}

/// One direction.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Way {
    verdict: &'static str,
    tier: Option<String>,
    cause: &'static str,
    exemption: Option<String>,
    decided_by: Vec<Decider>,
    chain: Vec<Link>,
}

/// Who decided.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Decider {
    #[serde(flatten)]
    policy: Policy,
    rule: Option<Rule>,
}

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Policy {
    kind: String,
    namespace: Option<String>,
    name: String,
}

/// A rule of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Rule {
    index: usize,
    name: Option<String>,
}

/// A policy that was asked.
#[derive(Debug, Serialize)]
struct Link {
    tier: String,
    #[serde(flatten)]
    policy: Policy,
    outcome: String,
    mismatch: Option<String>,
    rule: Option<Rule>,
    rules: Vec<Compared>,
}

/// A rule, compared with the flow.
#[derive(Debug, Serialize)]
struct Compared {
    #[serde(flatten)]
    rule: Rule,
    action: String,
    matches: bool,
    peer: Vec<String>,
    port: Vec<String>,
}

/// A rule that would have admitted it but for one thing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Miss {
    direction: &'static str,
    #[serde(flatten)]
    policy: Policy,
    rule: Rule,
    difference: String,
}

/// A point left open.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Open {
    code: String,
    message: String,
}

impl Report {
    /// Makes it of what was decided about each flow.
    pub fn new(flows: &Flows, decisions: &[Decision], index: &PolicyIndex) -> Self {
        let unread = unread::policies(index, decisions);
        let connections = flows.asked.iter().zip(decisions);
        let misses = decisions.iter().flat_map(|decision| {
            decision.denying_directions().flat_map(|direction| {
                decision
                    .direction(direction)
                    .nearest_misses
                    .iter()
                    .map(move |miss| self::miss(direction, miss))
            })
        });
        let caveats = decisions.iter().flat_map(|decision| decision.caveats.iter().copied());
        let caveats = caveats.map(|caveat| open(caveat, &unread));
        let undecided = flows
            .undecided
            .iter()
            .map(|reason| Open { code: "notKnown".to_owned(), message: reason.clone() });
        Self {
            verdict: rollup(flows, decisions),
            flows: connections.map(|(asked, decision)| connection(asked, decision)).collect(),
            nearest_misses: distinct(misses),
            fix: fix::object(&fix::policies(decisions)),
            caveats: distinct(undecided.chain(unplaced(decisions)).chain(caveats)),
            unread,
        }
    }

    /// What is left open, in words.
    pub fn caveat(&self, caveat: Caveat) -> String {
        open(caveat, &self.unread).message
    }
}

/// Where a block could have decided of a pod whose address is not known: a denial is then one without it.
pub fn unplaced_flows(decisions: &[Decision]) -> bool {
    let outside = |difference: &PeerDifference| match difference {
        PeerDifference::OutsideBlock { address, .. } | PeerDifference::OutsideNetworks { address, .. } => {
            address.is_unspecified()
        }
        _ => false,
    };
    decisions.iter().any(|decision| {
        decision.denying_directions().any(|direction| {
            let steps = &decision.direction(direction).steps;
            steps.iter().flat_map(|step| &step.rules).flat_map(|rule| &rule.peer).any(outside)
        })
    })
}

/// What is said about it.
pub const UNPLACED: &str = "whether a block holds the address of a pod that has none yet";

fn unplaced(decisions: &[Decision]) -> Option<Open> {
    let open = Open { code: "podAddressUnknown".to_owned(), message: UNPLACED.to_owned() };
    unplaced_flows(decisions).then_some(open)
}

/// What cannot be asked about, or what nobody can read, leaves the whole undecided: a confident answer about a part of it
/// would be taken for one about all.
fn rollup(flows: &Flows, decisions: &[Decision]) -> Rollup {
    let unclear = |decision: &Decision| decision.caveats.iter().any(|caveat| caveat.is_unknowable());
    if decisions.is_empty() || !flows.undecided.is_empty() || decisions.iter().any(unclear) {
        return Rollup::Undecided;
    }
    let allowed = decisions.iter().filter(|decision| decision.is_allowed()).count();
    match allowed {
        0 => Rollup::Denied,
        all if all == decisions.len() => Rollup::Allowed,
        _ => Rollup::Partial,
    }
}

fn connection(asked: &flows::Asked, decision: &Decision) -> Connection {
    let flow = &asked.flow;
    let (pod, node, ip) = end(&flow.source);
    let from = Source { pod, node, ip };
    let (pod, node, ip) = end(&flow.destination);
    Connection {
        from,
        to: Destination { pod, node, ip, port: flow.port, protocol: flow.protocol },
        via_service: asked.via.clone().map(|via| Via {
            namespace: via.namespace,
            name: via.name,
            port: via.port,
        }),
        egress: way(&decision.egress),
        ingress: way(&decision.ingress),
    }
}

fn end(peer: &Peer) -> (Option<String>, Option<String>, Option<IpAddr>) {
    let ip = (!peer.ip.is_unspecified()).then_some(peer.ip);
    match &peer.kind {
        peerwalk_netpol::PeerKind::Pod(pod) => (Some(format!("{}/{}", pod.namespace, pod.name)), None, ip),
        peerwalk_netpol::PeerKind::Node(node) => (None, Some(node.name.clone()), ip),
        peerwalk_netpol::PeerKind::External => (None, None, ip),
    }
}

fn way(decision: &DirectionDecision) -> Way {
    let (cause, exemption) = match decision.cause {
        Cause::RuleMatch => ("RuleMatch", None),
        Cause::NoRuleMatches => ("NoRuleMatches", None),
        Cause::Default => ("Default", None),
        Cause::Exempt(exemption) => ("Exempt", Some(exemption.to_string())),
    };
    Way {
        verdict: match decision.verdict {
            Verdict::Allowed => "Allowed",
            Verdict::Denied => "Denied",
        },
        tier: decision.tier.map(|tier| format!("{tier:?}")),
        cause,
        exemption,
        decided_by: decision
            .decided_by()
            .into_iter()
            .map(|by| Decider {
                policy: policy(&by.policy),
                rule: by.rule.map(|index| Rule { index, name: named(&by.name) }),
            })
            .collect(),
        chain: decision.steps.iter().map(link).collect(),
    }
}

fn policy(reference: &PolicyRef) -> Policy {
    Policy {
        kind: reference.kind.to_string(),
        namespace: named(&reference.namespace),
        name: reference.name.to_string(),
    }
}

/// What is empty is not there.
fn named(name: &str) -> Option<String> {
    (!name.is_empty()).then(|| name.to_owned())
}

fn link(step: &PolicyStep) -> Link {
    let matched = step.rules.iter().find(|rule| rule.matches());
    Link {
        tier: format!("{:?}", step.tier),
        policy: policy(&step.policy),
        outcome: match matched {
            Some(rule) => format!("{:?}", rule.action),
            None if step.tier == peerwalk_netpol::Tier::NetworkPolicy => "Isolates".to_owned(),
            None => "NoRuleMatches".to_owned(),
        },
        mismatch: step.mismatch().map(|mismatch| format!("{mismatch:?}")),
        rule: matched.map(|rule| Rule { index: rule.index, name: named(&rule.name) }),
        rules: step.rules.iter().map(compared).collect(),
    }
}

fn compared(rule: &RuleStep) -> Compared {
    Compared {
        rule: Rule { index: rule.index, name: named(&rule.name) },
        action: format!("{:?}", rule.action),
        matches: rule.matches(),
        peer: rule.peer.iter().map(ToString::to_string).collect(),
        port: rule.port.iter().map(ToString::to_string).collect(),
    }
}

fn miss(direction: Direction, miss: &NearestMiss) -> Miss {
    Miss {
        direction: match direction {
            Direction::Egress => "egress",
            Direction::Ingress => "ingress",
        },
        policy: policy(&miss.policy),
        rule: Rule { index: miss.rule, name: named(&miss.name) },
        difference: miss.difference.to_string(),
    }
}

fn open(caveat: Caveat, unread: &[String]) -> Open {
    let code = serde_json::to_value(caveat).ok().and_then(|code| Some(code.as_str()?.to_owned()));
    let message = match caveat {
        Caveat::UnreadablePolicy => format!("{caveat}: {}", unread.join(", ")),
        _ => caveat.to_string(),
    };
    Open { code: code.unwrap_or_default(), message }
}
