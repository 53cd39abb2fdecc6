//! What would admit a denied flow: the smallest rule, or the rule of the cluster that stands in its way.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use ipnet::IpNet;
use peerwalk_model::{Direction, Protocol};

use crate::cluster::Pod;
use crate::cluster_policy::Tier;
use crate::decision::{Cause, Decision, RuleRef};
use crate::flow::PeerKind;
use crate::selector::{Operator, Requirement, Selector};

/// Labels that controllers put on pods to tell replicas and revisions apart.
const OF_ONE_REPLICA: [&str; 11] = [
    "pod-template-hash",
    "rollouts-pod-template-hash",
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

/// Labels that people change with every release.
const OF_ONE_RELEASE: [&str; 2] = ["app.kubernetes.io/version", "helm.sh/chart"];

/// A rule that, added to the namespace of the subject, would admit the flow in one direction. Prints as
/// `ingress from namespace shop, pods app=web, port 5432/TCP`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmittingRule {
    /// Ingress or egress.
    pub direction: Direction,
    /// The namespace that the policy belongs into.
    pub namespace: String,
    /// The pods that it would select by their labels: the subject and its siblings. Empty means all of the namespace.
    pub subject: BTreeMap<String, String>,
    /// What else they have to meet. With it, all of them are isolated already, by one policy that isolates the subject.
    pub also: Vec<Requirement>,
    /// The one item of `from` or `to`.
    pub peer: AdmittingPeer,
    /// Protocol of the one item of `ports`.
    pub protocol: Protocol,
    /// Port of the one item of `ports`.
    pub port: u16,
    /// No NetworkPolicy isolates the subject so far: this one does, and so ends everything else in this direction, of every
    /// pod that it selects and no other policy isolates. Where it is false, it takes nothing away from anybody.
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
    /// For each direction that denies, what would let the flow pass; all of them are needed. Rules have all labels of pods
    /// but those that tell replicas and releases apart, so that they hold for all replicas and for little else. There is
    /// none where the other end counts as its node and its address is not known.
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
            also: self.direction(direction).isolated_within.clone(),
            peer: self.admitting_peer(direction)?,
            protocol: self.flow.protocol,
            port: self.flow.port,
            isolates: self.direction(direction).tier != Some(Tier::NetworkPolicy),
        })
    }

    fn admitting_peer(&self, direction: Direction) -> Option<AdmittingPeer> {
        let peer = self.flow.peer(direction);
        match &peer.kind {
            PeerKind::Pod(pod) if self.profile.sees_as_pod(pod) => {
                Some(AdmittingPeer::Pods { namespace: pod.namespace.clone(), labels: telling_labels(pod) })
            }
            PeerKind::Pod(pod) if pod.ips.is_empty() => None,
            _ => Some(AdmittingPeer::IpBlock(IpNet::from(peer.ip.to_canonical()))),
        }
    }
}

/// The labels of a pod by which a rule would select it and its siblings.
pub(crate) fn telling_labels(pod: &Pod) -> BTreeMap<String, String> {
    let without = |dropped: &dyn Fn(&str) -> bool| -> BTreeMap<String, String> {
        let labels = pod.labels.iter().filter(|(key, _)| !dropped(key));
        labels.map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    let telling = without(&|key| OF_ONE_REPLICA.contains(&key) || OF_ONE_RELEASE.contains(&key));
    // What holds until the next release alone is better than what is about all pods.
    if telling.is_empty() { without(&|key| OF_ONE_REPLICA.contains(&key)) } else { telling }
}

/// What pods with the telling labels of a pod have to meet beyond these to be among those that one of these selectors
/// selects, all of which select the pod. Of several the one that asks most, but for labels of one replica.
pub(crate) fn within<'a>(pod: &Pod, selectors: impl Iterator<Item = &'a Selector>) -> Vec<Requirement> {
    let labels = telling_labels(pod);
    // The pod meets it, so its label alone may make sure of it.
    let is_met = |requirement: &Requirement| {
        requirement.operator != Operator::DoesNotExist && labels.contains_key(&requirement.key)
    };
    let beyond = selectors.map(|selector| {
        let mut beyond: Vec<Requirement> = Vec::new();
        for requirement in selector.requirements.iter().filter(|requirement| !is_met(requirement)) {
            if !beyond.contains(requirement) {
                beyond.push(requirement.clone());
            }
        }
        beyond
    });
    let of_one_replica = |beyond: &[Requirement]| {
        beyond.iter().filter(|requirement| OF_ONE_REPLICA.contains(&requirement.key.as_str())).count()
    };
    beyond.min_by_key(|beyond| (of_one_replica(beyond), Reverse(beyond.len()))).unwrap_or_default()
}
