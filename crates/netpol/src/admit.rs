//! What would admit a denied flow: the smallest rule, or the rule of the cluster that stands in its way.

use std::collections::BTreeMap;

use ipnet::IpNet;
use peerwalk_model::{Direction, Protocol};

use crate::cluster::Pod;
use crate::cluster_policy::Tier;
use crate::decision::{Cause, Decision, RuleRef};
use crate::flow::PeerKind;

/// Labels by which people name an application. When a pod has any of them, they alone are used.
const IDENTIFYING: [&str; 5] =
    ["app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component", "app", "k8s-app"];

/// Labels that controllers put on pods to tell replicas and revisions apart.
const OF_ONE_REPLICA: [&str; 10] = [
    "pod-template-hash",
    "pod-template-generation",
    "controller-revision-hash",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/job-completion-index",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-name",
    "controller-uid",
    "job-name",
];

/// A rule that, added to the namespace of the subject, would admit the flow in one direction. Prints as
/// `ingress from namespace shop, pods app=web, port 5432/TCP`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmittingRule {
    /// Ingress or egress.
    pub direction: Direction,
    /// The namespace that the policy belongs into.
    pub namespace: String,
    /// The pods that it would select: the subject and its siblings. Empty means all of the namespace.
    pub subject: BTreeMap<String, String>,
    /// The one item of `from` or `to`.
    pub peer: AdmittingPeer,
    /// Protocol of the one item of `ports`.
    pub protocol: Protocol,
    /// Port of the one item of `ports`.
    pub port: u16,
    /// No NetworkPolicy isolates the subject so far: the first one also ends everything else in this direction that its
    /// rules do not admit.
    pub isolates: bool,
}

/// What would let a flow pass in a direction that denies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fix {
    /// A rule of a NetworkPolicy, added.
    Add(AdmittingRule),
    /// No NetworkPolicy can admit it, because a policy of the cluster denies before they are asked: that rule would have
    /// to change, or one before it accept the flow.
    Change {
        /// Ingress or egress.
        direction: Direction,
        /// The rule that denies.
        rule: RuleRef,
    },
}

/// Whom the rule would admit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdmittingPeer {
    /// Pods by their namespace (`kubernetes.io/metadata.name`) and labels; no labels means all of them.
    Pods {
        /// Namespace of the pods.
        namespace: String,
        /// Their labels.
        labels: BTreeMap<String, String>,
    },
    /// One address.
    IpBlock(IpNet),
}

impl Decision {
    /// For each direction that denies, what would let the flow pass; all of them are needed. Only the labels by which
    /// people name an application are used in rules, so that they hold for all replicas.
    pub fn fixes(&self) -> Vec<Fix> {
        self.denying_directions().filter_map(|direction| self.fix(direction)).collect()
    }

    /// The rules among the fixes.
    pub fn admitting_rules(&self) -> Vec<AdmittingRule> {
        let rules = self.fixes().into_iter().filter_map(|fix| match fix {
            Fix::Add(rule) => Some(rule),
            Fix::Change { .. } => None,
        });
        rules.collect()
    }

    fn fix(&self, direction: Direction) -> Option<Fix> {
        let decided = self.direction(direction);
        // What NetworkPolicies are not asked about, they cannot admit. A pod is not subject to its own either.
        let beyond = decided.tier == Some(Tier::Admin) || self.is_to_itself();
        match decided.decided_by().into_iter().next() {
            Some(rule) if decided.cause == Cause::RuleMatch && beyond => {
                Some(Fix::Change { direction, rule })
            }
            _ => self.admitting_rule(direction).map(Fix::Add),
        }
    }

    fn is_to_itself(&self) -> bool {
        let ends = self.flow.source.as_pod().zip(self.flow.destination.as_pod());
        ends.is_some_and(|(one, other)| one.is_same(other))
    }

    fn admitting_rule(&self, direction: Direction) -> Option<AdmittingRule> {
        let subject = self.flow.subject(direction).as_pod()?;
        Some(AdmittingRule {
            direction,
            namespace: subject.namespace.clone(),
            subject: telling_labels(subject),
            peer: self.admitting_peer(direction),
            protocol: self.flow.protocol,
            port: self.flow.port,
            isolates: self.direction(direction).tier != Some(Tier::NetworkPolicy),
        })
    }

    fn admitting_peer(&self, direction: Direction) -> AdmittingPeer {
        let peer = self.flow.peer(direction);
        match &peer.kind {
            PeerKind::Pod(pod) if self.profile.sees_as_pod(pod) => {
                AdmittingPeer::Pods { namespace: pod.namespace.clone(), labels: telling_labels(pod) }
            }
            _ => AdmittingPeer::IpBlock(IpNet::from(peer.ip.to_canonical())),
        }
    }
}

/// The labels of a pod by which a rule would select it and its siblings.
pub(crate) fn telling_labels(pod: &Pod) -> BTreeMap<String, String> {
    let only = |wanted: &dyn Fn(&str) -> bool| -> BTreeMap<String, String> {
        let labels = pod.labels.iter().filter(|(key, _)| wanted(key));
        labels.map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    let identifying = only(&|key| IDENTIFYING.contains(&key));
    if identifying.is_empty() { only(&|key| !OF_ONE_REPLICA.contains(&key)) } else { identifying }
}
