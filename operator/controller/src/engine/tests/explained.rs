//! What the operator knows, as the one-shot probe takes it.

use std::collections::BTreeSet;

use peerwalk_diagnosis::{Case, Facts, Known, PairEvidence, TargetFacts, judge};
use peerwalk_model::evidence::{Dial, DialPurpose};
use peerwalk_model::verdict::Expectation;
use peerwalk_model::{Confidence, Reason};
use serde_json::Value;

use super::world::World;
use super::*;

/// Refused by the node of the database.
fn refused_by_node() -> Vec<Dial> {
    let error = IcmpError { v6: false, kind: 3, code: 13, offender: "10.90.0.2".parse().ok() };
    vec![world::dial(
        "10.244.1.8:5432",
        DialOutcome::Failed { errno: 113, immediate: false, queue: vec![error] },
    )]
}

/// The database denied for a minute, and the web pod refused by its node.
fn denied() -> World {
    let mut world = World::shop();
    world.attach("web-1");
    world.policy("ledger", "default-deny", &json!({"podSelector": {}, "policyTypes": ["Ingress"]}));
    world.settle();
    world.pass(60);
    world.walk("web-1", refused_by_node());
    world.settle();
    world
}

#[test]
fn a_check_is_explained_for_programs() {
    let world = denied();
    let text = world.explained(Form::Json);
    let value: Value = serde_json::from_str(&text).unwrap();
    let walk = &value["walks"][0];
    assert_eq!((&walk["source"], &walk["target"]), (&json!("shop/web-1"), &json!("db")));
    assert_eq!(walk["verdict"]["reason"], "PolicyDenied", "{text}");

    let known: Known = serde_json::from_str(&text).unwrap();
    assert_eq!(known.contradiction(), None);
    assert_eq!(known.check.as_deref(), Some("shop/storefront"));
    let [source] = &known.sources[..] else { panic!("one source: {text}") };
    assert_eq!((source.pod.as_str(), source.node.as_deref()), ("shop/web-1", Some("n1")));
    let [endpoint] = &source.endpoints[..] else { panic!("one endpoint: {text}") };
    assert_eq!(endpoint.pod.as_deref(), Some("ledger/db-0"));
    let present = endpoint.history.last().unwrap();
    assert!(present.since_ms_ago >= 60_000, "an age, not a moment: {text}");
    assert!(!present.decision.is_allowed());
    assert!(known.nodes.contains_key("n1") && known.nodes.contains_key("n2"), "{text}");
}

/// Somebody with another clock dials the endpoint alone, and is refused by its node.
#[test]
fn who_has_it_judges_as_the_operator() {
    let mut world = denied();
    let known: Known = serde_json::from_str(&world.explained(Form::Json)).unwrap();
    let mut walk = world.make_walk("web-1", refused_by_node());
    let late = Duration::from_hours(5);
    (walk.started, walk.ended) = (walk.started.plus(late), walk.ended.plus(late));
    let connect = walk.connect.as_mut().unwrap();
    connect.dials.retain(|dial| dial.purpose == DialPurpose::Endpoint);
    for dial in &mut connect.dials {
        dial.purpose = DialPurpose::Address;
        dial.started = walk.started;
    }
    let dialled = connect.dials.iter().map(|dial| dial.remote).collect();
    let from = BTreeSet::from(["10.244.0.5".parse().unwrap()]);
    let alone = Facts::alone(TargetFacts::Url { allowed: true });
    let (facts, decisions) = known.about(alone, &from, &dialled, &BTreeSet::new(), walk.started).unwrap();
    let evidence = PairEvidence::first(walk);
    let verdict = judge(&Case {
        expect: Expectation::Denied,
        wants_request: false,
        evidence: Some(&evidence),
        decisions: &decisions,
        facts: &facts,
        now: evidence.ended,
    });
    let said = (verdict.reason, verdict.confidence);
    assert_eq!(said, (Some(Reason::PolicyDenied), Confidence::Confirmed), "{verdict:#?}");
}

#[test]
fn pods_are_told_from_the_nodes_whose_networks_they_live_in() {
    let known: Known = serde_json::from_str(&denied().explained(Form::Json)).unwrap();
    let networks: Vec<_> = known.nodes.values().flat_map(|node| &node.pod_networks).collect();
    assert!(!networks.is_empty(), "{known:#?}");
    for pod in ["10.244.0.5", "10.244.1.8"] {
        assert!(known.pods.contains(&pod.parse().unwrap()), "{pod} is a pod: {:?}", known.pods);
    }
}

#[test]
fn a_check_that_is_not_there_has_no_explanation() {
    let world = World::shop();
    for form in [Form::Text, Form::Json] {
        assert_eq!(world.engine.explain(&ObjectKey::new("shop", "none"), form, world.now), None);
    }
}
