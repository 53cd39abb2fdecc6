//! What a standby does, which is nothing for others, and what is said when it begins to lead: the same as after a restart.

use std::collections::BTreeSet;

use super::world::acts::{ready, refused};
use super::*;

/// Another replica has the lead.
fn rests(world: &mut World) {
    world.engine.lead(None, world.now);
}

fn leads(world: &mut World, term: u64) -> Vec<Output> {
    world.engine.lead(Some(term), world.now);
    world.settle()
}

#[test]
fn a_standby_follows_the_cluster_and_is_silent() {
    let mut world = World::shop();
    rests(&mut world);
    assert!(world.engine.ready(), "it is as ready as the leader");
    world.web("web-2", 6, "old");
    let own = [Output::Injection(Pauses::default()), Output::CarriedRoots(BTreeSet::new())];
    assert_eq!(world.settle(), own, "its own webhook and certificates hear how things are, once");
    for _ in 0..100 {
        world.pass(10);
        assert_eq!(world.take(Input::Tick), vec![]);
        assert_eq!(world.settle(), vec![]);
    }
    let outputs = leads(&mut world, 2);
    let planned: Vec<&str> = outputs
        .iter()
        .filter_map(|output| match output {
            Output::SetPlan(pod, _) => Some(pod.name.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(planned, ["db-0", "web-1", "web-2"], "it knows what came meanwhile");
    assert_eq!(outputs.last(), Some(&Output::Planned(2)), "then sidecars may come: {outputs:#?}");
    let again = world.settle();
    assert!(!again.contains(&Output::Planned(2)), "once");
}

#[test]
fn whoever_takes_over_takes_nothing_back() {
    for (mut world, before, dials) in
        [(World::good(), "True", world::connected()), (World::failed(), "False", refused())]
    {
        let after = ready(world.last()).0.to_owned();
        assert_eq!(after, before);
        rests(&mut world);
        world.pass(3600);
        let outputs = leads(&mut world, 2);
        assert!(outputs.iter().all(|o| !matches!(o, Output::Status(..) | Output::Event(_))), "{outputs:#?}");
        let told = world.events.len();
        assert!(statuses(&world.live(20)).is_empty(), "sidecars have time to come back");
        world.attach("web-1");
        world.walk("web-1", dials.clone());
        world.walk_repeated("web-1", dials, 50);
        assert!(statuses(&world.live(600)).is_empty(), "{before}: all is as it was");
        assert_eq!(world.events.len(), told);
    }
}

#[test]
fn what_was_known_in_an_earlier_term_counts_no_longer() {
    let mut world = World::good();
    rests(&mut world);
    world.pass(20);
    leads(&mut world, 2);
    assert!(world.engine.evidence.pod(&world::id("shop", "web-1")).is_none(), "it reports to another");
    let outputs = world.live(60);
    let said = statuses(&outputs);
    assert_eq!(said.last().map(ready), Some(("Unknown", "NotReporting")), "who does not come back is missed");
}

#[test]
fn the_same_term_goes_on_with_what_is_known() {
    let mut world = World::good();
    rests(&mut world);
    world.pass(60);
    world.tick();
    assert_eq!(world.settle(), vec![], "nothing is said of what comes meanwhile");
    let outputs = leads(&mut world, 1);
    assert!(!outputs.iter().any(|o| matches!(o, Output::SetPlan(..) | Output::Planned(_))), "{outputs:#?}");
    assert!(statuses(&outputs).is_empty(), "sidecars whose streams broke have time to come back");
    assert!(statuses(&world.live(120)).is_empty());
}

#[test]
fn pods_that_went_between_two_terms_are_taken_from_the_hub() {
    let mut world = World::good();
    world.web("web-2", 6, "old");
    world.live(1);
    rests(&mut world);
    world.pod_gone("web-2");
    world.settle();
    let outputs = leads(&mut world, 2);
    let gone: Vec<_> = outputs.iter().filter(|o| matches!(o, Output::RemovePod(_))).collect();
    assert_eq!(gone, [&Output::RemovePod(world::id("shop", "web-2"))]);
}

fn statuses(outputs: &[Output]) -> Vec<peerwalk_api::ConnectivityCheckStatus> {
    let status = |output: &Output| match output {
        Output::Status(_, write) => Some(write.status.clone()),
        _ => None,
    };
    outputs.iter().filter_map(status).collect()
}
