//! Policies that select nothing, and items of rules that stand for nobody.

use std::sync::Arc;

use peerwalk_model::Direction;
use peerwalk_netpol::{ClusterPeer, Pod, PodSet, RulePeer, Selector};

use super::pods::Pods;
use super::{Code, Findings, Severity};

const REMEDY: &str = "correct the selector, or remove it; labels of pods are those of their template";
/// Where namespaces were not given.
const GIVE: &str = "give the Namespace too, with its labels, or correct the selector";

/// Where there may be pods another time.
const LATER: &str = "leave it if pods come there later, or are kept elsewhere; else correct the namespace";

pub fn check(found: &mut Findings<'_>, pods: &Pods) {
    // Without any pod nothing can be said of what selects them.
    if pods.is_empty() {
        return;
    }
    for policy in &found.cluster.policies {
        let (of, namespace) = (&policy.reference, &*policy.reference.namespace);
        let selected: Vec<&Arc<Pod>> = pods.of(namespace, &policy.subject).collect();
        let told = if !pods.are_in(namespace) {
            // Nothing is wrong with what is meant for later, as a policy that denies everything.
            Some((Severity::Note, unread(namespace), LATER))
        } else if selected.is_empty() {
            let message = format!("no pod of namespace {namespace} has {}", shown(&policy.subject));
            Some((Severity::Warning, message, REMEDY))
        } else if selected.iter().all(|pod| pod.host_network) {
            let message = "only host-network pods are selected: to most data planes these are their nodes, and no policy \
                           is about them"
                .to_owned();
            let remedy = "remove it, or let the pods have a network of their own";
            Some((Severity::Note, message, remedy))
        } else {
            None
        };
        if let Some((severity, message, remedy)) = told {
            found.add(severity, Code::SelectsNothing, (of, "spec.podSelector"), message, remedy);
        }
        for (way, index, rule) in super::rules::of(policy) {
            for (item, peer) in rule.peers.iter().enumerate() {
                let RulePeer::Pods { namespaces, pods: selector } = peer else { continue };
                let selected = pods.peers(namespace, namespaces.as_ref(), selector);
                let elsewhere = namespaces.as_ref().is_some_and(|of| pods.is_elsewhere(of));
                if elsewhere || selected.iter().any(|pod| !pod.host_network) {
                    continue;
                }
                let field = format!("spec.{way}[{index}].{}[{item}]", super::rules::peers_field(way));
                let (message, remedy) = if selected.is_empty() {
                    nobody(pods, namespace, namespaces.as_ref(), selector)
                } else {
                    let message = "only host-network pods are selected: most data planes know these by the addresses of \
                                   their nodes alone";
                    (message.to_owned(), "use an ipBlock with the addresses of the nodes")
                };
                found.add(Severity::Note, Code::PeerMatchesNothing, (of, field), message, remedy);
            }
        }
    }
    for policy in &found.cluster.cluster_policies {
        let of = &policy.reference;
        if pods.set(&policy.subject).is_empty() {
            let PodSet { namespaces, pods: selector } = &policy.subject;
            let (severity, message, remedy) = if let Some(names) = pods.unread(namespaces) {
                (Severity::Note, unread(&names.join(" and ")), LATER)
            } else if pods.is_sure(&policy.subject) {
                let message = "no pod is selected; host-network pods never are".to_owned();
                (Severity::Warning, message, REMEDY)
            } else {
                let (message, remedy) = nobody(pods, "", Some(namespaces), selector);
                (Severity::Note, message, remedy)
            };
            found.add(severity, Code::SelectsNothing, (of, "spec.subject"), message, remedy);
        }
        for way in [Direction::Ingress, Direction::Egress] {
            for (index, rule) in policy.rules(way).iter().enumerate() {
                for (item, peer) in rule.peers.iter().enumerate() {
                    let ClusterPeer::Pods(set) = peer else { continue };
                    if pods.set(set).is_empty() && !pods.is_elsewhere(&set.namespaces) {
                        let field = format!("spec.{way}[{index}].{}[{item}]", super::rules::peers_field(way));
                        let (message, remedy) = nobody(pods, "", Some(&set.namespaces), &set.pods);
                        found.add(Severity::Note, Code::PeerMatchesNothing, (of, field), message, remedy);
                    }
                }
            }
        }
    }
}

fn unread(namespace: &str) -> String {
    format!("namespace {namespace} has no pods among what was read")
}

/// Why nobody is selected, and what to do about it.
fn nobody(
    pods: &Pods,
    namespace: &str,
    namespaces: Option<&Selector>,
    selector: &Selector,
) -> (String, &'static str) {
    let Some(namespaces) = namespaces else {
        return (format!("no pod of namespace {namespace} has {}", shown(selector)), REMEDY);
    };
    if let Some(unsure) = pods.unsure(namespaces, selector) {
        let message = format!(
            "no namespace that was given has {}; of {unsure} the name alone is known",
            shown(namespaces)
        );
        return (message, GIVE);
    }
    let message = if pods.chosen(namespaces).next().is_none() {
        format!("no namespace among what was read has {}", shown(namespaces))
    } else {
        format!("no pod has {} in the namespaces with {}", shown(selector), shown(namespaces))
    };
    (message, REMEDY)
}

/// `app=web,tier in (a,b)`.
fn shown(selector: &Selector) -> String {
    if selector.requirements.is_empty() {
        return "any labels".to_owned();
    }
    let requirements: Vec<String> = selector.requirements.iter().map(ToString::to_string).collect();
    requirements.join(",")
}
