//! The fixtures of Argo CD's health script hold what the engine writes.
//!
//! `PEERWALK_WRITE_FIXTURES=1 cargo test -p peerwalk-controller fixtures` writes them anew; the messages in
//! `health_test.yaml` then have to follow.

use std::path::Path;

use peerwalk_api::{ConnectivityCheck, ConnectivityCheckStatus};
use serde_json::{Value, json};

use super::world::acts::{cache, cache_connected, db};
use super::*;

const FOLDER: &str = "../../deploy/argocd/resource_customizations/peerwalk.dev/ConnectivityCheck/testdata";
/// The generation of the check whose status is shown.
const GENERATION: i64 = 3;

fn denied_db() -> Value {
    let mut target = db();
    target["name"] = json!("ledger-db");
    target["expect"] = json!("Denied");
    target
}

/// A check of a cache that has to be reached and a database that must not be.
fn shop() -> World {
    let mut world = World::two_targets();
    let only_db = json!({"podSelector": {"matchLabels": {"app": "db"}}, "policyTypes": ["Ingress"]});
    world.policy("ledger", "db-from-nobody", &only_db);
    world.check(&json!({"targets": [cache(), denied_db()]}));
    world
}

fn as_expected() -> World {
    let mut world = shop();
    world.attach("web-1");
    world.attach_in("ledger", "db-0");
    world.settle_and_store();
    world.pass(10);
    world.walk_to("web-1", "cache", cache_connected());
    world.walk_to("web-1", "ledger-db", world::silent_with_control());
    world.pass(2);
    world.heartbeat_in("ledger", "db-0");
    world.settle_and_store();
    world
}

fn failed() -> World {
    let mut world = as_expected();
    world.live(60);
    world.policy_gone("ledger", "db-from-nobody");
    world.pass(10);
    world.walk_to("web-1", "ledger-db", world::connected());
    world.settle_and_store();
    world
}

fn probing() -> World {
    let mut world = shop();
    world.settle_and_store();
    world
}

fn not_injected() -> World {
    let mut world = shop();
    world.pod_gone("web-1");
    world.pod("web-2", "web", "n1", "10.244.0.6", false);
    world.settle_and_store();
    world
}

fn stalled() -> World {
    let mut world = shop();
    world.pod_gone("web-1");
    world.settle_and_store();
    world.live(121);
    world
}

fn not_allowed() -> World {
    let mut world = shop();
    let payments = json!({"name": "payments", "url": "https://192.0.2.7/health"});
    world.check(&json!({"targets": [cache(), payments]}));
    world.settle_and_store();
    world
}

fn suspended() -> World {
    let mut world = as_expected();
    world.check(&json!({"targets": [cache(), denied_db()], "suspend": true}));
    world.settle_and_store();
    world
}

/// What the API server puts in before anybody has seen the check.
fn default_status() -> ConnectivityCheckStatus {
    let crd = serde_json::to_value(peerwalk_api::crd()).unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    serde_json::from_value(schema["properties"]["status"]["default"].clone()).unwrap()
}

/// The object as the API server would hold it, its generation being the one that the status is of.
fn object(world: &World, status: Option<ConnectivityCheckStatus>) -> ConnectivityCheck {
    let mut check: ConnectivityCheck = serde_json::from_value(json!({
        "apiVersion": "peerwalk.dev/v1alpha1", "kind": "ConnectivityCheck",
        "metadata": {
            "namespace": "shop", "name": "storefront", "generation": GENERATION,
            "uid": "0c9a2b9e-6f0b-4a53-9a4f-0d6b1f3a7c11", "resourceVersion": "48211",
            "creationTimestamp": "2027-01-15T08:00:00Z",
            "annotations": {"argocd.argoproj.io/sync-wave": "10"},
        },
        "spec": world.spec(),
    }))
    .unwrap();
    check.status = status.map(|mut status| {
        if status.observed_generation != Some(-1) {
            status.observed_generation = Some(GENERATION);
            status.conditions.iter_mut().for_each(|c| c.observed_generation = Some(GENERATION));
        }
        status
    });
    check
}

fn fixtures() -> Vec<(&'static str, ConnectivityCheck)> {
    let written = |world: World| object(&world, Some(world.last().clone()));
    let mut spec_changed = written(as_expected());
    spec_changed.metadata.generation = Some(GENERATION + 1);
    // No status of ours is like this: the health script has to be right for it all the same.
    let mut condition_behind = spec_changed.clone();
    if let Some(status) = &mut condition_behind.status {
        status.observed_generation = Some(GENERATION + 1);
        status.conditions.retain(|c| c.type_ == READY || c.type_ == COVERED);
    }
    vec![
        ("no_status", object(&shop(), None)),
        ("pending", object(&shop(), Some(default_status()))),
        ("probing", written(probing())),
        ("as_expected", written(as_expected())),
        ("failed", written(failed())),
        ("not_injected", written(not_injected())),
        ("stalled", written(stalled())),
        ("not_allowed", written(not_allowed())),
        ("suspended", written(suspended())),
        ("spec_changed", spec_changed),
        ("condition_behind", condition_behind),
    ]
}

#[test]
fn the_health_script_is_tried_on_what_the_engine_writes() {
    let write = std::env::var_os("PEERWALK_WRITE_FIXTURES").is_some();
    for (name, check) in fixtures() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER).join(format!("{name}.yaml"));
        let fresh = serde_json::to_value(check).unwrap();
        if write {
            std::fs::write(&path, serde_saphyr::to_string(&fresh).unwrap()).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let stored: Value = serde_saphyr::from_str(&text).unwrap_or_default();
        assert!(stored == fresh, "{name}.yaml is not what the engine writes: {fresh:#}");
    }
}
