//! Whose address it is.

use serde_json::{Value, json};

use super::*;
use crate::cluster::decode::{Decode, SlimEndpointSlice, SlimNode, SlimPod};

const NODE: &str = "10.90.0.2";

fn apply<K: Decode + serde::de::DeserializeOwned>(index: &mut Index, object: Value) {
    index.apply(serde_json::from_value::<K>(object).unwrap().named());
}

/// A pod that shares the network of node n2.
fn host_network(index: &mut Index, namespace: &str, name: &str, phase: &str, port: Option<u16>) {
    let ports: Vec<Value> =
        port.into_iter().map(|port| json!({"containerPort": port, "hostPort": port})).collect();
    apply::<SlimPod>(
        index,
        json!({
            "metadata": {"namespace": namespace, "name": name, "uid": name},
            "spec": {"nodeName": "n2", "hostNetwork": true, "containers": [{"name": "app", "ports": ports}]},
            "status": {"phase": phase, "podIP": NODE, "podIPs": [{"ip": NODE}]},
        }),
    );
}

fn endpoint(index: &mut Index, namespace: &str, pod: &str, port: u16) {
    apply::<SlimEndpointSlice>(
        index,
        json!({
            "metadata": {"namespace": namespace, "name": pod, "labels": {"kubernetes.io/service-name": pod}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [NODE], "targetRef": {"kind": "Pod", "name": pod}}],
            "ports": [{"name": "main", "port": port}],
        }),
    );
}

#[test]
fn a_host_network_pod_is_told_from_the_others_of_its_node() {
    let mut index = Index::default();
    let node = json!({"metadata": {"name": "n2"}, "status": {"addresses": [{"address": NODE}]}});
    apply::<SlimNode>(&mut index, node);
    let owner = |index: &Index, port: u16| {
        let address = SocketAddr::new(NODE.parse().unwrap(), port);
        peer(index, address, Protocol::Tcp).to_string()
    };
    assert_eq!(owner(&index, 7000), "node n2", "no pod is there");
    host_network(&mut index, "ledger", "agent", "Running", None);
    assert_eq!(owner(&index, 7000), "ledger/agent", "the only pod there");
    host_network(&mut index, "monitoring", "node-exporter", "Running", Some(9100));
    endpoint(&mut index, "ledger", "agent", 7000);
    for (about, port, expected) in [
        ("it declares the port", 9100, "monitoring/node-exporter"),
        ("a Service has it as its endpoint", 7000, "ledger/agent"),
        ("nobody knows whose it is", 10250, "node n2"),
    ] {
        assert_eq!(owner(&index, port), expected, "{about}");
    }
    host_network(&mut index, "monitoring", "node-exporter", "Failed", Some(9100));
    assert_eq!(owner(&index, 9100), "ledger/agent", "the other one has ended");
}
