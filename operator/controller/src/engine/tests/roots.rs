//! Trusted roots: read when a check asks for them, kept while nobody knows better, forgotten with the check.

use super::world::acts::ready;
use super::*;

const PEM: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

fn bundle() -> (ObjectKey, String) {
    (ObjectKey::new("shop", "ca"), "ca.crt".to_owned())
}

fn with_roots() -> World {
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

fn read(world: &mut World, read: RootsRead) {
    let (map, entry) = bundle();
    world.take(Input::Roots(map, entry, read));
}

fn reads(outputs: &[Output]) -> usize {
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
