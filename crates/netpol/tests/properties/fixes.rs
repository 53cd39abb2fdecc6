//! What fixes do beside admitting the flow: they take nothing away, and give to nobody else.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicySpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use peerwalk_netpol::{AdmittingPeer, AdmittingRule, Flow, Peer, Pod, Profile, evaluate};
use proptest::collection::vec;
use proptest::prelude::*;

use super::generate::{cluster, selector};
use super::reference;

/// The end, and pods that have a label more, less or another than it.
fn alike(end: &Peer) -> Vec<Peer> {
    let mut found = vec![end.clone()];
    let Some(pod) = end.as_pod() else { return found };
    let mut with = |labels: BTreeMap<String, String>| {
        let name = format!("{}-{}", pod.name, found.len());
        let pod = Pod { name, labels, ..Pod::clone(pod) };
        found.push(Peer::pod(Arc::new(pod), end.ip));
    };
    for key in ["app", "tier", "team"] {
        for value in [None, Some("a"), Some("b")] {
            let mut labels = pod.labels.clone();
            match value {
                None => labels.remove(key),
                Some(value) => labels.insert(key.to_owned(), value.to_owned()),
            };
            with(labels);
        }
    }
    found
}

/// The flow between ends like its own, on its port and on another one.
fn like(flow: &Flow) -> Vec<Flow> {
    let (sources, destinations) = (alike(&flow.source), alike(&flow.destination));
    let pairs = sources.iter().flat_map(|source| destinations.iter().map(move |other| (source, other)));
    let flows = pairs.flat_map(|(source, destination)| {
        [flow.port, 81].map(|port| Flow {
            source: source.clone(),
            destination: destination.clone(),
            protocol: flow.protocol,
            port,
            service: None,
        })
    });
    flows.collect()
}

/// Whether both ends have all labels of those that were asked about.
fn is_about(rule: &AdmittingRule, flow: &Flow) -> bool {
    let has = |peer: &Peer, labels: &BTreeMap<String, String>| {
        peer.as_pod().is_some_and(|pod| labels.iter().all(|(key, value)| pod.labels.get(key) == Some(value)))
    };
    let subject_is = has(flow.subject(rule.direction), &rule.subject);
    let peer = flow.peer(rule.direction);
    let peer_is = match &rule.peer {
        AdmittingPeer::Pods { labels, .. } => has(peer, labels),
        AdmittingPeer::IpBlock(cidr) => cidr.contains(&peer.ip),
    };
    subject_is && peer_is && flow.port == rule.port
}

/// A policy that isolates what it selects, both ways.
fn isolating(namespace: &str, number: usize, selector: LabelSelector) -> NetworkPolicy {
    let mut object = NetworkPolicy {
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(selector),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ..NetworkPolicySpec::default()
        }),
        ..NetworkPolicy::default()
    };
    object.metadata.namespace = Some(namespace.to_owned());
    object.metadata.name = Some(format!("isolating-{number}"));
    object
}

proptest! {
    #[test]
    fn fixes_that_do_not_say_so_take_nothing_away(cluster in cluster(), selectors in vec(selector(), 2)) {
        let mut cluster = cluster;
        cluster.objects.truncate(2);
        for (number, (selector, namespace)) in selectors.into_iter().zip(["one", "two"]).enumerate() {
            cluster.objects.push(isolating(namespace, number, selector));
        }
        let index = cluster.index();
        for denied in &cluster.flows {
            let rules = evaluate(&index, denied, &Profile::UPSTREAM).admitting_rules();
            for rule in rules.into_iter().filter(|rule| !rule.isolates) {
                let text = rule.object().to_string();
                let object = serde_json::from_str(&text).expect("it is an object");
                let mut fixed = cluster.clone();
                fixed.objects.push(object);
                for flow in like(denied) {
                    let before = reference::allowed(&cluster, &flow, Profile::UPSTREAM);
                    let after = reference::allowed(&fixed, &flow, Profile::UPSTREAM);
                    prop_assert!(!before || after, "{flow:?} is denied after {text}");
                    prop_assert!(before || !after || is_about(&rule, &flow), "{flow:?} is allowed after {text}");
                }
            }
        }
    }
}
