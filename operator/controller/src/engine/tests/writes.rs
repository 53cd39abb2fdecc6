//! What is written, how often, and what happens when it is refused.

use super::world::acts::ready;
use super::*;
use crate::metrics::WriteResult;

/// The seconds after now at which statuses are put into the outbox, each of which ends as `result`.
fn puts(world: &mut World, seconds: u64, result: WriteResult) -> Vec<u64> {
    let mut puts = Vec::new();
    for second in 1..=seconds {
        world.pass(1);
        world.tick();
        if world.status_after_settle().is_some() {
            puts.push(second);
            world.written(result);
        }
    }
    puts
}

#[test]
fn time_that_passes_while_a_write_is_under_way_is_no_news() {
    let mut world = World::shop();
    let first = world.status_after_settle().expect("a first status");
    for _ in 0..14 {
        world.pass(1);
        world.tick();
        assert_eq!(world.status_after_settle(), None, "the same is on its way");
    }
    world.pass(1);
    world.tick();
    assert_eq!(world.status_after_settle(), Some(first), "nothing was heard: the same again, of its time");
}

#[test]
fn a_stored_write_is_not_repeated_while_the_watch_lags() {
    let mut world = World::shop();
    world.settle();
    world.written(WriteResult::Stored);
    assert_eq!(puts(&mut world, 30, WriteResult::Conflict), Vec::<u64>::new());
}

#[test]
fn a_conflict_waits_for_the_next_version() {
    let mut world = World::shop();
    world.settle();
    world.written(WriteResult::Conflict);
    assert_eq!(world.status_after_settle(), None, "the same version would conflict again");
    world.edit(|check| check["metadata"]["annotations"] = json!({"a": "b"}));
    assert!(world.status_after_settle().is_some(), "the next version is judged at once");
    world.written(WriteResult::Conflict);
    assert_eq!(puts(&mut world, 40, WriteResult::Conflict), [15, 30], "or, now and then, the same one");
}

#[test]
fn refusals_are_tried_again_ever_more_rarely() {
    for result in [WriteResult::Refused, WriteResult::Gone] {
        let mut world = World::shop();
        world.settle();
        world.written(result);
        assert_eq!(world.status_after_settle(), None, "{result:?}: not at once");
        let expected = [15, 45, 105, 225, 465, 705];
        assert_eq!(puts(&mut world, 710, result), expected, "{result:?}");
        assert_eq!(world.events, vec![], "and nothing is told that is not stored");
        world.edit(|check| check["metadata"]["annotations"] = json!({"a": "b"}));
        assert!(world.status_after_settle().is_some(), "{result:?}: another version is tried at once");
    }
}

#[test]
fn an_outage_of_the_api_server_is_over_for_a_check_soon_after_it_ended() {
    for result in [WriteResult::Failed, WriteResult::Timeout] {
        let mut world = World::good();
        world.attach("web-1");
        world.check(&json!({"suspend": true}));
        assert!(world.status_after_settle().is_some());
        world.written(result);
        assert_eq!(world.status_after_settle(), None, "{result:?}: not at once");
        let expected: Vec<u64> = (1..=60).map(|n| n * 10).collect();
        assert_eq!(puts(&mut world, 605, result), expected, "{result:?}: never more rarely");
        world.check(&json!({}));
        assert!(world.status_after_settle().is_some(), "{result:?}: another spec is told at once");
    }
}

#[test]
fn a_write_that_was_stored_after_all_ends_the_wait() {
    let mut world = World::shop();
    let status = world.status_after_settle().unwrap();
    world.written(WriteResult::Timeout);
    world.edit(|check| check["status"] = serde_json::to_value(&status).unwrap());
    assert_eq!(world.status_after_settle(), None, "it is there");
    world.attach("web-1");
    world.walk("web-1", world::connected());
    assert!(world.status_after_settle().is_some(), "what comes next is written at once");
}

#[test]
fn a_transition_is_told_once_when_it_is_stored() {
    let mut world = World::shop();
    let status = world.status_after_settle().unwrap();
    assert_eq!(world.events, vec![], "not before it is stored");
    world.store(&status);
    world.settle();
    let told: Vec<_> = world.events.iter().map(|event| (event.reason.as_str(), event.warning)).collect();
    assert_eq!(told, [("Probing", false)]);
    assert!(world.events[0].note.starts_with("Ready is Unknown: "), "{}", world.events[0].note);
    world.attach("web-1");
    world.walk("web-1", world::connected());
    world.settle_and_store();
    world.fail("web-1");
    let reasons: Vec<_> = world
        .events
        .iter()
        .filter(|event| matches!(event.regarding, crate::publish::Regarding::Check { .. }))
        .map(|event| event.reason.as_str())
        .collect();
    assert_eq!(reasons, ["Probing", "AsExpected", "ConnectionRefused"]);
}

#[test]
fn what_others_write_into_the_status_is_left_to_them() {
    let mut world = World::good();
    assert_eq!(ready(world.last()), ("True", "AsExpected"));
    world.edit(|check| {
        let conditions = check["status"]["conditions"].as_array_mut().unwrap();
        let foreign = json!({
            "type": "Gate", "status": "True", "reason": "Open", "message": "",
            "lastTransitionTime": "2027-01-15T08:00:00Z",
        });
        conditions.insert(1, foreign);
        conditions.swap(0, 2);
    });
    assert_eq!(world.live(60), vec![], "their condition is no reason to write ours");
}
