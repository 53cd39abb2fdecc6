//! What statuses and events tell of other namespaces, where the configuration hides it.

use peerwalk_model::evidence::Dial;
use peerwalk_model::peer::Listener;

use std::fs;
use std::path::{Path, PathBuf};

use peerwalk_api::ConnectivityCheck;
use peerwalk_diagnosis::judge;
use peerwalk_diagnosis::scenario::Scenario;
use peerwalk_model::Verdict;

use super::status::Discretion;
use super::world::World;
use super::*;
use crate::cluster::decode::SlimNamespace;
use crate::settings::Details;

/// The shop with a denying policy in the database's namespace, and sidecars in both pods.
fn shop(details: Details) -> World {
    let mut world = World::shop();
    world.engine.settings.details = details;
    world.policy("ledger", "default-deny", &json!({"podSelector": {}, "policyTypes": ["Ingress"]}));
    world.attach("web-1");
    world.attach_in("ledger", "db-0");
    world.settle_and_store();
    world.pass(60);
    world.heartbeat("web-1");
    world.heartbeat_in("ledger", "db-0");
    world
}

/// Everything that is told of a walk: its status, and events.
fn told(details: Details, dials: &[Dial], listener: Option<&Listener>) -> String {
    let mut world = shop(details);
    let outputs = peers::arrives(&mut world, dials.to_vec(), |_| {});
    for (pod, number, tuples) in peers::looks(&outputs) {
        if let Some(listener) = listener {
            peers::answers(&mut world, "ledger", &pod, number, peers::saw(&tuples, listener, None));
        }
    }
    for n in 2..=4 {
        world.heartbeat_in("ledger", "db-0");
        world.walk_repeated("web-1", dials.to_vec(), n);
        world.settle_and_store();
        world.pass(10);
    }
    let events = world.events.iter().map(|event| event.note.clone()).collect::<Vec<_>>();
    format!("{}\n{}", serde_json::to_string_pretty(world.last()).unwrap(), events.join("\n"))
}

#[test]
fn names_of_other_namespaces_are_told_or_hidden_as_configured() {
    let failed = |errno, queue| {
        let outcome = DialOutcome::Failed { errno, immediate: false, queue };
        vec![peers::from(51000, world::dial(peers::ENDPOINT, outcome))]
    };
    let by_node = IcmpError { v6: false, kind: 3, code: 13, offender: "10.90.0.2".parse().ok() };
    for (about, dials, listener, reason) in [
        ("denied", failed(113, vec![by_node]), None, "PolicyDenied"),
        ("silent", world::silent_with_control(), None, "PolicyDenied"),
        ("not enforced", peers::connected(), None, "PolicyNotEnforced"),
        ("nothing listens", failed(111, vec![]), Some(&Listener::Absent { elsewhere: None }), "NotListening"),
    ] {
        let full = told(Details::Full, &dials, listener);
        let redacted = told(Details::Redacted, &dials, listener);
        for text in [&full, &redacted] {
            assert!(text.contains(reason), "{about}: {text}");
        }
        assert!(full.contains("ledger/db-0") || full.contains("default-deny"), "{about}: {full}");
        for name in ["default-deny", "db-0", "ping", "n2"] {
            let word = |c: char| c.is_ascii_alphanumeric() || c == '-';
            let words = redacted.split(|c| !word(c));
            assert!(!words.into_iter().any(|word| word == name), "{about}: {name} in {redacted}");
        }
        assert!(redacted.contains("ledger"), "{about}: whom to ask: {redacted}");
    }
}

#[test]
fn a_policy_of_the_checks_own_namespace_is_named() {
    let mut world = World::shop();
    world.engine.settings.details = Details::Redacted;
    world.policy("shop", "no-egress", &json!({"podSelector": {}, "policyTypes": ["Egress"]}));
    world.attach("web-1");
    world.settle_and_store();
    world.pass(60);
    let refused = DialOutcome::Failed { errno: 1, immediate: true, queue: vec![] };
    for n in 1..=4 {
        world.walk_repeated("web-1", vec![world::dial(peers::ENDPOINT, refused.clone())], n);
        world.settle_and_store();
        world.pass(10);
    }
    let text = serde_json::to_string_pretty(world.last()).unwrap();
    assert!(text.contains("shop/no-egress"), "{text}");
}

/// Every scenario of every code, with its text.
fn scenarios() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/diagnosis/tests/scenarios");
    let entries = |path: &Path| -> Vec<PathBuf> {
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let codes = entries(&root).into_iter().filter(|path| path.is_dir());
    let files =
        codes.flat_map(|code| entries(&code)).filter(|path| path.extension().is_some_and(|e| e == "yaml"));
    files.map(|path| (path.clone(), fs::read_to_string(&path).unwrap())).collect()
}

fn words(text: &str) -> BTreeSet<&str> {
    let in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '/');
    text.split(|c| !in_name(c)).map(|word| word.trim_end_matches(['.', '/'])).collect()
}

#[test]
fn no_verdict_of_any_scenario_tells_names_of_other_namespaces() {
    let mut world = World::listed();
    world.apply::<SlimNamespace>(json!({"metadata": {"name": "peerwalk", "labels": {}}}));
    let check: ConnectivityCheck = serde_json::from_value(json!({
        "apiVersion": "peerwalk.dev/v1alpha1", "kind": "ConnectivityCheck",
        "metadata": {"namespace": "shop", "name": "storefront"},
        "spec": {"source": {"podSelector": {}}, "targets": [
            {"name": "db", "service": {"name": "postgres", "namespace": "ledger", "port": 5432}},
        ]},
    }))
    .unwrap();
    let redacting = Discretion::new(Details::Redacted, "shop", &check, &world.engine.index);
    let others = ["ledger/", "kube-system/", "peerwalk/"];
    let (mut files, mut hidden) = (0, 0);
    for (path, text) in scenarios() {
        let verdict = judge(&Scenario::read(&text).unwrap().situation().case());
        // Policies, pods and nodes of the small world that all scenarios play in, and of this one.
        let mut secret: BTreeSet<&str> =
            ["ledger/default-deny", "ledger/lockdown", "ledger/allow-batch", "peerwalk/hub-0", "n1", "n2"]
                .into();
        secret.extend(words(&text).into_iter().filter(|word| others.iter().any(|of| word.starts_with(of))));
        secret.remove("ledger/postgres");
        // A name by itself tells as much, where it cannot be a word of the text.
        let alone = secret.iter().filter_map(|name| name.split_once('/')).map(|(_, name)| name);
        let alone: Vec<&str> = alone.filter(|name| name.contains('-')).collect();
        secret.extend(alone);
        let told = |verdict: &Verdict| {
            let text = format!("{verdict:?}");
            let told = words(&text).into_iter().filter(|word| secret.contains(word)).map(str::to_owned);
            told.collect::<Vec<_>>()
        };
        assert_eq!(told(&redacting.shown(&verdict)), [""; 0], "{}: {verdict:#?}", path.display());
        let said = format!("{:?}", redacting.shown(&verdict).because);
        assert!(!said.contains("Policy ledger/"), "{}: what their policies say: {said}", path.display());
        files += 1;
        hidden += usize::from(!told(&verdict).is_empty());
    }
    assert!(files > 400 && hidden > 200, "of {files} scenarios {hidden} name something");
}
