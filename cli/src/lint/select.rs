//! Policies that select nothing, and items of rules that stand for nobody.

use peerwalk_model::Direction;
use peerwalk_netpol::{ClusterPeer, RulePeer, Selector};

use super::pods::Pods;
use super::{Code, Findings, Severity};

const REMEDY: &str = "correct the selector, or remove it; labels of pods are those of their template";

pub fn check(found: &mut Findings<'_>, pods: &Pods) {
    // Without any pod nothing can be said of what selects them.
    if pods.is_empty() {
        return;
    }
    for policy in &found.cluster.policies {
        let (of, namespace) = (&policy.reference, &*policy.reference.namespace);
        if pods.of(namespace, &policy.subject).next().is_none() {
            let message = format!("no pod of namespace {namespace} has {}", shown(&policy.subject));
            found.add(Severity::Warning, Code::SelectsNothing, (of, "spec.podSelector"), message, REMEDY);
        }
        for (way, index, rule) in super::rules::of(policy) {
            for (item, peer) in rule.peers.iter().enumerate() {
                let RulePeer::Pods { namespaces, pods: selector } = peer else { continue };
                if !pods.peers(namespace, namespaces.as_ref(), selector).is_empty() {
                    continue;
                }
                let field = format!("spec.{way}[{index}].{}[{item}]", super::rules::peers_field(way));
                let message = nobody(pods, namespace, namespaces.as_ref(), selector);
                found.add(Severity::Note, Code::PeerMatchesNothing, (of, field), message, REMEDY);
            }
        }
    }
    for policy in &found.cluster.cluster_policies {
        let of = &policy.reference;
        if pods.set(&policy.subject).is_empty() {
            let message = "no pod is selected; host-network pods never are";
            found.add(Severity::Warning, Code::SelectsNothing, (of, "spec.subject"), message, REMEDY);
        }
        for way in [Direction::Ingress, Direction::Egress] {
            for (index, rule) in policy.rules(way).iter().enumerate() {
                for (item, peer) in rule.peers.iter().enumerate() {
                    let ClusterPeer::Pods(set) = peer else { continue };
                    if pods.set(set).is_empty() {
                        let field = format!("spec.{way}[{index}].{}[{item}]", super::rules::peers_field(way));
                        let message = nobody(pods, "", Some(&set.namespaces), &set.pods);
                        found.add(Severity::Note, Code::PeerMatchesNothing, (of, field), message, REMEDY);
                    }
                }
            }
        }
    }
}

fn nobody(pods: &Pods, namespace: &str, namespaces: Option<&Selector>, selector: &Selector) -> String {
    match namespaces {
        None => format!("no pod of namespace {namespace} has {}", shown(selector)),
        Some(namespaces) if pods.chosen(namespaces).next().is_none() => {
            format!("no namespace has {}", shown(namespaces))
        }
        Some(namespaces) => {
            format!("no pod has {} in the namespaces with {}", shown(selector), shown(namespaces))
        }
    }
}

/// `app=web,tier in (a,b)`.
fn shown(selector: &Selector) -> String {
    if selector.requirements.is_empty() {
        return "any labels".to_owned();
    }
    let requirements: Vec<String> = selector.requirements.iter().map(ToString::to_string).collect();
    requirements.join(",")
}
