//! What the index says of changes: whom they touch.

use peerwalk_model::Protocol;
use serde_json::{Value, json};

use super::*;
use crate::cluster::decode::{Decode, SlimEndpointSlice, SlimNode, SlimPod, SlimService};

fn apply<K: Decode + serde::de::DeserializeOwned>(index: &mut Index, object: Value) -> Change {
    index.apply(serde_json::from_value::<K>(object).unwrap().named())
}

fn slice(service: &str, address: &str) -> Value {
    json!({
        "metadata": {
            "namespace": "shop", "name": "slice", "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address]}],
        "ports": [{"name": "main", "port": 8080}],
    })
}

fn pod(uid: &str, app: &str, ips: &[&str], ready: bool) -> Value {
    let ips: Vec<Value> = ips.iter().map(|ip| json!({"ip": ip})).collect();
    json!({
        "metadata": {"namespace": "shop", "name": "web", "uid": uid, "labels": {"app": app}},
        "status": {
            "podIPs": ips, "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}],
        },
    })
}

#[test]
fn a_slice_that_gets_another_label_leaves_its_old_service() {
    let mut index = Index::default();
    let (old, new) = (ObjectKey::new("shop", "old"), ObjectKey::new("shop", "new"));
    let first = apply::<SlimEndpointSlice>(&mut index, slice("old", "10.244.0.1"));
    assert_eq!(first, Change::Service(old.clone()));
    let moved = apply::<SlimEndpointSlice>(&mut index, slice("new", "10.244.0.1"));
    assert_eq!(moved, Change::Services(old.clone(), new.clone()), "both Services are touched");
    assert_eq!(index.slices(&old).count(), 0, "the old Service has it no longer");
    assert_eq!(index.slices(&new).count(), 1, "the new one has it");
    index.delete(Kind::EndpointSlice, &ObjectKey::new("shop", "slice"));
    assert_eq!((index.slices(&new).count(), index.slices_of.len()), (0, 0), "nothing is left");
}

#[test]
fn a_service_is_found_by_the_addresses_it_has_now() {
    let service = |ip: &str| json!({"metadata": {"namespace": "shop", "name": "db"}, "spec": {"clusterIP": ip, "clusterIPs": [ip]}});
    let (one, two) = ("10.96.0.1".parse().unwrap(), "10.96.0.2".parse().unwrap());
    let (mut index, key) = (Index::default(), ObjectKey::new("shop", "db"));
    apply::<SlimService>(&mut index, service("10.96.0.1"));
    assert_eq!(index.service_by_ip(one), Some(&key));
    apply::<SlimService>(&mut index, service("10.96.0.2"));
    assert_eq!((index.service_by_ip(one), index.service_by_ip(two)), (None, Some(&key)), "it moved");
    index.delete(Kind::Service, &key);
    assert_eq!(index.service_by_ip(two), None, "it is gone");
}

#[test]
fn pods_are_found_by_the_node_they_are_on_now() {
    let on =
        |node: &str| json!({"metadata": {"namespace": "shop", "name": "web"}, "spec": {"nodeName": node}});
    let found = |index: &Index, node: &str| index.pods_on(node).count();
    let mut index = Index::default();
    apply::<SlimPod>(&mut index, pod("a", "web", &[], false));
    apply::<SlimPod>(&mut index, on("n1"));
    assert_eq!((found(&index, "n1"), found(&index, "n2")), (1, 0));
    apply::<SlimPod>(&mut index, on("n2"));
    assert_eq!((found(&index, "n1"), found(&index, "n2")), (0, 1), "it moved");
    index.delete(Kind::Pod, &ObjectKey::new("shop", "web"));
    assert_eq!((found(&index, "n2"), index.by_node.len()), (0, 0), "it is gone");
}

#[test]
fn addresses_and_ports_of_nodes_lead_to_a_service_while_it_has_them() {
    let service = |ip: &str, port: u16| {
        json!({
            "metadata": {"namespace": "shop", "name": "db"},
            "spec": {"ports": [{"port": 443, "nodePort": port}], "externalIPs": [ip]},
            "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.9"}]}},
        })
    };
    let leads = |index: &Index, to: &str| index.may_lead_elsewhere(to.parse().unwrap(), Protocol::Tcp);
    let mut index = Index::default();
    let node = json!({"metadata": {"name": "n1"}, "status": {"addresses": [{"address": "10.90.0.1"}]}});
    apply::<SlimNode>(&mut index, node);
    apply::<SlimService>(&mut index, service("192.0.2.1", 30001));
    apply::<SlimService>(&mut index, service("192.0.2.2", 30002));
    let all = ["192.0.2.1:443", "192.0.2.2:443", "192.0.2.9:443", "10.90.0.1:30001", "10.90.0.1:30002"];
    assert_eq!(all.map(|to| leads(&index, to)), [false, true, true, false, true], "as it is now");
    assert!(!index.may_lead_elsewhere("192.0.2.2:443".parse().unwrap(), Protocol::Udp), "by its protocol");
    index.delete(Kind::Service, &ObjectKey::new("shop", "db"));
    assert_eq!(all.map(|to| leads(&index, to)), [false; 5], "it is gone");
    assert!(index.services_by_foreign_ip.is_empty() && index.services_by_node_port.is_empty());
}

#[test]
fn a_change_of_a_pod_says_what_policies_see_of_it() {
    let mut index = Index::default();
    for (about, object, expected) in [
        ("not yet an address", pod("a", "web", &[], false), Some((false, true))),
        ("its address", pod("a", "web", &["10.244.0.1"], false), Some((true, false))),
        ("readiness alone", pod("a", "web", &["10.244.0.1"], true), Some((false, false))),
        ("nothing", pod("a", "web", &["10.244.0.1"], true), None),
        ("other labels", pod("a", "api", &["10.244.0.1"], true), Some((false, true))),
        ("another pod of that name", pod("b", "api", &["10.244.0.1"], true), Some((true, true))),
    ] {
        let found = match apply::<SlimPod>(&mut index, object) {
            Change::Pod(change) => Some((change.addresses, change.selected_by)),
            _ => None,
        };
        assert_eq!(found, expected, "{about}");
    }
}

#[test]
fn pods_that_are_there_to_stay_are_counted_for_their_controller() {
    let mut index = Index::default();
    let pod = |name: &str, controller: &str, phase: &str| {
        json!({
            "metadata": {"namespace": "shop", "name": name, "uid": name,
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web",
                    "uid": controller, "controller": true}]},
            "status": {"phase": phase},
        })
    };
    let told = |index: &mut Index| -> Vec<String> {
        index.made().into_iter().map(|(namespace, uid, pods)| format!("{namespace} {uid} {pods}")).collect()
    };
    for (name, controller) in [("a", "one"), ("b", "one"), ("c", "two")] {
        apply::<SlimPod>(&mut index, pod(name, controller, "Pending"));
    }
    assert_eq!(told(&mut index), ["shop one 2", "shop two 1"]);
    apply::<SlimPod>(&mut index, pod("a", "one", "Running"));
    assert_eq!(told(&mut index), [""; 0], "it is one still");
    apply::<SlimPod>(&mut index, pod("a", "one", "Succeeded"));
    index.delete(Kind::Pod, &ObjectKey::new("shop", "a"));
    index.delete(Kind::Pod, &ObjectKey::new("shop", "c"));
    assert_eq!(told(&mut index), ["shop one 1", "shop two 0"]);
    let mut ends = pod("b", "one", "Running");
    ends["metadata"]["deletionTimestamp"] = json!("2027-01-15T08:00:00Z");
    apply::<SlimPod>(&mut index, ends);
    assert_eq!(told(&mut index), ["shop one 0"]);
}
