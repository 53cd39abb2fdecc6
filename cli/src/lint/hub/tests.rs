//! Which workloads are cut off from the hub, and what would let them in.

use std::net::IpAddr;
use std::sync::Arc;

use peerwalk_manifests::{Cluster, Endpoint, Reader, Service, ServicePort, Workload, WorkloadName};
use peerwalk_netpol::lower::network_policy;
use peerwalk_netpol::{Namespace, Pod, Protocol};
use serde_json::{Value, json};

use crate::lint::{Code, findings};

fn pod(namespace: &str, app: &str, ip: &str, more: &[(&str, &str)]) -> Arc<Pod> {
    let labels = [("app", app)].into_iter().chain(more.iter().copied());
    Arc::new(Pod {
        namespace: namespace.into(),
        name: format!("{app}-1"),
        labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        ips: ip.parse().into_iter().collect(),
        ..Pod::default()
    })
}

fn workload(pod: Arc<Pod>) -> Workload {
    let name = pod.labels["app"].clone();
    let name = WorkloadName { namespace: pod.namespace.clone(), name, kind: "Deployment".into() };
    Workload { name, pods: vec![pod], several: false }
}

fn namespace(name: &str, inject: &str) -> Namespace {
    Namespace { name: name.into(), labels: [("peerwalk.dev/inject".to_owned(), inject.to_owned())].into() }
}

/// The shop with a hub at this address, or without any.
fn shop(hub: Option<&str>, policies: &[(&str, &str, Value)]) -> Cluster {
    let mut cluster = Cluster {
        namespaces: vec![namespace("shop", "enabled"), namespace("off", "disabled"), namespace("other", "")],
        workloads: [
            pod("shop", "web", "10.0.0.1", &[]),
            pod("shop", "out", "10.0.0.2", &[("peerwalk.dev/inject", "disabled")]),
            pod("other", "none", "10.0.0.3", &[]),
            pod("other", "in", "10.0.0.4", &[("peerwalk.dev/inject", "enabled")]),
            pod("off", "in", "10.0.0.5", &[("peerwalk.dev/inject", "enabled")]),
        ]
        .map(workload)
        .into(),
        ..Cluster::default()
    };
    if let Some(ip) = hub {
        let labels = [("app.kubernetes.io/part-of", "peerwalk"), ("app.kubernetes.io/name", "peerwalk")];
        let pod = pod("tools", "hub", ip, &labels);
        let endpoint =
            Endpoint { port: 0, ip: ip.parse().ok(), pod: Some(pod), target_port: 9443, ready: true };
        cluster.services.push(Service {
            namespace: "tools".into(),
            name: "peerwalk-hub".into(),
            addresses: vec![IpAddr::from([10, 96, 0, 9])],
            headless: false,
            external: Vec::new(),
            ports: vec![ServicePort {
                name: "hub".into(),
                protocol: Protocol::Tcp,
                port: 9443,
                node_port: None,
            }],
            endpoints: vec![endpoint],
        });
    }
    for (namespace, name, spec) in policies {
        let object = json!({ "metadata": { "namespace": namespace, "name": name }, "spec": spec });
        cluster.policies.push(Arc::new(network_policy(&serde_json::from_value(object).unwrap()).unwrap()));
    }
    cluster
}

fn found(cluster: &Cluster) -> Vec<String> {
    let all = findings(cluster).into_iter().filter(|finding| finding.code == Code::CutsOffHub);
    all.map(|finding| format!("{}: {}; {}", finding.object, finding.message, finding.remedy)).collect()
}

fn no_egress() -> Value {
    json!({ "podSelector": {}, "policyTypes": ["Egress"] })
}

#[test]
fn what_has_a_sidecar_and_no_way_to_the_hub_is_found_with_the_rule_to_add() {
    let everywhere = ["shop", "other", "off"].map(|namespace| (namespace, "deny", no_egress()));
    let rule = r#"{"to":[{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"tools"}},"podSelector":{"matchLabels":{"app":"hub","app.kubernetes.io/name":"peerwalk","app.kubernetes.io/part-of":"peerwalk"}}}],"ports":[{"port":9443,"protocol":"TCP"}]}"#;
    let line = |workload: &str, namespace: &str| {
        format!(
            "NetworkPolicy {namespace}/deny: sidecars of {workload} (Deployment) cannot reach the hub; add in spec.egress of a \
             NetworkPolicy of namespace {namespace}: {rule}"
        )
    };
    let expected = [line("other/in", "other"), line("shop/web", "shop")];
    assert_eq!(found(&shop(Some("10.0.0.9"), &everywhere)), expected);
}

#[test]
fn policies_that_let_sidecars_through_are_left_alone() {
    let to = |peer: Value, port: Value| {
        let rule = json!({ "to": [peer], "ports": [port] });
        ("shop", "some", json!({ "podSelector": {}, "policyTypes": ["Egress"], "egress": [rule] }))
    };
    let hub = json!({ "namespaceSelector": {}, "podSelector": { "matchLabels": { "app": "hub" } } });
    let ingress = json!({ "podSelector": {}, "policyTypes": ["Ingress"] });
    for (case, policy, count) in [
        ("the hub's pods", to(hub.clone(), json!({ "port": 9443 })), 0),
        ("another port", to(hub, json!({ "port": 443 })), 1),
        ("ingress of the workload alone", ("shop", "in", ingress.clone()), 0),
        // Both that are injected are cut off by what the hub lets in.
        ("ingress of the hub", ("tools", "in", ingress), 2),
    ] {
        assert_eq!(found(&shop(Some("10.0.0.9"), &[policy])).len(), count, "{case}");
    }
    assert_eq!(found(&shop(Some("10.0.0.9"), &[])), Vec::<String>::new());
}

#[test]
fn without_a_hub_in_the_input_it_is_where_the_chart_puts_it() {
    let found_without = |spec: Value| found(&shop(None, &[("shop", "deny", spec)]));
    let told = found_without(no_egress());
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("the hub, as the chart installs it"), "{told:?}");
    assert!(told[0].contains(r#""kubernetes.io/metadata.name":"peerwalk-system""#), "{told:?}");
    let block = json!([{ "to": [{ "ipBlock": { "cidr": "10.0.0.0/8" } }] }]);
    let blocks = json!({ "podSelector": {}, "policyTypes": ["Egress"], "egress": block });
    assert_eq!(found_without(blocks), Vec::<String>::new(), "the hub may be in there, wherever it is");
}

#[test]
fn what_administrators_deny_no_rule_of_a_namespace_can_admit() {
    let mut cluster = shop(Some("10.0.0.9"), &[]);
    let policy = json!({
        "apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy", "metadata": { "name": "closed" },
        "spec": {
            "tier": "Admin", "priority": 1, "subject": { "namespaces": { "matchLabels": { "peerwalk.dev/inject": "enabled" } } },
            "egress": [{ "name": "all", "action": "Deny", "to": [{ "namespaces": {} }] }],
        },
    });
    let mut reader = Reader::default();
    reader.object("input", &policy);
    cluster.cluster_policies = reader.finish().cluster_policies;
    let told = found(&cluster);
    assert_eq!(told.len(), 1, "{told:?}");
    let start = "ClusterNetworkPolicy closed: sidecars of shop/web (Deployment) cannot reach the hub; no NetworkPolicy can \
                 admit it for egress";
    assert!(told[0].starts_with(start), "{told:?}");
}

/// A ClusterNetworkPolicy about whatever is injected, read into the cluster.
fn with_cluster_policy(mut cluster: Cluster, tier: &str, egress: &Value) -> Cluster {
    let mut reader = Reader::default();
    let labels = json!({ "matchLabels": { "peerwalk.dev/inject": "enabled" } });
    reader.object("input", &json!({
        "apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy", "metadata": { "name": "closed" },
        "spec": { "tier": tier, "priority": 1, "subject": { "namespaces": labels }, "egress": egress },
    }));
    cluster.cluster_policies = reader.finish().cluster_policies;
    cluster
}

#[test]
fn the_way_to_the_hub_is_judged_as_connections_are() {
    let egress = |rule: Value| json!({ "podSelector": {}, "policyTypes": ["Egress"], "egress": [rule] });
    let block = |cidr: &str, port: u16| {
        egress(json!({ "to": [{ "ipBlock": { "cidr": cidr } }], "ports": [{ "port": port }] }))
    };
    let range = json!({ "ports": [{ "port": 9000, "endPort": 9999 }] });
    let by_name = json!({ "to": [{ "namespaceSelector": { "matchExpressions": [
        { "key": "kubernetes.io/metadata.name", "operator": "In", "values": ["tools", "other"] },
    ] } }] });
    let (cut_off, may, not) = ("cannot reach", "may be unable to reach", "");
    for (case, hub, spec, expected) in [
        ("the address of its Service alone", Some("10.0.0.9"), block("10.96.0.9/32", 9443), may),
        ("its own address", Some("10.0.0.9"), block("10.0.0.9/32", 9443), not),
        ("its own address at another port", Some("10.0.0.9"), block("10.0.0.9/32", 443), cut_off),
        ("a range of ports", Some("10.0.0.9"), egress(range), not),
        ("an expression", Some("10.0.0.9"), egress(by_name), not),
        ("no address yet, and a block at its port", None, block("10.0.0.0/8", 9443), not),
        ("no address yet, and a block at another port", None, block("10.0.0.0/8", 443), cut_off),
    ] {
        let told = found(&shop(hub, &[("shop", "some", spec)]));
        assert_eq!(told.len(), usize::from(!expected.is_empty()), "{case}: {told:?}");
        assert!(told.iter().all(|line| line.contains(expected)), "{case}: {told:?}");
    }
}

#[test]
fn policies_of_the_cluster_cut_off_in_every_tier() {
    let deny = json!({ "action": "Deny", "to": [{ "networks": ["0.0.0.0/0"] }] });
    let rule = |action: &str, to: Value| json!({ "action": action, "to": [to] });
    let pass = rule("Pass", json!({ "namespaces": {} }));
    let to_hub = rule(
        "Accept",
        json!({ "namespaces": { "matchLabels": { "kubernetes.io/metadata.name": "tools" } } }),
    );
    for (case, tier, egress, count) in [
        ("Admin", "Admin", json!([deny]), 1),
        ("Baseline", "Baseline", json!([deny]), 1),
        ("the hub is accepted before", "Admin", json!([to_hub, deny]), 0),
        ("pods are passed on before", "Admin", json!([pass, deny]), 0),
        ("addresses elsewhere", "Admin", json!([rule("Deny", json!({ "networks": ["192.0.2.0/24"] }))]), 0),
    ] {
        let told = found(&with_cluster_policy(shop(Some("10.0.0.9"), &[]), tier, &egress));
        assert_eq!(told.len(), count, "{case}: {told:?}");
    }
}

#[test]
fn a_hub_on_the_network_of_its_node_is_reached_at_the_nodes() {
    let mut cluster = shop(Some("10.0.0.9"), &[("shop", "deny", no_egress())]);
    for endpoint in &mut cluster.services[0].endpoints {
        let pod = endpoint.pod.as_mut().unwrap();
        *pod = Arc::new(Pod { host_network: true, ips: Vec::new(), ..Pod::clone(pod) });
    }
    let told = found(&cluster);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].ends_with("let it connect to the addresses of the nodes at port 9443/TCP, where the hub is"),
        "{told:?}"
    );
}
