//! Tests of what events make known.

use serde_json::{Value, json};

use super::*;

fn object(value: Value) -> DynamicObject {
    serde_json::from_value(value).unwrap()
}

fn namespace(name: &str, range: &str) -> DynamicObject {
    object(json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": name, "annotations": {UID_RANGE: range}},
    }))
}

fn limit_range() -> DynamicObject {
    object(json!({
        "apiVersion": "v1", "kind": "LimitRange",
        "metadata": {"namespace": "shop", "name": "small"},
        "spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}}]},
    }))
}

fn quota(used: &str) -> DynamicObject {
    object(json!({
        "apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": {"namespace": "shop", "name": "team"},
        "spec": {"hard": {"cpu": "1"}},
        "status": {"hard": {"cpu": "1"}, "used": {"cpu": used}},
    }))
}

/// Every kind, listed with these objects; what makes pods with none.
fn listed(namespaces: &Namespaces, objects: [Vec<DynamicObject>; 3]) {
    let all = objects.into_iter().chain(std::iter::repeat(Vec::new()));
    for (kind, objects) in Kind::ALL.into_iter().zip(all) {
        let mut listed = BTreeSet::from([("of".to_owned(), "before".to_owned())]);
        take(namespaces, kind, &mut listed, Event::Init);
        for object in objects {
            take(namespaces, kind, &mut listed, Event::InitApply(object));
        }
        take(namespaces, kind, &mut listed, Event::InitDone);
    }
}

#[test]
fn lists_and_changes_are_known_to_the_webhook() {
    let namespaces = Namespaces::default();
    listed(&namespaces, [vec![namespace("shop", "1000/10")], vec![limit_range()], vec![quota("0")]]);
    let before = namespaces.get("shop");
    assert!(before.known);
    assert_eq!(before.rules.user, Some(1000));
    assert_eq!((before.rules.limit_ranges().count(), before.rules.quotas().count()), (1, 1));

    let mut none = BTreeSet::new();
    take(&namespaces, Kind::ResourceQuota, &mut none, Event::Apply(quota("1")));
    take(&namespaces, Kind::Namespace, &mut none, Event::Apply(namespace("shop", "2000-2009")));
    take(&namespaces, Kind::LimitRange, &mut none, Event::Delete(limit_range()));
    let after = namespaces.get("shop");
    assert_ne!(
        before.rules.quotas().collect::<Vec<_>>(),
        after.rules.quotas().collect::<Vec<_>>(),
        "used up"
    );
    assert_eq!((after.rules.user, after.rules.limit_ranges().count()), (Some(2000), 0));
}

#[test]
fn what_went_while_nobody_watched_is_forgotten_with_the_next_list() {
    let namespaces = Namespaces::default();
    listed(&namespaces, [vec![namespace("shop", "1000/10")], vec![limit_range()], vec![quota("0")]]);
    listed(&namespaces, [vec![], vec![], vec![]]);
    let gone = namespaces.get("shop");
    assert!(!gone.known);
    assert_eq!(gone.rules.limit_ranges().count() + gone.rules.quotas().count(), 0);
    assert_eq!(gone.rules.user, None);
}

#[test]
fn it_is_told_once_every_kind_was_listed_and_once_only() {
    let (complete, mut heard) = oneshot::channel();
    let told = Told { namespaces: Namespaces::default(), complete: Mutex::new(Some(complete)) };
    for kind in Kind::ALL {
        told.listed();
        assert!(heard.try_recv().is_err(), "before {kind:?} was listed");
        take(&told.namespaces, kind, &mut BTreeSet::new(), Event::InitDone);
    }
    told.listed();
    assert_eq!(heard.try_recv(), Ok(()));
    told.listed();
}

#[test]
fn what_makes_pods_is_there_while_it_wants_some() {
    let namespaces = Namespaces::default();
    let kind = Kind::Workload(WorkloadKind::ReplicaSet);
    let set = |replicas: u32| {
        Event::Apply(object(json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {"namespace": "shop", "name": "web", "uid": "a1"},
            "spec": {"replicas": replicas, "template": {"spec": {"containers": [{"name": "web"}]}}},
        })))
    };
    let silent = namespaces.get("shop").rules;
    take(&namespaces, kind, &mut BTreeSet::new(), set(2));
    assert_ne!(namespaces.get("shop").rules, silent);
    take(&namespaces, kind, &mut BTreeSet::new(), set(0));
    assert_eq!(namespaces.get("shop").rules, silent);
}
