//! Runs the truth tables of `upstream.yaml`, with every profile.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicySpec};
use peerwalk_netpol::{
    Caveat, Flow, NamedPort, Namespace, Peer, Pod, PolicyIndex, Profile, Protocol, Verdict, evaluate, lower,
};
use serde::Deserialize;

const NAMESPACES: [&str; 3] = ["x", "y", "z"];
const PODS: [&str; 3] = ["a", "b", "c"];
const PORTS: [u16; 2] = [80, 81];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Step {
    policies: Vec<GivenPolicy>,
    #[serde(default)]
    namespace_labels: BTreeMap<String, BTreeMap<String, String>>,
    /// By `namespace/name`.
    #[serde(default)]
    pod_labels: BTreeMap<String, BTreeMap<String, String>>,
    tables: Vec<Table>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenPolicy {
    name: String,
    #[serde(default = "namespace_x")]
    namespace: String,
    spec: NetworkPolicySpec,
}

fn namespace_x() -> String {
    "x".to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    port: u16,
    #[serde(default = "tcp")]
    protocol: String,
    expect: Vec<String>,
}

fn tcp() -> String {
    "TCP".to_owned()
}

#[derive(Clone, Copy, Debug)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn address(self, namespace: usize, pod: usize) -> IpAddr {
        let text = match self {
            Self::V4 => format!("10.244.{namespace}.{}", pod + 1),
            Self::V6 => format!("fd00:10:244::{namespace}:{}", pod + 1),
        };
        text.parse().expect("an address")
    }

    /// Whether a profile reads addresses of the family.
    fn is_read(self, profile: &Profile) -> bool {
        profile.ipv6 || matches!(self, Self::V4)
    }

    fn host_bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }
}

#[test]
fn truth_tables_of_sig_network() {
    for family in [Family::V4, Family::V6] {
        let cases: Vec<Case> =
            serde_saphyr::from_str(&with_addresses(family)).expect("upstream.yaml is readable");
        assert_eq!(cases.len(), 48, "every test of the file is transcribed");
        let mut wrong = Vec::new();
        for case in &cases {
            for (position, step) in case.steps.iter().enumerate() {
                let at = format!("{family:?}, {}, step {}", case.name, position + 1);
                run(family, step, &at, &mut wrong);
            }
        }
        assert!(wrong.is_empty(), "upstream expects otherwise:\n{}", wrong.join("\n"));
    }
}

/// The file, with the addresses of pods filled in.
fn with_addresses(family: Family) -> String {
    let mut text = include_str!("upstream.yaml").to_owned();
    for (n, namespace) in NAMESPACES.iter().enumerate() {
        for (p, pod) in PODS.iter().enumerate() {
            let address = family.address(n, p);
            let around = ipnet::IpNet::new(address, 4).expect("a prefix length").trunc();
            text = text.replace(&format!("{{{namespace}/{pod}}}/4"), &around.to_string());
            text = text.replace(
                &format!("\"{{{namespace}/{pod}}}\""),
                &format!("\"{address}/{}\"", family.host_bits()),
            );
        }
    }
    text
}

fn run(family: Family, step: &Step, at: &str, wrong: &mut Vec<String>) {
    let namespaces = NAMESPACES.iter().map(|name| Namespace {
        name: (*name).to_owned(),
        labels: step.namespace_labels.get(*name).cloned().unwrap_or_default(),
    });
    let policies = step.policies.iter().map(|given| {
        let mut object = NetworkPolicy { spec: Some(given.spec.clone()), ..NetworkPolicy::default() };
        object.metadata.name = Some(given.name.clone());
        object.metadata.namespace = Some(given.namespace.clone());
        Arc::new(lower::network_policy(&object).expect("upstream's policies are valid"))
    });
    let index = PolicyIndex::new(namespaces, policies);
    let pods = pods(family, step);
    for table in &step.tables {
        let expected: Vec<Expectation> = table.expect.iter().map(|line| Expectation::read(line)).collect();
        for (source, destination) in pairs(&pods) {
            let flow = Flow {
                source: source.clone(),
                destination: destination.clone(),
                protocol: protocol(&table.protocol),
                port: table.port,
                service: None,
            };
            let wanted = expected
                .iter()
                .rfind(|line| line.covers(&flow))
                .map_or(Verdict::Allowed, |line| line.verdict);
            for profile in Profile::ALL.iter().filter(|profile| family.is_read(profile)) {
                let decision = evaluate(&index, &flow, profile);
                // Blocks that hold pods and names of ports are tested here, and not all data planes pass
                // (cilium/cilium#9209, ovn-kubernetes/ovn-kubernetes#2117).
                let excused = decision.caveats.contains(&Caveat::PortName)
                    || (decision.caveats.contains(&Caveat::IpBlockOnPodAddress)
                        && !profile.ip_block_matches_pods);
                if decision.verdict != wanted && !excused {
                    wrong.push(format!("{at}, {}: {flow} should be {wanted}: {decision}", profile.name));
                }
            }
        }
    }
}

fn pods(family: Family, step: &Step) -> Vec<Peer> {
    let mut pods = Vec::new();
    for (n, namespace) in NAMESPACES.iter().enumerate() {
        for (p, name) in PODS.iter().enumerate() {
            let ip = family.address(n, p);
            let mut labels = BTreeMap::from([("pod".to_owned(), (*name).to_owned())]);
            labels.extend(step.pod_labels.get(&format!("{namespace}/{name}")).cloned().unwrap_or_default());
            let pod = Pod {
                namespace: (*namespace).to_owned(),
                name: (*name).to_owned(),
                labels,
                ips: vec![ip],
                named_ports: named_ports(),
                ..Pod::default()
            };
            pods.push(Peer::pod(Arc::new(pod), ip));
        }
    }
    pods
}

fn named_ports() -> Vec<NamedPort> {
    let protocols = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
    let named = |(number, protocol): (u16, Protocol)| NamedPort {
        name: format!("serve-{number}-{}", protocol.to_string().to_lowercase()),
        protocol,
        number,
        init: false,
    };
    PORTS.iter().flat_map(|port| protocols.map(|protocol| named((*port, protocol)))).collect()
}

fn protocol(name: &str) -> Protocol {
    match name {
        "TCP" => Protocol::Tcp,
        "UDP" => Protocol::Udp,
        "SCTP" => Protocol::Sctp,
        other => panic!("{other} is no protocol"),
    }
}

/// Every pair but those of a pod with itself.
fn pairs(pods: &[Peer]) -> impl Iterator<Item = (&Peer, &Peer)> {
    pods.iter()
        .flat_map(move |source| pods.iter().map(move |destination| (source, destination)))
        .filter(|(a, b)| a != b)
}

/// `x/a -> y denied`.
struct Expectation {
    source: String,
    destination: String,
    verdict: Verdict,
}

impl Expectation {
    fn read(line: &str) -> Self {
        let words: Vec<&str> = line.split(' ').collect();
        let [source, "->", destination, verdict] = words.as_slice() else { panic!("cannot read {line:?}") };
        let verdict = match *verdict {
            "allowed" => Verdict::Allowed,
            "denied" => Verdict::Denied,
            other => panic!("{other} is no verdict"),
        };
        Self { source: (*source).to_owned(), destination: (*destination).to_owned(), verdict }
    }

    fn covers(&self, flow: &Flow) -> bool {
        covers(&self.source, &flow.source) && covers(&self.destination, &flow.destination)
    }
}

/// `*` covers all pods, `x` those of the namespace, `x/a` the one.
fn covers(pattern: &str, peer: &Peer) -> bool {
    let name = peer.to_string();
    pattern == "*" || pattern == name || name.strip_prefix(pattern).is_some_and(|rest| rest.starts_with('/'))
}
