//! What is proven stands while the rest of a walk, or an answer about it, is on its way, and not for longer.

use super::peers::{ABSENT, OPEN, answers, arrives, attached, denied, from, looks, repeats, reset, saw};
use peerwalk_model::Walk;
use peerwalk_model::evidence::{Dial, Strain};

use super::*;

/// A denial that is proven.
fn proven() -> World {
    let mut world = denied();
    let outputs = arrives(&mut world, world::silent_with_control(), |_| {});
    let (_, number, tuples) = looks(&outputs).remove(0);
    answers(&mut world, "ledger", "db-0", number, saw(&tuples, &OPEN, None));
    assert_eq!(world.verdict(), "PolicyDenied confirmed");
    world.pass(5);
    world
}

/// What was said of it is said no more, whatever is awaited.
fn the_policy_goes(world: &mut World) {
    let key = ObjectKey::new("ledger", "default-deny");
    world.take(Input::Watch(WatchEvent::Deleted(Kind::NetworkPolicy, key)));
    world.settle();
    assert!(!world.verdict().starts_with("PolicyDenied"), "{} without the policy", world.verdict());
}

/// The pod of the target has told that nothing listens, and walks have agreed.
fn deaf() -> World {
    let mut world = attached();
    let outputs = arrives(&mut world, reset(), |_| {});
    let (_, number, tuples) = looks(&outputs).remove(0);
    answers(&mut world, "ledger", "db-0", number, saw(&tuples, &ABSENT, None));
    for _ in 0..10 {
        world.pass(1);
        repeats(&mut world);
        world.heartbeat_in("ledger", "db-0");
        world.take(Input::Tick);
        world.settle();
    }
    assert_eq!(world.verdict(), "NotListening confirmed");
    world
}

#[test]
fn an_answer_that_is_awaited_takes_no_proof_away() {
    let asked = || {
        let mut world = proven();
        // From other ports, and one dial fewer: it is not the same that was found.
        let mut later = world::silent_with_control().split_off(1);
        for (port, dial) in (52000..).zip(&mut later) {
            *dial = from(port, dial.clone());
        }
        let outputs = arrives(&mut world, later, |_| {});
        assert_eq!(looks(&outputs).len(), 1);
        world.settle();
        assert_eq!(world.verdict(), "PolicyDenied confirmed", "the answer is on its way");
        world
    };
    let mut world = asked();
    for _ in 0..12 {
        world.pass(1);
        repeats(&mut world);
        world.take(Input::Tick);
        world.settle();
    }
    assert_eq!(
        world.verdict(),
        "PolicyDenied likely",
        "it did not come, and nothing shows that the database lives"
    );

    let mut world = asked();
    the_policy_goes(&mut world);
}

#[test]
fn a_part_of_a_walk_takes_no_proof_away_and_a_change_of_policies_does() {
    let mut world = proven();
    let first = world::silent_with_control().remove(0);
    arrives(&mut world, vec![first], |walk| walk.interim = true);
    world.settle();
    assert_eq!(world.verdict(), "PolicyDenied confirmed", "the endpoints are dialled next");
    the_policy_goes(&mut world);
}

#[test]
fn plain_words_wait_for_an_answer_too() {
    let mut world = deaf();
    // Two dials are not what one found.
    let later = vec![from(51002, reset().remove(0)), from(51003, reset().remove(0))];
    assert_eq!(looks(&arrives(&mut world, later, |_| {})).len(), 1);
    world.settle();
    assert_eq!(world.verdict(), "NotListening confirmed", "the answer is on its way");
    for _ in 0..12 {
        world.pass(1);
        world.take(Input::Tick);
        world.settle();
    }
    assert_eq!(world.verdict(), "ConnectionRefused likely", "it did not come");

    // Walk after walk is asked about, and nobody answers.
    let mut world = deaf();
    let mut said = Vec::new();
    for second in 1..=12_u16 {
        world.pass(1);
        world.heartbeat_in("ledger", "db-0");
        if second % 2 == 1 {
            // Now one dial, now two: none of the walks found the same as the one before.
            let dials = 1 + usize::from(second % 4 == 1);
            let later = (0..dials).zip(53000 + second * 2..).map(|(_, port)| from(port, reset().remove(0)));
            assert_eq!(looks(&arrives(&mut world, later.collect(), |_| {})).len(), 1);
        }
        world.take(Input::Tick);
        world.settle();
        said.push(world.verdict());
    }
    assert_eq!(said[8], "NotListening confirmed", "{said:?}");
    assert_eq!(said[11], "ConnectionRefused likely", "not for longer than an answer takes: {said:?}");
}

/// The prober was kept from running for longer than it takes to miss an answer.
fn starved(walk: &mut Walk) {
    walk.strain = Some(Strain { run_delay: Strain::STALL, ..Strain::default() });
}

/// Some sockets of another walk, of which one at least was not in the last.
fn silent(port: u16) -> Vec<Dial> {
    let mut dials = world::silent_with_control().split_off(1);
    for (port, dial) in (port..).zip(&mut dials) {
        *dial = from(port, dial.clone());
    }
    dials
}

#[test]
fn a_walk_that_could_not_run_takes_nothing_away() {
    let mut world = proven();
    let explained = world.explanation();
    world.walk_with("web-1", silent(52000), starved);
    world.settle();
    assert_eq!(world.verdict(), "PolicyDenied confirmed", "it says nothing");
    world.walk_with("web-1", silent(53000), starved);
    world.settle();
    assert_eq!(world.verdict(), "PolicyDenied confirmed", "nor does the next");
    assert_eq!(world.explanation(), explained, "by the walk that it comes from");
    the_policy_goes(&mut world);
    assert_eq!(world.verdict(), "ProbeStarved suspected", "what was found before it says nothing any more");

    let mut world = attached();
    world.walk("web-1", super::peers::connected());
    world.settle();
    assert_eq!(world.verdict(), "Reachable confirmed");
    world.walk_with("web-1", silent(52000), starved);
    world.settle();
    assert_eq!(world.verdict(), "Reachable confirmed");
    world.walk("web-1", silent(53000));
    world.settle();
    assert!(world.verdict().starts_with("Dropped"), "{} once one ran", world.verdict());
}

#[test]
fn what_was_found_before_walks_that_could_not_run_grows_old() {
    let mut world = attached();
    world.walk("web-1", super::peers::connected());
    world.settle();
    let mut said = Vec::new();
    for walk in 0..8_u16 {
        world.pass(30);
        world.heartbeat("web-1");
        world.walk_with("web-1", silent(52000 + walk * 16), starved);
        world.settle();
        said.push(world.verdict());
    }
    assert_eq!(said[0], "Reachable confirmed", "{said:?}");
    assert_eq!(said[7], "ProbeStarved suspected", "{said:?}");
}

/// Walk after walk finds the same, so heartbeats alone tell of them.
#[test]
fn it_grows_old_as_well_where_heartbeats_tell_of_such_walks() {
    let mut world = attached();
    world.walk("web-1", super::peers::connected());
    world.settle();
    world.pass(5);
    world.walk_with("web-1", silent(52000), starved);
    world.settle();
    let mut said = Vec::new();
    for _ in 0..120 {
        world.pass(2);
        world.heartbeat("web-1");
        world.tick();
        world.settle();
        said.push(world.verdict());
    }
    assert_eq!(said[0], "Reachable confirmed");
    assert_eq!(said[119], "ProbeStarved suspected", "{said:?}");
}
