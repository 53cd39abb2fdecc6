//! Clusters of the shapes for which others have published numbers, the same for a seed on every machine.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use k8s_openapi::api::networking::v1::NetworkPolicy;
use peerwalk_netpol::{Namespace, Pod};
use serde_json::{Value, json};

/// A cluster as Kubernetes has it.
pub struct Shape {
    pub namespaces: Vec<Namespace>,
    pub pods: Vec<Arc<Pod>>,
    pub policies: Vec<NetworkPolicy>,
}

/// What a shape is called, and how large it is.
#[derive(Clone, Copy)]
pub enum Kind {
    /// Namespaces of 30 pods in 10 apps of 3, and 5 policies: a default deny (of one app in every
    /// second), three pairs of apps and one policy for the
    /// monitoring of another namespace.
    Apps { namespaces: u32 },
    /// Antrea's: namespaces of 4 pods and 3 policies, a default deny and two pairs of apps
    /// (`pkg/controller/networkpolicy/networkpolicy_controller_perf_test.go`).
    Pairs { namespaces: u32 },
    /// Antrea's: one namespace in which every policy selects all pods on both sides, here each with a port of its own.
    AllToAll { pods: u32, policies: u32 },
    /// kube-burner's `network-policy`: policies with 10 local pods, 5 namespaces with 5 pods, 5 CIDRs, 5 ports and
    /// 5 ranges of ports, in both directions.
    Burner { namespaces: u32, pods: u32, policies: u32 },
}

/// SplitMix64: small, and the same everywhere.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((mixed ^ (mixed >> 31)) % u64::from(end)).expect("below a u32")
    }

    /// So many different numbers below `end`.
    fn some(&mut self, count: usize, end: u32) -> Vec<u32> {
        let mut found: Vec<u32> = Vec::new();
        while found.len() < count.min(end as usize) {
            let number = self.below(end);
            if !found.contains(&number) {
                found.push(number);
            }
        }
        found
    }
}

impl Shape {
    pub fn new(kind: Kind, seed: u64) -> Self {
        let mut shape = Self { namespaces: Vec::new(), pods: Vec::new(), policies: Vec::new() };
        let mut random = Random::new(seed);
        match kind {
            Kind::Apps { namespaces } => shape.apps(namespaces, &mut random),
            Kind::Pairs { namespaces } => shape.pairs(namespaces),
            Kind::AllToAll { pods, policies } => shape.all_to_all(pods, policies),
            Kind::Burner { namespaces, pods, policies } => {
                shape.burner(namespaces, pods, policies, &mut random);
            }
        }
        shape
    }

    fn apps(&mut self, namespaces: u32, random: &mut Random) {
        for number in 0..namespaces {
            let namespace = self.namespace(number);
            for pod in 0..30 {
                self.pod(
                    &namespace,
                    format!("app-{}-{pod}", pod % 10),
                    &[("app", format!("app-{}", pod % 10))],
                );
            }
            let app = |number: u32| json!({ "matchLabels": { "app": format!("app-{number}") } });
            // Every second namespace is open but for what its other policies select.
            let denied = if number % 2 == 0 { json!({}) } else { app(9) };
            self.policy(
                &namespace,
                "default-deny",
                json!({ "podSelector": denied, "policyTypes": ["Ingress"] }),
            );
            for link in 0..3 {
                let server = 1 + 3 * link + random.below(3);
                let port = 8000 + random.below(100);
                let spec = json!({
                    "podSelector": app(server),
                    "policyTypes": ["Ingress"],
                    "ingress": [{ "from": [{ "podSelector": app(3 * link) }], "ports": [{ "port": port }] }],
                });
                self.policy(&namespace, &format!("link-{link}"), spec);
            }
            let other = random.below(namespaces);
            let spec = json!({
                "podSelector": app(random.below(10)),
                "policyTypes": ["Ingress"],
                "ingress": [{
                    "from": [{
                        "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": name(other) } },
                        "podSelector": app(random.below(10)),
                    }],
                    "ports": [{ "port": 9090 }],
                }],
            });
            self.policy(&namespace, "monitoring", spec);
        }
    }

    fn pairs(&mut self, namespaces: u32) {
        for number in 0..namespaces {
            let namespace = self.namespace(number);
            for app in ["client-1", "server-1", "client-2", "server-2"] {
                self.pod(&namespace, app.to_owned(), &[("app", app.to_owned())]);
            }
            self.policy(&namespace, "default-deny", json!({ "podSelector": {}, "policyTypes": ["Ingress"] }));
            for pair in 1..3 {
                self.policy(&namespace, &format!("pair-{pair}"), pair_spec(pair, 80));
            }
        }
    }

    fn all_to_all(&mut self, pods: u32, policies: u32) {
        let namespace = self.namespace(0);
        for pod in 0..pods {
            self.pod(&namespace, format!("pod-{pod}"), &[("app", "scale".to_owned())]);
        }
        for policy in 0..policies {
            let everyone = json!({ "matchLabels": { "app": "scale" } });
            let spec = json!({
                "podSelector": everyone,
                "policyTypes": ["Ingress"],
                "ingress": [{ "from": [{ "podSelector": everyone }], "ports": [{ "port": 1000 + policy }] }],
            });
            self.policy(&namespace, &format!("policy-{policy}"), spec);
        }
    }

    fn burner(&mut self, namespaces: u32, pods: u32, policies: u32, random: &mut Random) {
        for number in 0..namespaces {
            let namespace = self.namespace(number);
            for pod in 0..pods {
                self.pod(&namespace, format!("test-pod-{pod}"), &[("num", pod.to_string())]);
            }
            let any_of = |key: &str, values: Vec<String>| json!({ "matchExpressions": [{ "key": key, "operator": "In", "values": values }] });
            for policy in 0..policies {
                let numbers = |numbers: Vec<u32>| numbers.iter().map(ToString::to_string).collect();
                let mut rule = |peers: &str| {
                    let of = random.some(5, namespaces).into_iter().map(name).collect();
                    let mut items = vec![json!({
                        "namespaceSelector": any_of("kubernetes.io/metadata.name", of),
                        "podSelector": any_of("num", numbers(random.some(5, pods))),
                    })];
                    for _ in 0..5 {
                        let cidr = format!(
                            "{}.{}.{}.0/24",
                            11 + random.below(80),
                            random.below(256),
                            random.below(256)
                        );
                        items.push(json!({ "ipBlock": { "cidr": cidr } }));
                    }
                    let mut ports = Vec::new();
                    for _ in 0..5 {
                        let (single, first) = (1000 + random.below(1000), 2000 + random.below(30000));
                        ports.push(json!({ "port": single }));
                        ports.push(json!({ "port": first, "endPort": first + 5 }));
                    }
                    json!({ peers: items, "ports": ports })
                };
                let (from, to) = (rule("from"), rule("to"));
                let spec = json!({
                    "podSelector": any_of("num", numbers(random.some(10, pods))),
                    "policyTypes": ["Ingress", "Egress"],
                    "ingress": [from],
                    "egress": [to],
                });
                self.policy(&namespace, &format!("test-policy-{policy}"), spec);
            }
        }
    }

    fn namespace(&mut self, number: u32) -> String {
        let name = name(number);
        let labels = BTreeMap::from([("kubernetes.io/metadata.name".to_owned(), name.clone())]);
        self.namespaces.push(Namespace { name: name.clone(), labels });
        name
    }

    fn pod(&mut self, namespace: &str, name: String, labels: &[(&str, String)]) {
        let number = u32::try_from(self.pods.len()).expect("fewer pods than addresses");
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
        self.pods.push(Arc::new(Pod {
            namespace: namespace.to_owned(),
            uid: format!("{namespace}/{name}"),
            name,
            labels: labels.collect(),
            ips: vec![IpAddr::V4(Ipv4Addr::from(0x0a00_0001 + number))],
            node: Some(format!("node-{}", number / 100)),
            ..Pod::default()
        }));
    }

    fn policy(&mut self, namespace: &str, name: &str, spec: impl Into<Value>) {
        let metadata = json!({ "namespace": namespace, "name": name });
        let object = json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": metadata,
            "spec": spec.into(),
        });
        self.policies.push(serde_json::from_value(object).expect("a policy"));
    }

    /// The objects as a list, as `kubectl get --output json` writes it.
    pub fn manifests(&self) -> Vec<Value> {
        let namespaces = self.namespaces.iter().map(|namespace| {
            json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": { "name": namespace.name, "labels": namespace.labels },
            })
        });
        let pods = self.pods.iter().map(|pod| {
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": { "namespace": pod.namespace, "name": pod.name, "labels": pod.labels },
                "spec": { "nodeName": pod.node, "containers": [{ "name": "main", "image": "scale" }] },
                "status": {
                    "phase": "Running",
                    "hostIP": "192.0.2.1",
                    "podIP": pod.ips.first(),
                    "podIPs": pod.ips.iter().map(|ip| json!({ "ip": ip })).collect::<Vec<_>>(),
                },
            })
        });
        let policies = self.policies.iter().map(|policy| serde_json::to_value(policy).expect("a policy"));
        namespaces.chain(pods).chain(policies).collect()
    }
}

fn name(number: u32) -> String {
    format!("ns-{number}")
}

/// The policy of a pair of apps of [`Kind::Pairs`].
pub fn pair_spec(pair: u32, port: u16) -> Value {
    let app = |side: &str| json!({ "matchLabels": { "app": format!("{side}-{pair}") } });
    json!({
        "podSelector": app("server"),
        "policyTypes": ["Ingress"],
        "ingress": [{ "from": [{ "podSelector": app("client") }], "ports": [{ "port": port }] }],
    })
}
