//! What must hold whatever is read: the same functions for the fuzzer (`fuzz/`) and for the plain test beside this.

use std::net::IpAddr;
use std::sync::Arc;

use peerwalk_manifests::{Cluster, Limits, Reader};
use peerwalk_netpol::{Flow, NamedPort, Peer, Pod, PolicyIndex, Profile, Protocol, evaluate};
use serde_json::{Value, json};

/// No text of a test is longer: what is bounded by the text's own length is not what is looked for.
const LIMITS: Limits = Limits { text: 1 << 20, depth: 64 };

/// Kinds that are lowered, with the versions that they have.
const KINDS: [(&str, &str); 4] = [
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy"),
    ("policy.networking.k8s.io/v1alpha1", "AdminNetworkPolicy"),
    ("policy.networking.k8s.io/v1alpha1", "BaselineAdminNetworkPolicy"),
];

/// A text of any bytes: whatever there is in it, what comes of it is bounded by its length, and can be shown and asked.
pub fn loader(text: &[u8]) {
    let mut reader = Reader::new(LIMITS);
    reader.text("input", text);
    let cluster = reader.finish();
    // What aliases repeat of a text is at most this many values.
    let most = text.len() + 200_000;
    let pods = cluster.workloads.iter().map(|workload| workload.pods.len());
    assert!(pods.sum::<usize>() <= most, "no more pods than text");
    assert!(cluster.problems.len() <= 8 * most, "no more problems than text: {}", cluster.problems.len());
    let longest = cluster.problems.iter().map(|problem| problem.to_string().len()).max();
    assert!(
        longest.unwrap_or_default() <= 4096 + 2 * text.len(),
        "problems are told in words, not in whole texts"
    );
    ask(&cluster);
}

/// The spec of a policy of each kind, as JSON: it is lowered, or told why not, and then decides.
pub fn lowering(spec: &[u8]) {
    let Ok(spec) = serde_json::from_slice::<Value>(spec) else { return };
    for (version, kind) in KINDS {
        let object = json!({
            "apiVersion": version, "kind": kind, "metadata": { "name": "given", "namespace": "a" }, "spec": spec,
        });
        let mut reader = Reader::new(LIMITS);
        reader.object("input", &object);
        let cluster = reader.finish();
        let read = cluster.policies.len() + cluster.cluster_policies.len();
        assert!(read == 1 || !cluster.problems.is_empty(), "{kind} is read, or told why it is not");
        assert!(read == 1 || !cluster.unreadable.is_empty(), "{kind} that is not read casts doubt");
        ask(&cluster);
    }
}

/// Two pods of different namespaces, and what is outside.
fn ends() -> [Peer; 4] {
    let pod = |namespace: &str, name: &str, ip: IpAddr, host_network: bool| {
        let port =
            |name: &str, init| NamedPort { name: name.into(), protocol: Protocol::Tcp, number: 80, init };
        let pod = Pod {
            namespace: namespace.into(),
            name: name.into(),
            labels: [("app".to_owned(), name.to_owned())].into(),
            ips: vec![ip],
            host_network,
            named_ports: vec![port("http", false), port("side", true)],
            ..Pod::default()
        };
        Peer::pod(Arc::new(pod), ip)
    };
    [
        pod("a", "web", [10, 0, 0, 1].into(), false),
        pod("b", "db", "fd00::2".parse().unwrap_or(IpAddr::from([10, 0, 0, 2])), false),
        pod("b", "node", [172, 18, 0, 2].into(), true),
        Peer::external([203, 0, 113, 7].into()),
    ]
}

/// Every pair of the ends is decided, the same twice, and told.
fn ask(cluster: &Cluster) {
    let index = PolicyIndex::new(cluster.namespaces.clone(), cluster.policies.iter().cloned())
        .with_cluster_policies(cluster.cluster_policies.iter().cloned())
        .with_unreadable(cluster.unreadable.iter().cloned());
    let ends = ends();
    for (source, destination) in ends.iter().flat_map(|from| ends.iter().map(move |to| (from, to))) {
        for (protocol, port) in [(Protocol::Tcp, 80), (Protocol::Udp, 53), (Protocol::Sctp, u16::MAX)] {
            let (source, destination) = (source.clone(), destination.clone());
            let flow = Flow { source, destination, protocol, port, service: None };
            let decision = evaluate(&index, &flow, &Profile::default());
            assert_eq!(
                decision,
                evaluate(&index, &flow, &Profile::default()),
                "the same question, the same answer"
            );
            let rules = decision.admitting_rules();
            let told =
                format!("{decision}{}", rules.iter().map(|rule| rule.item().to_string()).collect::<String>());
            assert!(!told.is_empty(), "a decision has words");
        }
    }
}
