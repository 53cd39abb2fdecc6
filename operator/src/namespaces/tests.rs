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

/// Every kind, listed with these objects.
fn listed(namespaces: &Namespaces, objects: [Vec<DynamicObject>; 3]) {
    for (kind, objects) in [Kind::Namespace, Kind::LimitRange, Kind::ResourceQuota].into_iter().zip(objects) {
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
