//! Trusted roots: read when a check asks for them, kept while nobody knows better, forgotten with the check.

use super::world::acts::ready;
use super::*;

const PEM: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

fn bundle() -> (ObjectKey, String) {
    (ObjectKey::new("shop", "ca"), "ca.crt".to_owned())
}

pub(super) fn with_roots() -> World {
    let mut world = World::shop();
    world.check_with_target(json!({
        "name": "db", "url": "https://db.ledger.svc:5432/",
        "tls": {"caBundle": {"configMap": {"name": "ca", "key": "ca.crt"}}},
    }));
    let outputs = world.settle();
    let (map, entry) = bundle();
    assert!(outputs.contains(&Output::ReadRoots(map, entry)), "{outputs:?}");
    read(&mut world, RootsRead::Found(PEM.to_owned()));
    assert!(world.planned("web-1").is_some(), "with its roots it is planned");
    world.settle_and_store();
    world
}

pub(super) fn read(world: &mut World, read: RootsRead) {
    let (map, entry) = bundle();
    world.take(Input::Roots(map, entry, read));
}

pub(super) fn reads(outputs: &[Output]) -> usize {
    outputs.iter().filter(|output| matches!(output, Output::ReadRoots(..))).count()
}

#[test]
fn good_roots_stand_until_it_is_certain_that_they_are_gone() {
    let mut world = with_roots();
    read(&mut world, RootsRead::Failed("the API server did not answer in time".into()));
    assert_eq!(world.settle(), vec![], "nobody knows of a change");
    assert!(world.planned("web-1").is_some());

    read(&mut world, RootsRead::Missing("there is no such ConfigMap".into()));
    world.settle_and_store();
    assert_eq!(world.planned("web-1"), None, "there is nothing to verify by");
    assert_eq!(ready(world.last()), ("Unknown", "NotProven"), "{:#?}", world.last());
    read(&mut world, RootsRead::Found(PEM.to_owned()));
    assert!(world.planned("web-1").is_some(), "until there is again");
}

#[test]
fn roots_that_were_never_read_are_told_as_missing() {
    let mut world = World::shop();
    world.check_with_target(json!({
        "name": "db", "url": "https://db.ledger.svc:5432/",
        "tls": {"caBundle": {"configMap": {"name": "ca", "key": "ca.crt"}}},
    }));
    world.settle_and_store();
    // Longer than sidecars may take to come back after a start of the operator.
    world.live(40);
    read(&mut world, RootsRead::Failed("the API server did not answer in time".into()));
    world.settle_and_store();
    let message = &world.last().condition(READY).unwrap().message;
    assert!(message.contains("did not answer in time"), "{message}");
}

#[test]
fn roots_concern_the_checks_that_name_them() {
    let mut world = with_roots();
    world.other_check("other", &[world::acts::db()]);
    world.settle();
    read(&mut world, RootsRead::Found(format!("{PEM}{PEM}")));
    let touched = &world.engine.touched;
    assert!(!touched.all, "not everything");
    assert_eq!(touched.checks, BTreeSet::from([ObjectKey::new("shop", "storefront")]));
}

#[test]
fn roots_of_a_deleted_check_are_not_read_again() {
    let mut world = with_roots();
    world.pass(61);
    assert_eq!(reads(&world.take(Input::Tick)), 1, "what is asked for is read again each minute");
    world.check_gone();
    world.settle();
    // Asked for before the check went, answered after.
    read(&mut world, RootsRead::Found(PEM.to_owned()));
    world.settle();
    world.pass(61);
    assert_eq!(reads(&world.take(Input::Tick)), 0, "nobody asks for them");
}

#[test]
fn sidecars_come_once_roots_are_read_or_could_not_be() {
    let planned = |outputs: &[Output]| outputs.contains(&Output::Planned(1));
    for (answer, walked) in
        [(RootsRead::Found(PEM.to_owned()), true), (RootsRead::Failed("it did not answer".to_owned()), false)]
    {
        let mut world = with_roots().restarted();
        let outputs = world.settle();
        assert_eq!((reads(&outputs), planned(&outputs)), (1, false), "{answer:?}: {outputs:#?}");
        read(&mut world, answer.clone());
        let outputs = world.settle();
        assert!(planned(&outputs), "{answer:?}: {outputs:#?}");
        assert_eq!(world.planned("web-1").is_some(), walked, "{answer:?}");
    }
    let mut world = with_roots().restarted();
    world.settle();
    let came: Vec<bool> = (0..11).map(|_| planned(&world.live(1))).collect();
    assert_eq!(came.iter().position(|came| *came), Some(9), "they wait for 10 s at most: {came:?}");
}

#[test]
fn a_reading_that_failed_is_tried_again_before_anything_turns_unknown() {
    let mut world = with_roots();
    world.attach("web-1");
    world.walk("web-1", vec![world::dial("10.244.1.8:5432", DialOutcome::Connected { local_peer: None })]);
    let failed = || RootsRead::Failed("the API server did not answer in time".into());
    world.pass(61);
    assert_eq!(reads(&world.take(Input::Tick)), 1, "each minute");
    read(&mut world, failed());
    for _ in 0..3 {
        world.pass(9);
        assert_eq!(reads(&world.take(Input::Tick)), 0);
        world.pass(1);
        assert_eq!(reads(&world.take(Input::Tick)), 1, "each 10 s while nobody knows");
        read(&mut world, failed());
    }
    world.pass(10);
    assert_eq!(reads(&world.take(Input::Tick)), 0, "it may be that nobody may ever read them");
    world.pass(20);
    assert_eq!(reads(&world.take(Input::Tick)), 1, "so then with all others");
    read(&mut world, RootsRead::Found(PEM.to_owned()));
    world.pass(10);
    assert_eq!(reads(&world.take(Input::Tick)), 0, "and no more");
}

#[test]
fn in_another_term_roots_are_read_before_sidecars_walk_by_them() {
    let mut world = with_roots();
    world.engine.lead(None, world.now);
    world.pass(3600);
    world.engine.lead(Some(2), world.now);
    let outputs = world.settle();
    assert!(!outputs.contains(&Output::Planned(2)), "they are of an hour ago: {outputs:#?}");
    assert_eq!(reads(&world.take(Input::Tick)), 1);
    read(&mut world, RootsRead::Found(format!("{PEM}{PEM}")));
    let outputs = world.settle();
    let plan = world::plan_of(&outputs, "web-1").expect("a plan by those of now");
    assert!(format!("{plan:?}").contains(&format!("{:?}", format!("{PEM}{PEM}"))), "{plan:?}");
    assert!(outputs.contains(&Output::Planned(2)), "{outputs:#?}");
}
