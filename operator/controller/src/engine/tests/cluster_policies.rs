//! Policies of the cluster: they decide from when they are heard of, and nothing is certain before.

use serde_json::Value;

use super::*;
use crate::cluster::decode::{Kind, SlimNamespace};
use crate::settings::Details;

const KIND: Kind = Kind::ClusterNetworkPolicy;

/// No pod of the namespaces with this label takes anything.
fn isolation(team: &str) -> Value {
    json!({
        "tier": "Admin", "priority": 10, "subject": {"namespaces": {"matchLabels": {"team": team}}},
        "ingress": [{"name": "nobody", "action": "Deny", "from": [{"namespaces": {}}]}],
    })
}

fn listed(world: &mut World, names: &[&str]) {
    let named = names.iter().map(|name| ObjectKey::new("", *name)).collect();
    world.take(Input::Watch(WatchEvent::Listed(KIND, named)));
}

/// The shop where a database team has a namespace, and the kind is served.
fn served() -> World {
    let mut world = World::shop();
    world.settle();
    world.apply::<SlimNamespace>(json!({"metadata": {"name": "ledger", "labels": {"team": "back"}}}));
    world.policy_kinds(&[], &[KIND]);
    world
}

#[test]
fn a_denial_names_the_rule_of_the_cluster() {
    let mut world = served();
    world.cluster_policy(KIND, "isolate", &isolation("back"));
    listed(&mut world, &["isolate"]);
    world.finds_the_living_silent();
    let status = world.status_after_settle().expect("a denial is written");
    assert_eq!(world.verdict(), "PolicyDenied confirmed", "{}", world.explanation());
    let policy = status.targets[0].policy.as_ref().expect("the row names the policy");
    let named = (policy.kind.as_str(), policy.namespace.as_str(), policy.name.as_str(), policy.rule);
    assert_eq!(named, ("ClusterNetworkPolicy", "", "isolate", Some(1)));
    assert!(world.explanation().contains("ClusterNetworkPolicy isolate"), "{}", world.explanation());

    world.store(&status);
    world.take(Input::Watch(WatchEvent::Deleted(KIND, ObjectKey::new("", "isolate"))));
    world.pass(10);
    world.walk("web-1", world::connected());
    let status = world.status_after_settle().expect("the recovery is written");
    assert_eq!(status.condition(READY).map(|c| c.status), Some(ConditionStatus::True), "{status:#?}");
}

#[test]
fn a_baseline_yields_to_what_a_namespace_says_itself() {
    for own in [false, true] {
        let mut world = World::shop();
        let kind = Kind::BaselineAdminNetworkPolicy;
        world.policy_kinds(&[], &[kind]);
        let spec = json!({"subject": {"namespaces": {}}, "ingress": [{"action": "Deny", "from": [{"namespaces": {}}]}]});
        world.cluster_policy(kind, "default", &spec);
        world.take(Input::Watch(WatchEvent::Listed(kind, [ObjectKey::new("", "default")].into())));
        if own {
            world.policy("ledger", "open", &json!({"podSelector": {}, "ingress": [{}]}));
        }
        world.finds_the_living_silent();
        world.settle();
        assert_eq!(world.verdict() == "PolicyDenied confirmed", !own, "own: {own}: {}", world.explanation());
    }
}

#[test]
fn nothing_is_certain_before_a_kind_that_is_served_has_been_listed() {
    let mut world = served();
    world.policy("ledger", "default-deny", &json!({"podSelector": {}, "policyTypes": ["Ingress"]}));
    world.finds_the_living_silent();
    assert_eq!(world.settle(), vec![], "for a moment the list is waited for");
    world.live(31);
    assert_eq!(world.verdict(), "PolicyDenied likely", "{}", world.explanation());
    let told = "any: ClusterNetworkPolicy is not heard of";
    assert!(world.explanation().contains(told), "{}", world.explanation());
    listed(&mut world, &[]);
    world.settle();
    assert_eq!(world.verdict(), "PolicyDenied confirmed", "{}", world.explanation());
}

#[test]
fn a_kind_that_is_served_no_more_decides_nothing() {
    let mut world = served();
    world.cluster_policy(KIND, "isolate", &isolation("back"));
    listed(&mut world, &["isolate"]);
    world.finds_the_living_silent();
    world.settle_and_store();
    assert_eq!(world.verdict(), "PolicyDenied confirmed");
    world.take(Input::Watch(WatchEvent::Interrupted(KIND)));
    world.policy_kinds(&[], &[]);
    world.take(Input::Watch(WatchEvent::NotServed(KIND)));
    world.pass(10);
    world.walk("web-1", world::connected());
    let status = world.status_after_settle().expect("the recovery is written");
    assert_eq!(status.condition(READY).map(|c| c.status), Some(ConditionStatus::True), "{status:#?}");
}

#[test]
fn one_that_cannot_be_read_leaves_every_claim_about_policy_open() {
    let mut world = served();
    let mut unknown = isolation("elsewhere");
    unknown["subject"]["planets"] = json!({});
    world.cluster_policy(KIND, "unknown", &unknown);
    listed(&mut world, &["unknown"]);
    world.policy("ledger", "default-deny", &json!({"podSelector": {}, "policyTypes": ["Ingress"]}));
    world.finds_the_living_silent();
    world.settle();
    assert_eq!(world.verdict(), "PolicyDenied likely", "{}", world.explanation());
}

#[test]
fn one_for_others_asks_for_nothing_and_one_that_changes_concerns_old_and_new_subjects() {
    let mut world = served();
    listed(&mut world, &[]);
    world.attach("web-1");
    world.walk("web-1", world::connected());
    world.settle_and_store();
    world.cluster_policy(KIND, "isolate", &isolation("others"));
    assert_eq!(world.settle(), vec![], "no end of the pair is in such a namespace");
    let asks = |world: &mut World| {
        world.settle().iter().any(|output| matches!(output, Output::WalkNow(pod, _) if pod.name == "web-1"))
    };
    world.cluster_policy(KIND, "isolate", &isolation("back"));
    assert!(asks(&mut world), "the pair is denied from now on: it is walked at once");
    world.cluster_policy(KIND, "isolate", &isolation("others"));
    assert!(asks(&mut world), "and no more");
}

#[test]
fn a_tenant_is_not_told_what_the_clusters_policies_are_called() {
    for details in [Details::Full, Details::Redacted] {
        let mut world = served();
        world.engine.settings.details = details;
        world.cluster_policy(KIND, "isolate-the-ledger", &isolation("back"));
        listed(&mut world, &["isolate-the-ledger"]);
        world.finds_the_living_silent();
        for n in 2..=4 {
            world.pass(10);
            world.heartbeat_in("ledger", "db-0");
            world.walk_repeated("web-1", world::silent_with_control(), n);
            world.settle_and_store();
        }
        let told = serde_json::to_string_pretty(world.last()).unwrap();
        assert!(told.contains("PolicyDenied"), "{told}");
        assert_eq!(told.contains("isolate-the-ledger"), details == Details::Full, "{told}");
        assert_eq!(told.contains("policy of the cluster decides it"), details == Details::Redacted, "{told}");
    }
}
