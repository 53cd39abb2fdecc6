//! The form of a decision in files: what the operator writes and the one-shot probe reads. Of the pods, only what
//! explanations print. What follows from the rest is written for people, and held against it when read.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use peerwalk_model::Protocol;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::admit::telling_labels;
use crate::caveat::Caveat;
use crate::cluster::{Node, Pod};
use crate::decision::{Cause, Decision, DirectionDecision, Exemption, PolicyStep, Verdict};
use crate::evaluate::decision;
use crate::flow::{Flow, Peer, PeerKind};
use crate::profile::Profile;

/// A decision as it is written.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Record {
    source: End,
    destination: End,
    protocol: Protocol,
    port: u16,
    #[serde(default)]
    service: Option<SocketAddr>,
    #[serde(default)]
    profile: Profile,
    #[serde(default)]
    verdict: Option<Verdict>,
    egress: DirectionDecision,
    ingress: DirectionDecision,
    #[serde(default)]
    caveats: Option<BTreeSet<Caveat>>,
}

/// One end of the connection. With neither pod nor node it is outside the cluster.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct End {
    address: IpAddr,
    /// `namespace/name`.
    #[serde(default)]
    pod: Option<String>,
    /// The node whose own address it is.
    #[serde(default)]
    node: Option<String>,
    /// Labels of the pod by which a rule would select it.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    host_network: bool,
}

/// What of a record contradicts the rest.
#[derive(Debug, Error)]
pub(crate) enum Inconsistent {
    #[error("pod {0:?} is no namespace/name; write it as shop/web")]
    Pod(String),
    #[error(
        "verdict is {given:?}, and egress and ingress make it {follows:?}; correct one of them or leave verdict out"
    )]
    Verdict { given: Verdict, follows: Verdict },
    #[error(
        "caveats are {given:?}, and those of egress and ingress make them {follows:?}; correct them or leave them out"
    )]
    Caveats { given: BTreeSet<Caveat>, follows: BTreeSet<Caveat> },
    #[error(
        "{way}.verdict is {verdict:?}, which the cause {cause:?} contradicts; noRuleMatches denies, every other cause allows"
    )]
    Cause { way: &'static str, verdict: Verdict, cause: Cause },
    #[error("{way}.steps do not fit the cause {cause:?}: {remedy}")]
    Steps { way: &'static str, cause: Cause, remedy: &'static str },
}

impl From<Decision> for Record {
    fn from(decision: Decision) -> Self {
        Self {
            source: End::from(&decision.flow.source),
            destination: End::from(&decision.flow.destination),
            protocol: decision.flow.protocol,
            port: decision.flow.port,
            service: decision.flow.service,
            profile: decision.profile,
            verdict: Some(decision.verdict),
            egress: decision.egress,
            ingress: decision.ingress,
            caveats: Some(decision.caveats),
        }
    }
}

impl TryFrom<Record> for Decision {
    type Error = Inconsistent;

    fn try_from(record: Record) -> Result<Self, Inconsistent> {
        let flow = Flow {
            source: record.source.peer(&record.egress)?,
            destination: record.destination.peer(&record.ingress)?,
            protocol: record.protocol,
            port: record.port,
            service: record.service,
        };
        fits("egress", &record.egress)?;
        fits("ingress", &record.ingress)?;
        let made = decision(flow, record.profile, record.egress, record.ingress);
        match (record.verdict, record.caveats) {
            (Some(given), _) if given != made.verdict => {
                Err(Inconsistent::Verdict { given, follows: made.verdict })
            }
            (_, Some(given)) if given != made.caveats => {
                Err(Inconsistent::Caveats { given, follows: made.caveats })
            }
            _ => Ok(made),
        }
    }
}

/// Whether verdict, cause and steps of a direction are of one decision.
fn fits(way: &'static str, decided: &DirectionDecision) -> Result<(), Inconsistent> {
    let DirectionDecision { verdict, cause, steps, .. } = decided;
    let (verdict, cause) = (*verdict, *cause);
    if (verdict == Verdict::Denied) != (cause == Cause::NoRuleMatches) {
        return Err(Inconsistent::Cause { way, verdict, cause });
    }
    let admits = steps.iter().flat_map(PolicyStep::admitting).next().is_some();
    let wrong = |remedy| Err(Inconsistent::Steps { way, cause, remedy });
    match cause {
        Cause::RuleMatch if !admits => wrong("name the policy and the rule that admits"),
        Cause::NoRuleMatches if steps.is_empty() => wrong("name the policies that isolate"),
        Cause::NoRuleMatches if admits => wrong("a rule without peer and port differences admits"),
        Cause::Default | Cause::Exempt(_) if !steps.is_empty() => wrong("no policy takes part"),
        _ => Ok(()),
    }
}

impl From<&Peer> for End {
    fn from(peer: &Peer) -> Self {
        let outside =
            Self { address: peer.ip, pod: None, node: None, labels: BTreeMap::new(), host_network: false };
        match &peer.kind {
            PeerKind::Pod(pod) => Self {
                pod: Some(format!("{}/{}", pod.namespace, pod.name)),
                labels: telling_labels(pod),
                host_network: pod.host_network,
                ..outside
            },
            PeerKind::Node(node) => Self { node: Some(node.name.clone()), ..outside },
            PeerKind::External => outside,
        }
    }
}

impl End {
    /// The end, as the direction that it is the subject of tells whether it has finished.
    fn peer(self, subject: &DirectionDecision) -> Result<Peer, Inconsistent> {
        let kind = match (self.pod, self.node) {
            (Some(named), _) => {
                let Some((namespace, name)) = named.split_once('/') else {
                    return Err(Inconsistent::Pod(named));
                };
                PeerKind::Pod(Arc::new(Pod {
                    namespace: namespace.to_owned(),
                    name: name.to_owned(),
                    labels: self.labels,
                    ips: vec![self.address],
                    host_network: self.host_network,
                    finished: subject.cause == Cause::Exempt(Exemption::Finished),
                    ..Pod::default()
                }))
            }
            (None, Some(name)) => PeerKind::Node(Arc::new(Node { name, addresses: vec![self.address] })),
            (None, None) => PeerKind::External,
        };
        Ok(Peer { ip: self.address, kind })
    }
}

#[cfg(test)]
mod tests;
