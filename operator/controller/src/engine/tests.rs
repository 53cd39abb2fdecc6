//! The engine from inputs to outputs: what is planned, nudged, judged and written, and what is not.

mod ages;
mod churn;
mod clock;
mod cluster_policies;
mod events;
mod explained;
mod families;
mod fixtures;
mod held;
mod hub_roots;
mod injection;
mod interrupted;
mod lead;
mod opted;
mod outages;
mod outcomes;
mod page;
mod peers;
mod places;
mod plans;
mod profiles;
mod recreated;
mod redacted;
mod resend;
mod restart;
mod rollouts;
mod roots;
mod sightings;
mod slow;
mod stalled;
mod targets;
mod templates;
mod times;
mod translated;
mod unreadable;
mod ways;
mod work;
mod world;
mod writes;

use peerwalk_api::CheckResult;
use peerwalk_api::condition::{COVERED, ConditionStatus, READY, RECONCILING, STALLED};
use peerwalk_model::evidence::{DialOutcome, IcmpError};
use peerwalk_model::plan::TargetKind;
use serde_json::json;

use super::*;
use world::World;

#[test]
fn nothing_is_planned_or_judged_before_every_kind_is_listed() {
    let mut world = World::unlisted();
    world.check(&json!({}));
    world.pod("web-1", "web", "n1", "10.244.0.5", true);
    assert!(world.settle().is_empty(), "half a picture is no picture");
    assert!(!world.engine.ready(), "and the operator says so");
}

#[test]
fn a_source_pod_is_asked_to_walk_to_the_service_and_its_endpoints() {
    let mut world = World::shop();
    let outputs = world.settle();
    let plan = world::plan_of(&outputs, "web-1").expect("the source pod gets a plan");
    let target = plan.targets.values().next().expect("with its target");
    let TargetKind::Service(service) = &target.kind else { panic!("a Service was asked for") };
    assert_eq!(service.hostname, "db.ledger.svc", "the name that the application uses");
    assert_eq!(
        service.addresses,
        ["10.96.0.7".parse::<std::net::IpAddr>().unwrap()],
        "the Service's address"
    );
    assert_eq!(service.endpoints, ["10.244.1.8:5432".parse().unwrap()], "and its endpoint");
    assert!(outputs.iter().any(|o| matches!(o, Output::WalkNow(..))), "a new target is walked at once");
    let control = target.controls.first().expect("a control on the endpoint's node");
    assert_eq!(control.pod, "ledger/ping", "another pod of that node, admitted by policy");
}

#[test]
fn a_new_check_is_probing_and_a_good_round_makes_it_ready() {
    let mut world = World::shop();
    let status = world.status_after_settle().expect("a first status is written");
    let ready = status.condition(READY).expect("Ready is always there");
    assert_eq!((ready.status, ready.reason.as_str()), (ConditionStatus::Unknown, "Probing"));
    assert_eq!(status.condition(RECONCILING).map(|c| c.status), Some(ConditionStatus::True));

    world.attach("web-1");
    world.walk("web-1", world::connected());
    let status = world.status_after_settle().expect("the round changes the status");
    assert_eq!(status.condition(READY).map(|c| c.status), Some(ConditionStatus::True), "{status:?}");
    assert_eq!(status.condition(COVERED).map(|c| c.reason.as_str()), Some("AllReporting"));
    assert_eq!(status.summary.map(|s| s.ok), Some("1/1".to_owned()));
    assert_eq!(status.result, CheckResult::AsExpected);
}

#[test]
fn a_steady_state_writes_nothing() {
    let mut world = World::shop();
    world.attach("web-1");
    world.walk("web-1", world::connected());
    world.settle_and_store();
    for _ in 0..120 {
        world.pass(1);
        world.heartbeat("web-1");
        world.tick();
        let outputs = world.settle();
        assert!(outputs.is_empty(), "a steady cluster causes no writes and no walks: {outputs:?}");
    }
}

#[test]
fn a_policy_that_changes_the_decision_asks_for_a_walk_and_denies_with_proof() {
    let mut world = World::shop();
    world.attach("web-1");
    world.attach_in("ledger", "db-0");
    world.walk("web-1", world::connected());
    world.settle_and_store();

    world.policy("ledger", "default-deny", &json!({"podSelector": {}, "policyTypes": ["Ingress"]}));
    let outputs = world.settle();
    assert!(
        outputs.iter().any(|o| matches!(o, Output::WalkNow(pod, _) if pod.name == "web-1")),
        "the pair whose decision changed is walked at once: {outputs:?}"
    );

    world.pass(1);
    world.walk("web-1", world::silent_with_control());
    world.settle_and_store();
    assert_ne!(world.verdict(), "PolicyDenied confirmed", "nothing shows yet that the database lives");
    world.pass(2);
    world.heartbeat_in("ledger", "db-0");
    let status = world.status_after_settle().expect("the denial is written with the sign of life");
    let ready = status.condition(READY).unwrap();
    assert_eq!(
        (ready.status, ready.reason.as_str()),
        (ConditionStatus::False, "PolicyDenied"),
        "{status:#?}"
    );
    let row = &status.targets[0];
    let policy = row.policy.as_ref().expect("the row names the policy");
    assert_eq!((policy.namespace.as_str(), policy.name.as_str()), ("ledger", "default-deny"));

    world.store(&status);
    world.policy_gone("ledger", "default-deny");
    world.pass(10);
    world.walk("web-1", world::connected());
    let status = world.status_after_settle().expect("the recovery is written");
    assert_eq!(status.condition(READY).map(|c| c.status), Some(ConditionStatus::True), "{status:#?}");
}

#[test]
fn no_claim_about_policy_is_confirmed_before_discovery_has_looked() {
    for (kinds, expected) in [
        (None, "PolicyDenied likely"),
        (Some("those of group cilium.io, which could not be listed"), "PolicyDenied likely"),
        (Some(""), "PolicyDenied confirmed"),
    ] {
        let mut world = World::shop();
        world.engine.policy_kinds = None;
        if let Some(kind) = kinds {
            world.policy_kinds(if kind.is_empty() { &[] } else { std::slice::from_ref(&kind) }, &[]);
        }
        assert!(world.engine.ready(), "readiness does not wait for it");
        world.policy("ledger", "default-deny", &json!({"podSelector": {}, "policyTypes": ["Ingress"]}));
        world.finds_the_living_silent();
        world.settle();
        assert_eq!(world.verdict(), expected, "discovery: {kinds:?}");
    }
}

#[test]
fn a_policy_elsewhere_asks_for_nothing() {
    let mut world = World::shop();
    world.attach("web-1");
    world.walk("web-1", world::connected());
    world.settle_and_store();
    world.policy("other", "deny", &json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}));
    assert_eq!(world.settle(), vec![], "a policy of a namespace without an end of the pair is no news");
}

#[test]
fn no_source_pods_stall_after_the_deadline() {
    let mut world = World::listed();
    world.check(&json!({}));
    let status = world.status_after_settle().unwrap();
    assert_eq!(status.condition(READY).map(|c| c.reason.as_str()), Some("NoSourcePods"));
    assert_eq!(status.condition(STALLED).map(|c| c.status), Some(ConditionStatus::False), "not yet");
    world.store(&status);
    world.settle();
    world.pass(121);
    world.tick();
    let status = world.status_after_settle().expect("the deadline is news");
    assert_eq!(
        status.condition(STALLED).map(|c| c.status),
        Some(ConditionStatus::True),
        "every Unknown has an exit"
    );
    assert_eq!(
        status.condition(READY).map(|c| c.reason.as_str()),
        Some("NoSourcePods"),
        "for the same reason"
    );
}

#[test]
fn pods_without_a_sidecar_are_told_with_the_remedy() {
    let mut world = World::listed();
    world.check(&json!({}));
    world.pod("web-1", "web", "n1", "10.244.0.5", false);
    let status = world.status_after_settle().unwrap();
    let ready = status.condition(READY).unwrap();
    assert_eq!(ready.reason, "NotInjected");
    assert!(ready.message.contains("rollout restart"), "the message says what to do: {}", ready.message);
}

#[test]
fn a_silent_sidecar_is_missing_coverage_with_the_policy_that_blocks_the_hub() {
    let mut world = World::shop();
    world.policy("shop", "deny-egress", &json!({"podSelector": {}, "policyTypes": ["Egress"]}));
    world.settle_and_store();
    world.pass(60);
    world.tick();
    let status = world.status_after_settle().unwrap();
    let ready = status.condition(READY).unwrap();
    assert_eq!(
        (ready.status, ready.reason.as_str()),
        (ConditionStatus::Unknown, "NotReporting"),
        "{status:#?}"
    );
    assert!(
        ready.message.contains("deny-egress"),
        "never a network verdict, but the policy: {}",
        ready.message
    );
    let covered = status.condition(COVERED).unwrap();
    let rule = r#"in spec.egress of a NetworkPolicy of namespace shop: {"to":[{"ipBlock":{"cidr":"10.244.1.200/32"}}],"ports":[{"port":9443,"protocol":"TCP"}]}"#;
    for words in ["deny-egress", rule] {
        assert!(covered.message.contains(words), "expected {words}: {}", covered.message);
    }
}

#[test]
fn a_new_template_drops_ready_until_one_of_its_pods_has_a_round() {
    let mut world = World::shop();
    world.attach("web-1");
    world.walk("web-1", world::connected());
    world.settle_and_store();
    // Longer than sidecars may take to come back after a start of the operator.
    world.pass(40);
    world.heartbeat("web-1");

    world.pod_of("web-2", "web", "n1", "10.244.0.6", true, "new");
    let status = world.status_after_settle().expect("a rollout is news");
    assert_eq!(status.condition(READY).map(|c| c.reason.as_str()), Some("Probing"), "{status:#?}");
    world.store(&status);
    world.attach("web-2");
    world.walk("web-2", world::connected());
    let status = world.status_after_settle().unwrap();
    assert_eq!(status.condition(READY).map(|c| c.status), Some(ConditionStatus::True));
}

#[test]
fn churn_within_a_template_leaves_ready_alone() {
    let mut world = World::good();
    world.pod("web-3", "web", "n1", "10.244.0.9", true);
    let status = world.status_after_settle().expect("coverage changes");
    assert_eq!(status.condition(READY).map(|c| c.status), Some(ConditionStatus::True), "{status:#?}");
    assert_ne!(status.condition(COVERED).map(|c| c.status), Some(ConditionStatus::True));
}

#[test]
fn a_suspended_check_walks_nothing_and_says_so() {
    let mut world = World::shop();
    world.settle();
    world.check(&json!({"suspend": true}));
    let outputs = world.settle();
    let plan = world::plan_of(&outputs, "web-1").expect("the plan changes");
    assert!(plan.targets.is_empty(), "nothing is walked");
    let status = world::status_of(&outputs).unwrap();
    assert_eq!(status.result, CheckResult::Suspended);
}

#[test]
fn a_changed_target_voids_the_evidence_of_the_old_one() {
    let mut world = World::shop();
    world.attach("web-1");
    world.walk("web-1", world::connected());
    world.settle_and_store();
    world.check_with_target(
        json!({"name": "db", "service": {"name": "db", "namespace": "ledger", "port": 5433}}),
    );
    let status = world.status_after_settle().unwrap();
    let ready = status.condition(READY).unwrap();
    assert_ne!(ready.status, ConditionStatus::True, "a green of the old target must not pass: {ready:?}");
}

#[test]
fn a_restarted_operator_does_not_take_back_what_it_said() {
    let mut world = World::shop();
    world.attach("web-1");
    world.walk("web-1", world::connected());
    world.settle_and_store();
    let mut world = world.restarted();
    assert!(world.statuses().is_empty(), "sidecars get time to come back");
    world.pass(120);
    world.tick();
    let status = world.status_after_settle().expect("but not for ever");
    assert_eq!(status.condition(READY).map(|c| c.reason.as_str()), Some("NotReporting"));
}

#[test]
fn a_write_that_was_lost_is_repeated() {
    let mut world = World::shop();
    let first = world.status_after_settle().unwrap();
    assert_eq!(world.status_after_settle(), None, "it waits for the answer");
    world.pass(15);
    world.tick();
    assert_eq!(world.status_after_settle(), Some(first), "and writes the same again when nothing is heard");
}

#[test]
fn a_missing_service_and_port_are_named() {
    let mut world = World::shop();
    world.attach("web-1");
    world.check_with_target(json!({"name": "x", "service": {"name": "nope", "port": 80}}));
    let status = world.status_after_settle().unwrap();
    assert_eq!(status.condition(READY).map(|c| c.reason.as_str()), Some("TargetNotFound"), "{status:#?}");
    world.check_with_target(
        json!({"name": "x", "service": {"name": "db", "namespace": "ledger", "port": "nope"}}),
    );
    let status = world.status_after_settle().unwrap();
    assert_eq!(
        status.condition(READY).map(|c| c.reason.as_str()),
        Some("ServicePortNotFound"),
        "{status:#?}"
    );
}

#[test]
fn an_address_that_is_not_allowed_stalls_at_once() {
    let mut world = World::shop();
    world.check_with_target(json!({"name": "x", "url": "http://169.254.169.254/latest"}));
    let status = world.status_after_settle().unwrap();
    let ready = status.condition(READY).unwrap();
    assert_eq!((ready.status, ready.reason.as_str()), (ConditionStatus::False, "TargetNotAllowed"));
    assert_eq!(
        status.condition(STALLED).map(|c| c.status),
        Some(ConditionStatus::True),
        "waiting does not help"
    );
}

#[test]
fn evidence_of_an_unplanned_target_is_dropped() {
    let mut world = World::shop();
    world.settle();
    world.attach("web-1");
    let mut walk = world.make_walk("web-1", world::connected());
    walk.target.target = "other".into();
    world.sidecar(SidecarEvent::Walk(world::id("shop", "web-1"), Box::new(walk)));
    assert!(world.engine.evidence.pod(&world::id("shop", "web-1")).unwrap().targets().next().is_none());
}

#[test]
fn sidecars_are_heard_when_their_messages_reach_the_hub() {
    let mut world = World::shop();
    world.attach("web-1");
    let web = world::id("shop", "web-1");
    let heartbeat = world.heartbeat_of("shop", "web-1");
    world.pass(10);
    let waited = Duration::from_secs(7);
    let reached = world.now.minus(waited);
    world.take(Input::Sidecar(SidecarEvent::Heartbeat(web.clone(), heartbeat), reached));
    let heard = world.engine.evidence.pod(&web).unwrap().last_heard.unwrap();
    assert_eq!(heard, reached, "not when the batch is taken in");
}

#[test]
fn what_a_pod_said_before_it_was_forgotten_does_not_bring_it_back() {
    let mut world = World::shop();
    world.attach("web-1");
    let (web, heartbeat) = (world::id("shop", "web-1"), world.heartbeat_of("shop", "web-1"));
    world.pod_gone("web-1");
    let outputs = world.settle();
    assert!(outputs.contains(&Output::RemovePod(web.clone())), "{outputs:?}");
    for late in [
        SidecarEvent::Heartbeat(web.clone(), heartbeat),
        SidecarEvent::Attached(web.clone()),
        SidecarEvent::Detached(web.clone()),
    ] {
        world.sidecar(late);
    }
    assert!(world.engine.evidence.pod(&web).is_none(), "nothing of it is kept");
}

#[test]
fn refused_endpoints_fail_after_the_threshold() {
    let mut world = World::shop();
    world.attach("web-1");
    world.settle_and_store();
    let refused = || {
        vec![world::dial(
            "10.244.1.8:5432",
            DialOutcome::Failed { errno: 111, immediate: false, queue: vec![] },
        )]
    };
    let mut seen = None;
    for walk in 1..=4 {
        world.walk_repeated("web-1", refused(), walk);
        world.pass(10);
        seen = world.status_after_settle().or(seen);
    }
    let status = seen.expect("repeated failures are news");
    let ready = status.condition(READY).unwrap();
    assert_eq!(
        (ready.status, ready.reason.as_str()),
        (ConditionStatus::False, "ConnectionRefused"),
        "{status:#?}"
    );
}

#[test]
fn a_refusal_from_another_pod_is_not_its_nodes() {
    let refused_by = |world: &mut World, offender: &str| {
        let error = IcmpError { v6: false, kind: 3, code: 13, offender: Some(offender.parse().unwrap()) };
        let outcome = DialOutcome::Failed { errno: 113, immediate: false, queue: vec![error] };
        world.walk("web-1", vec![world::dial("10.244.1.8:5432", outcome)]);
        world.status_after_settle().and_then(|status| status.targets[0].reason.clone())
    };
    // 10.244.1.1 is the bridge of node n2, 10.244.1.9 is another pod there.
    for (offender, expected) in [("10.244.1.1", "PolicyDenied"), ("10.244.1.9", "Filtered")] {
        let mut world = World::shop();
        world.policy("ledger", "default-deny", &json!({"podSelector": {}, "policyTypes": ["Ingress"]}));
        world.attach("web-1");
        world.settle_and_store();
        world.pass(60);
        let reason = refused_by(&mut world, offender);
        assert_eq!(reason.as_deref(), Some(expected), "refused by {offender}");
    }
}
