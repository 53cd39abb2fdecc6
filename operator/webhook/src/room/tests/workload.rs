//! Room for pods that are still to come.

use super::*;

/// What a namespace still wants: by kind, uid and object.
fn wanting(rules: &mut NamespaceRules, kind: WorkloadKind, uid: &str, object: &Value) {
    rules.workloads.remove(uid);
    if let Some(workload) = Workload::read(kind, object) {
        rules.workloads.insert(uid.to_owned(), workload);
    }
}

fn owned(cpu: &str, uid: &str) -> Value {
    let mut pod = pod(&json!({"requests": {"cpu": cpu}}));
    pod["metadata"]["ownerReferences"] = json!([{"uid": "other"}, {
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": uid, "controller": true,
    }]);
    pod
}

#[test]
fn pods_that_are_still_to_come_find_their_room() {
    // Each takes 100m, ours 10m.
    for (replicas, made, used, hard, fits) in [
        // Exactly the application: none has a sidecar.
        (4, 0, 0, 400, false),
        (4, 3, 300, 400, false),
        // The rest, and a quarter more for a rollout.
        (4, 0, 0, 510, true),
        (4, 0, 0, 509, false),
        (4, 3, 330, 540, true),
        (4, 3, 330, 539, false),
        (8, 0, 0, 1010, true),
        (8, 0, 0, 1009, false),
        (9, 0, 0, 1210, true),
        (9, 0, 0, 1209, false),
        // More than are wanted, as while it rolls out.
        (4, 5, 550, 760, true),
        (4, 5, 550, 759, false),
    ] {
        let counted = [("requests.cpu", &*format!("{hard}m"), &*format!("{used}m"))];
        let mut rules = with_quota(&json!([]), &counted);
        wanting(&mut rules, WorkloadKind::ReplicaSet, "a", &json!({"spec": {"replicas": replicas}}));
        rules.made.insert("a".to_owned(), made);
        let found = sizes(&owned("100m", "a"), Sizing::Configured, &rules);
        assert_eq!(found == GIVEN, fits, "{replicas}, {made} made, {used} of {hard}: {found}");
        let to_come = found.contains("pods that are still to come take");
        assert_eq!(to_come, !fits && used + 110 <= hard, "said where it is what lacks room: {found}");
    }
}

/// Its controller may hear of it sooner than we do.
#[test]
fn a_pod_of_something_that_is_not_known_yet_goes_without_where_a_quota_counts_it() {
    let mut pod = owned("100m", "a");
    let counted = |key| with_quota(&json!([]), &[(key, "9", "0")]);
    let why = sizes(&pod, Sizing::Configured, &counted("requests.cpu"));
    let expected = "ResourceQuota team: how many pods ReplicaSet web-1 wants, which must find room in it, is not known yet";
    assert_eq!(why, expected);
    for free in [NamespaceRules::default(), counted("services"), counted("pods")] {
        assert_eq!(sizes(&pod, Sizing::Configured, &free), GIVEN);
    }
    pod["metadata"]["ownerReferences"][1]["apiVersion"] = json!("example.com/v1");
    assert_eq!(
        sizes(&pod, Sizing::Configured, &counted("requests.cpu")),
        GIVEN,
        "of a kind that is not watched"
    );
}

#[test]
fn pods_of_others_that_are_still_to_come_find_theirs() {
    let template = json!({"spec": {
        "containers": [{"name": "db", "resources": {"requests": {"cpu": "200m"}}}],
        "initContainers": [{"name": "wait", "resources": {"requests": {"cpu": "300m"}}}],
    }});
    let object = json!({"spec": {"replicas": 2, "template": template}});
    for (scope, made, least) in
        [(json!([]), 0, 810), (json!([]), 1, 510), (json!([]), 2, 210), (json!(["Terminating"]), 0, 210)]
    {
        let fits = |hard: u32| {
            let mut pod = pod(&json!({"requests": {"cpu": "100m"}}));
            pod["spec"]["activeDeadlineSeconds"] = json!(60);
            let mut rules = with_quota(&scope, &[("requests.cpu", &format!("{hard}m"), "0")]);
            wanting(&mut rules, WorkloadKind::StatefulSet, "db", &object);
            rules.made.insert("db".to_owned(), made);
            try_fit(&pod, Sizing::Configured, &rules).is_ok()
        };
        assert!(fits(least) && !fits(least - 1), "{made} made, scopes {scope}: {least}");
    }
}

#[test]
fn what_makes_pods_wants_as_many_at_a_time() {
    use WorkloadKind::{DaemonSet, Job, ReplicaSet, StatefulSet};
    for (kind, object, wanted) in [
        (ReplicaSet, json!({"spec": {"replicas": 3}}), 3),
        (ReplicaSet, json!({"spec": {}}), 1),
        (ReplicaSet, json!({"spec": {"replicas": 0}}), 0),
        (StatefulSet, json!({"spec": {"replicas": 3}}), 3),
        (DaemonSet, json!({"spec": {}, "status": {"desiredNumberScheduled": 3}}), 3),
        (DaemonSet, json!({"spec": {}}), 0),
        (Job, json!({"spec": {}}), 1),
        (Job, json!({"spec": {"parallelism": 3}}), 3),
        (Job, json!({"spec": {"parallelism": 3, "completions": 2}}), 2),
        (Job, json!({"spec": {"parallelism": 3, "completions": 5}, "status": {"succeeded": 3}}), 2),
        (Job, json!({"spec": {"suspend": true}}), 0),
        (Job, json!({"spec": {}, "status": {"conditions": [{"type": "Failed", "status": "True"}]}}), 0),
        (Job, json!({"spec": {}, "status": {"conditions": [{"type": "Failed", "status": "False"}]}}), 1),
    ] {
        let mut rules = with_quota(&json!([]), &[("requests.cpu", "0", "0")]);
        wanting(&mut rules, kind, "a", &object);
        let of_others = ToCome::after(&json!({}), &rules).others;
        let found: u32 = of_others.iter().map(|(count, _)| count).sum();
        assert_eq!(found, wanted, "{kind:?} {object}");
    }
}

proptest! {
    /// One after another, as they come, with counts of pods that may lag behind.
    #[test]
    fn every_replica_that_a_quota_holds_is_made(
        replicas in 1..30_u32, spare in 0..2000_u32, lag in 0..4_u32,
    ) {
        let (hard, mut used) = (100 * replicas + spare, 0);
        for made in 0..replicas {
            let counted = [("requests.cpu", &*format!("{hard}m"), &*format!("{used}m"))];
            let mut rules = with_quota(&json!([]), &counted);
            wanting(&mut rules, WorkloadKind::ReplicaSet, "a", &json!({"spec": {"replicas": replicas}}));
            rules.made.insert("a".to_owned(), made.saturating_sub(lag));
            let injected = try_fit(&owned("100m", "a"), Sizing::Configured, &rules).is_ok();
            used += if injected { 110 } else { 100 };
            prop_assert!(used <= hard, "pod {made} of {replicas}: {used} of {hard}");
        }
        let rollout = 100 * replicas.div_ceil(4);
        if lag == 0 && spare >= 10 * replicas + rollout {
            prop_assert_eq!(used, 110 * replicas, "there was room for a sidecar in each");
        }
        prop_assert!(used == 100 * replicas || used + rollout <= hard, "room for a rollout is left");
    }
}
