//! A watch that is lost: nothing is judged for a while, and then no claim about policy is confirmed until the
//! kind has been listed again.

use super::*;
use crate::cluster::decode::Kind;

fn lose(world: &mut World, kind: Kind) {
    world.take(Input::Watch(WatchEvent::Interrupted(kind)));
}

/// The kind is listed anew, with what there was.
fn list_again(world: &mut World, kind: Kind) {
    let named = match kind {
        Kind::NetworkPolicy => [ObjectKey::new("ledger", "default-deny")].into(),
        kind => panic!("no test lists {kind:?} again"),
    };
    world.take(Input::Watch(WatchEvent::Listed(kind, named)));
}

/// A denial that is proven.
fn denied() -> World {
    let mut world = World::shop();
    world.policy("ledger", "default-deny", &json!({"podSelector": {}, "policyTypes": ["Ingress"]}));
    world.finds_the_living_silent();
    world.settle_and_store();
    assert_eq!(world.verdict(), "PolicyDenied confirmed");
    world
}

#[test]
fn a_short_interruption_changes_nothing_that_was_said() {
    let mut world = denied();
    world.live(5);
    lose(&mut world, Kind::NetworkPolicy);
    world.policy_gone("ledger", "default-deny");
    for _ in 0..29 {
        assert!(world.live(1).is_empty(), "nothing is said or asked for meanwhile");
    }
    assert_eq!(world.verdict(), "PolicyDenied confirmed", "it stands as it was");
    world.policy("ledger", "default-deny", &json!({"podSelector": {}, "policyTypes": ["Ingress"]}));
    list_again(&mut world, Kind::NetworkPolicy);
    world.settle();
    assert_eq!(world.verdict(), "PolicyDenied confirmed", "{}", world.explanation());
}

#[test]
fn no_claim_about_policy_is_confirmed_while_a_watch_is_lost() {
    for kind in Kind::REQUIRED {
        let mut world = denied();
        world.live(5);
        lose(&mut world, kind);
        world.live(20);
        // Another failure to list does not begin the time anew.
        lose(&mut world, kind);
        world.live(11);
        let expected = if kind == Kind::Check { "PolicyDenied confirmed" } else { "PolicyDenied likely" };
        assert_eq!(world.verdict(), expected, "without {kind:?}: {}", world.explanation());
        if kind == Kind::NetworkPolicy {
            let told = "any: NetworkPolicy is not heard of";
            assert!(world.explanation().contains(told), "{}", world.explanation());
            list_again(&mut world, kind);
            world.settle();
            assert_eq!(world.verdict(), "PolicyDenied confirmed", "it is heard again");
        }
    }
}

#[test]
fn what_rests_on_services_is_no_surer_than_likely_while_they_are_not_heard_of() {
    for kind in [Kind::Service, Kind::EndpointSlice, Kind::Pod] {
        let mut world = World::shop();
        world.attach("web-1");
        world.check_with_target(
            json!({"name": "db", "service": {"name": "db", "namespace": "ledger", "port": 5433}}),
        );
        world.live(6);
        assert_eq!(world.verdict(), "ServicePortNotFound confirmed");
        lose(&mut world, kind);
        world.live(31);
        assert_eq!(
            world.verdict(),
            "ServicePortNotFound likely",
            "without {kind:?}: {}",
            world.explanation()
        );
    }
}

#[test]
fn kinds_that_are_not_heard_of_are_counted_by_whoever_leads_or_does_not() {
    for term in [Some(1), None] {
        let mut world = World::unlisted();
        world.engine.lead(term, world.now());
        let unheard = |world: &mut World| {
            world.tick();
            let mut registry = prometheus_client::registry::Registry::default();
            world.engine.metrics.register(&mut registry);
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
            let line = text.lines().find_map(|line| line.strip_prefix("kinds_unheard ").map(str::to_owned));
            line.expect("it is shown")
        };
        assert_eq!(unheard(&mut world), "7", "none is listed");
        world.list();
        assert_eq!(unheard(&mut world), "0");
        for kind in [Kind::Check, Kind::NetworkPolicy] {
            lose(&mut world, kind);
            lose(&mut world, kind);
        }
        assert_eq!(unheard(&mut world), "2");
        world.engine.clock_set(world.now());
        assert_eq!(unheard(&mut world), "2", "the clock brings none of them back");
        world.list();
        assert_eq!(unheard(&mut world), "0");
    }
}
