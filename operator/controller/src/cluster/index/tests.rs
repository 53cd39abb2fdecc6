//! What the index says of changes: whom they touch.

use serde_json::{Value, json};

use super::*;
use crate::cluster::decode::{Decode, SlimEndpointSlice, SlimPod, SlimService};

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
