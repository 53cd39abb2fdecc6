//! The smallest rule that would admit a denied flow.

use std::collections::BTreeMap;

use ipnet::IpNet;
use peerwalk_model::{Direction, Protocol};

use crate::cluster::Pod;
use crate::decision::Decision;
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
    /// For each direction that denies, the rule that would admit the flow; all of them are needed. Only the
    /// labels by which people name an application are used, so that the rule holds for all replicas.
    pub fn admitting_rules(&self) -> Vec<AdmittingRule> {
        self.denying_directions().filter_map(|direction| self.admitting_rule(direction)).collect()
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
