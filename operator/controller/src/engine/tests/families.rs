//! Two address families: what is seen of the path in one says nothing of the other.

use peerwalk_model::evidence::{Dial, DialPurpose};
use peerwalk_model::plan::Control;

use super::*;
use crate::cluster::decode::{SlimEndpointSlice, SlimPod, SlimService};
use crate::engine::sightings::Path;

fn pod(world: &mut World, namespace: &str, name: &str, node: &str, ips: &[&str]) {
    let injected = namespace == "shop";
    let sidecars =
        if injected { json!([{"name": "peerwalk", "restartPolicy": "Always"}]) } else { json!([]) };
    let all: Vec<_> = ips.iter().map(|ip| json!({"ip": ip})).collect();
    world.apply::<SlimPod>(json!({
        "metadata": {"namespace": namespace, "name": name, "uid": format!("uid-{name}"),
            "labels": {"app": name.split('-').next()}},
        "spec": {"nodeName": node, "initContainers": sidecars,
            "containers": [{"name": "app", "ports": [{"containerPort": 8080}]}]},
        "status": {"phase": "Running", "podIP": ips[0], "podIPs": all,
            "conditions": [{"type": "Ready", "status": "True"}]},
    }));
}

/// The shop, with a second address for the source and the database, and as many for the pod beside it.
fn dual(ping: &[&str]) -> World {
    let mut world = World::shop();
    pod(&mut world, "shop", "web-1", "n1", &["10.244.0.5", "fd00::5"]);
    pod(&mut world, "ledger", "db-0", "n2", &["10.244.1.8", "fd00:1::8"]);
    pod(&mut world, "ledger", "ping", "n2", ping);
    let ports = json!([{"name": "main", "port": 5432, "protocol": "TCP"}]);
    world.apply::<SlimService>(json!({
        "metadata": {"namespace": "ledger", "name": "db"},
        "spec": {"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7", "fd96::7"], "ports": ports},
    }));
    world.apply::<SlimEndpointSlice>(json!({
        "metadata": {
            "namespace": "ledger", "name": "db-6", "labels": {"kubernetes.io/service-name": "db"},
        },
        "addressType": "IPv6",
        "endpoints": [{"addresses": ["fd00:1::8"], "conditions": {"ready": true}, "nodeName": "n2",
            "targetRef": {"kind": "Pod", "name": "db-0"}}],
        "ports": ports,
    }));
    world
}

#[test]
fn a_control_proves_the_endpoints_of_its_own_family() {
    let control = |address: &str, proves: &str| Control {
        pod: "ledger/ping".into(),
        address: address.parse().unwrap(),
        proves: vec![proves.parse().unwrap()],
    };
    let v4 = || control("10.244.1.9:8080", "10.244.1.8");
    let v6 = || control("[fd00:1::9]:8080", "fd00:1::8");
    for (about, ips, expected) in [
        ("in both", &["10.244.1.9", "fd00:1::9"][..], vec![v4(), v6()]),
        ("in one", &["10.244.1.9"], vec![v4()]),
        ("in the other", &["fd00:1::9"], vec![v6()]),
    ] {
        let mut world = dual(ips);
        let planned = world.planned("web-1").expect("it is planned");
        assert_eq!(planned.controls, expected, "{about}");
        // Nothing has changed, so the controls stay.
        world.apply::<SlimPod>(json!({
            "metadata": {"namespace": "shop", "name": "other", "uid": "uid-other"},
            "status": {"phase": "Running"},
        }));
        assert_eq!(world.planned("web-1").expect("still").controls, expected, "{about}, again");
    }
}

#[test]
fn a_path_is_whole_in_the_family_that_was_seen() {
    let seen = |world: &World, v4| {
        let path = Path { from: "n1".into(), to: "n2".into(), v4 };
        world.engine.sightings.path(&path).is_some()
    };
    for (remote, v4, v6) in [("10.244.1.9:8080", true, false), ("[fd00:1::9]:8080", false, true)] {
        let mut world = dual(&["10.244.1.9", "fd00:1::9"]);
        world.settle();
        world.pass(10);
        let connected = DialOutcome::Connected { local_peer: None };
        let control = Dial { purpose: DialPurpose::Control, ..world::dial(remote, connected) };
        world.walk("web-1", vec![control]);
        assert_eq!((seen(&world, true), seen(&world, false)), (v4, v6), "{remote} answered");
    }
}
