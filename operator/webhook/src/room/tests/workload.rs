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
    pod["metadata"]["ownerReferences"] = json!([{"uid": "other"}, {"uid": uid, "controller": true}]);
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
