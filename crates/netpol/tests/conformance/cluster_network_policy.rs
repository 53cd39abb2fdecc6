//! Runs the pokes of the conformance tests of ClusterNetworkPolicy (kubernetes-sigs/network-policy-api), in
//! `netpol/cnp/cases.json`: the policies in force, and who reaches whom.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::networking::v1::NetworkPolicy;
use peerwalk_netpol::{
    ClusterPolicy, Flow, NamedPort, Namespace, Node, Peer, Pod, Policy, PolicyIndex, Profile, Protocol,
    evaluate, lower,
};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Cases {
    pods: Vec<GivenPod>,
    nodes: Vec<GivenNode>,
    tests: Vec<Test>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GivenPod {
    namespace: String,
    name: String,
    labels: BTreeMap<String, String>,
    ip: IpAddr,
    host_network: bool,
    ports: Vec<GivenPort>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GivenPort {
    #[serde(default)]
    name: String,
    protocol: Protocol,
    container_port: u16,
}

#[derive(Deserialize)]
struct GivenNode {
    name: String,
    labels: BTreeMap<String, String>,
    addresses: Vec<IpAddr>,
}

#[derive(Deserialize)]
struct Test {
    test: String,
    phases: Vec<Phase>,
}

#[derive(Deserialize)]
struct Phase {
    policies: Vec<Value>,
    namespaces: BTreeMap<String, BTreeMap<String, String>>,
    pokes: Vec<Poke>,
}

#[derive(Deserialize)]
struct Poke {
    src: String,
    dst: String,
    protocol: Protocol,
    port: u16,
    expect: String,
}

#[test]
fn pokes_of_the_network_policy_api() {
    let Some(file) = crate::given("netpol/cnp/cases.json") else { return };
    let text = fs::read_to_string(&file).expect("the cases are readable");
    let cases: Cases = serde_json::from_str(&text).expect("the cases are of the known shape");
    let pods: BTreeMap<String, Peer> = cases.pods.into_iter().map(peer).collect();
    let nodes: Vec<Arc<Node>> = cases.nodes.into_iter().map(node).collect();
    let mut poked = 0;
    let mut wrong = Vec::new();
    for test in &cases.tests {
        for (position, phase) in test.phases.iter().enumerate() {
            let index = index(phase, &nodes);
            for poke in &phase.pokes {
                let flow = Flow {
                    source: pods[&poke.src].clone(),
                    destination: pods[&poke.dst].clone(),
                    protocol: poke.protocol,
                    port: poke.port,
                    service: None,
                };
                let expected = match poke.expect.as_str() {
                    "allow" => true,
                    "deny" => false,
                    other => panic!("{other} is no expectation"),
                };
                let decision = evaluate(&index, &flow, &Profile::UPSTREAM);
                poked += 1;
                if decision.is_allowed() != expected || decision.is_undecided() {
                    wrong.push(format!(
                        "{} phase {}: {flow} expects {}: {decision}",
                        test.test,
                        position + 1,
                        poke.expect
                    ));
                }
            }
        }
    }
    eprintln!("poked {poked} times");
    assert!(poked > 0, "{} should hold pokes", file.display());
    assert!(wrong.is_empty(), "the conformance tests expect otherwise:\n{}", wrong.join("\n"));
}

fn peer(given: GivenPod) -> (String, Peer) {
    let named = given.ports.into_iter().filter(|port| !port.name.is_empty());
    let named = named.map(|port| NamedPort {
        name: port.name,
        protocol: port.protocol,
        number: port.container_port,
        init: false,
    });
    let name = format!("{}/{}", given.namespace, given.name);
    let pod = Pod {
        namespace: given.namespace,
        name: given.name,
        labels: given.labels,
        ips: vec![given.ip],
        host_network: given.host_network,
        named_ports: named.collect(),
        ..Pod::default()
    };
    (name, Peer::pod(Arc::new(pod), given.ip))
}

fn node(given: GivenNode) -> Arc<Node> {
    Arc::new(Node { name: given.name, labels: given.labels, addresses: given.addresses })
}

fn index(phase: &Phase, nodes: &[Arc<Node>]) -> PolicyIndex {
    let namespaces = phase.namespaces.iter();
    let namespaces =
        namespaces.map(|(name, labels)| Namespace { name: name.clone(), labels: labels.clone() });
    let (mut policies, mut of_cluster): (Vec<Arc<Policy>>, Vec<Arc<ClusterPolicy>>) = Default::default();
    for object in &phase.policies {
        match object["kind"].as_str() {
            Some("NetworkPolicy") => {
                let object: NetworkPolicy = serde_json::from_value(object.clone()).expect("it decodes");
                policies.push(Arc::new(lower::network_policy(&object).expect("its policies are valid")));
            }
            Some("ClusterNetworkPolicy") => {
                of_cluster
                    .push(Arc::new(lower::cluster_network_policy(object).expect("its policies are valid")));
            }
            other => panic!("no policies of kind {other:?} are known"),
        }
    }
    PolicyIndex::new(namespaces, policies).with_cluster_policies(of_cluster).with_nodes(nodes.iter().cloned())
}
