//! Tests of sizes and room: tables, and properties held against the API server's own rules.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::config::amount::amount;
use crate::testing::{limited, with_quota};

mod others;
mod workload;

/// A pod with one container of these resources.
fn pod(resources: &Value) -> Value {
    json!({"metadata": {}, "spec": {"containers": [{"name": "web", "resources": resources}]}})
}

fn try_fit(pod: &Value, sizing: Sizing, rules: &NamespaceRules) -> Result<Option<Value>, Refusal> {
    let init_containers: Vec<&Value> =
        pod["spec"]["initContainers"].as_array().into_iter().flatten().collect();
    fit(pod, &init_containers, 0, sizing, &ContainerResources::default(), rules)
}

/// CPU request and limit, memory request and limit; or why not.
fn sizes(pod: &Value, sizing: Sizing, rules: &NamespaceRules) -> String {
    match try_fit(pod, sizing, rules) {
        Ok(Some(resources)) => {
            let part = |name: &str| {
                let of = |side: &str| resources[side][name].as_str().unwrap_or("none").to_owned();
                format!("{}/{}", of("requests"), of("limits"))
            };
            format!("{} {}", part("cpu"), part("memory"))
        }
        Ok(None) => "none".to_owned(),
        Err(refusal) => refusal.why,
    }
}

const GIVEN: &str = "10m/100m 16Mi/32Mi";

#[test]
fn sizes_fit_the_limit_range_of_containers() {
    let container = |bounds: Value| {
        let mut item = bounds;
        item["type"] = json!("Container");
        limited(&json!([item]))
    };
    for (bounds, expected) in [
        (json!({}), GIVEN),
        (json!({"min": {"cpu": "10m", "memory": "16Mi"}, "max": {"cpu": "1", "memory": "1Gi"}}), GIVEN),
        (json!({"min": {"cpu": "50m"}}), "50m/100m 16Mi/32Mi"),
        (json!({"min": {"cpu": "0.2", "memory": "64Mi"}}), "200m/200m 64Mi/64Mi"),
        (json!({"max": {"cpu": "50m", "memory": "20Mi"}}), "10m/50m 16Mi/20Mi"),
        (json!({"max": {"memory": "16Mi"}}), "10m/100m 16Mi/16Mi"),
        (json!({"maxLimitRequestRatio": {"cpu": "10", "memory": "2"}}), GIVEN),
        // The limit is lowered, down to what the sidecar needs; then the request is raised.
        (json!({"maxLimitRequestRatio": {"cpu": "4"}}), "10m/40m 16Mi/32Mi"),
        (json!({"maxLimitRequestRatio": {"cpu": "1", "memory": "1"}}), "20m/20m 16Mi/16Mi"),
        (json!({"maxLimitRequestRatio": {"cpu": "1500m"}}), "14m/20m 16Mi/32Mi"),
        (json!({"maxLimitRequestRatio": {"memory": "1500m"}}), "10m/100m 16Mi/24Mi"),
        (json!({"min": {"cpu": "60m"}, "maxLimitRequestRatio": {"cpu": "1"}}), "60m/60m 16Mi/32Mi"),
        (json!({"default": {"cpu": "3"}}), GIVEN),
        (json!({"max": {"cpu": "many"}}), GIVEN),
        (
            json!({"max": {"memory": "15Mi"}}),
            "LimitRange small: Container max.memory is 15Mi; the sidecar needs 16Mi",
        ),
        (json!({"max": {"cpu": "10m"}}), "LimitRange small: Container max.cpu is 10m; the sidecar needs 20m"),
        (
            json!({"min": {"cpu": "2"}, "max": {"cpu": "1"}}),
            "LimitRange small: Container min.cpu is 2; with the sidecar a container requests 1, with a limit of 1",
        ),
    ] {
        assert_eq!(
            sizes(&pod(&json!({})), Sizing::Configured, &container(bounds.clone())),
            expected,
            "{bounds}"
        );
    }
    for (bounds, expected) in [
        (json!({}), "100m/100m 32Mi/32Mi"),
        (json!({"max": {"cpu": "50m"}, "min": {"memory": "64Mi"}}), "50m/50m 64Mi/64Mi"),
        (json!({"maxLimitRequestRatio": {"cpu": "1"}}), "100m/100m 32Mi/32Mi"),
    ] {
        assert_eq!(
            sizes(&pod(&json!({})), Sizing::Guaranteed, &container(bounds.clone())),
            expected,
            "{bounds}"
        );
    }
}

#[test]
fn sizes_fit_the_limit_range_of_pods() {
    let of_pod = |bounds: Value| {
        let mut item = bounds;
        item["type"] = json!("Pod");
        limited(&json!([item]))
    };
    let requests = json!({"requests": {"cpu": "500m", "memory": "100Mi"}});
    let both =
        json!({"requests": {"cpu": "500m", "memory": "100Mi"}, "limits": {"cpu": "1", "memory": "200Mi"}});
    for (resources, bounds, expected) in [
        (&both, json!({"max": {"cpu": "2", "memory": "1Gi"}, "min": {"cpu": "500m"}}), GIVEN),
        (&both, json!({"max": {"cpu": "1050m", "memory": "220Mi"}}), "10m/50m 16Mi/20Mi"),
        (&both, json!({"maxLimitRequestRatio": {"cpu": "2"}}), "10m/20m 16Mi/32Mi"),
        // Ours is the only limit, and all of the pod's.
        (&requests, json!({"min": {"memory": "64Mi"}}), "10m/100m 16Mi/64Mi"),
        (
            &both,
            json!({"max": {"cpu": "1010m"}}),
            "LimitRange small: Pod max.cpu is 1010m; with the sidecar the pod requests 510m, with a limit of 1020m",
        ),
        // Not let in by us where the owner wants a limit.
        (
            &requests,
            json!({"max": {"cpu": "2"}}),
            "LimitRange small: Pod max.cpu is 2; the pod breaks it by itself",
        ),
        (
            &both,
            json!({"min": {"cpu": "600m"}}),
            "LimitRange small: Pod min.cpu is 600m; the pod breaks it by itself",
        ),
    ] {
        let found = sizes(&pod(resources), Sizing::Configured, &of_pod(bounds.clone()));
        assert_eq!(found, expected, "{resources} in {bounds}");
    }
}

#[test]
fn a_pod_with_resources_of_its_own_gets_none_and_no_defaults() {
    let own = pod(&json!({}));
    assert_eq!(sizes(&own, Sizing::PodLevel, &NamespaceRules::default()), "none");
    let quota = with_quota(&json!([]), &[("requests.cpu", "1", "1")]);
    assert_eq!(sizes(&own, Sizing::PodLevel, &quota), "none", "ours adds nothing to what the pod says");
    let defaults = limited(&json!([{"type": "Container", "default": {"cpu": "1"}}]));
    assert!(
        sizes(&own, Sizing::PodLevel, &defaults).starts_with("LimitRange small: it gives every container")
    );
    let pods = limited(&json!([{"type": "Pod", "max": {"cpu": "1"}}]));
    assert_eq!(sizes(&own, Sizing::PodLevel, &pods), "none");
    // Other resources are not the pod's as a whole.
    let disk = json!([{"type": "Container", "default": {"ephemeral-storage": "1Gi"}}]);
    assert_eq!(sizes(&own, Sizing::PodLevel, &limited(&disk)), "none");
    let mut full = limited(&disk);
    full.quotas = with_quota(&json!([]), &[("limits.ephemeral-storage", "1Gi", "512Mi")]).quotas;
    let why = sizes(&own, Sizing::PodLevel, &full);
    assert!(why.starts_with("ResourceQuota team: 512Mi of limits.ephemeral-storage is left"), "{why}");
}

/// What is left of a quota, and whether the pod with ours is within it and one more such pod.
#[test]
fn quotas_have_room_or_not() {
    let both =
        json!({"requests": {"cpu": "500m", "memory": "100Mi"}, "limits": {"cpu": "1", "memory": "200Mi"}});
    for (key, hard, used, fits) in [
        ("requests.cpu", "1500m", "490m", true),
        ("requests.cpu", "1500m", "491m", false),
        ("cpu", "1500m", "491m", false),
        ("requests.memory", "1Gi", "808Mi", true),
        ("requests.memory", "1Gi", "809Mi", false),
        ("memory", "1Gi", "809Mi", false),
        ("limits.cpu", "3", "900m", true),
        ("limits.cpu", "3", "901m", false),
        ("limits.memory", "500Mi", "68Mi", true),
        ("limits.memory", "500Mi", "69Mi", false),
        // Over without us as well.
        ("requests.cpu", "1", "2", false),
        // Nothing of ours.
        ("pods", "1", "1", true),
        ("count/pods", "1", "1", true),
        ("requests.storage", "1", "1", true),
        ("requests.ephemeral-storage", "1", "1", true),
        ("requests.example.com/gpu", "1", "1", true),
        ("services", "1", "1", true),
    ] {
        let rules = with_quota(&json!([]), &[(key, hard, used)]);
        let found = try_fit(&pod(&both), Sizing::Configured, &rules);
        assert_eq!(found.is_ok(), fits, "{key}: {used} of {hard}");
        if let Err(refusal) = found {
            assert_eq!(refusal.reason, SkipReason::Quota);
            assert!(
                refusal.why.starts_with("ResourceQuota team: ") && refusal.why.contains(key),
                "{}",
                refusal.why
            );
        }
    }
}

#[test]
fn quotas_count_what_the_api_server_counts() {
    let rules = |hard: &str| with_quota(&json!([]), &[("requests.cpu", hard, "0")]);
    let cpu = |amount: &str| json!({"requests": {"cpu": amount}});
    let mut pod = pod(&cpu("100m"));
    let mut takes = |spec: &str, value: Value, least: &str, short: &str| {
        pod["spec"][spec] = value;
        assert!(try_fit(&pod, Sizing::Configured, &rules(least)).is_ok(), "{least} is enough for {pod}");
        assert!(try_fit(&pod, Sizing::Configured, &rules(short)).is_err(), "{short} is too little for {pod}");
    };
    let native = json!({"name": "vault", "restartPolicy": "Always", "resources": cpu("20m")});
    takes("overhead", json!({"cpu": "5m"}), "220m", "219m");
    takes("initContainers", json!([native]), "260m", "259m");
    // One that runs alone, beside native sidecars before it and ours.
    takes("initContainers", json!([native, {"name": "migrate", "resources": cpu("1")}]), "2060m", "2059m");
}

#[test]
fn what_starts_before_us_does_not_run_beside_us() {
    let mut pod = pod(&json!({"requests": {"cpu": "100m"}}));
    let migrate = json!({"name": "migrate", "resources": {"requests": {"cpu": "1"}}});
    pod["spec"]["initContainers"] = json!([migrate]);
    let rules = with_quota(&json!([]), &[("requests.cpu", "2", "0")]);
    let fit_at = |position| {
        let init_containers = [&pod["spec"]["initContainers"][0]];
        fit(&pod, &init_containers, position, Sizing::Configured, &ContainerResources::default(), &rules)
            .is_ok()
    };
    assert!(fit_at(1), "it has ended when ours starts");
    assert!(!fit_at(0), "ours runs beside it");
}

#[test]
fn quotas_apply_by_their_scopes() {
    let full = [("requests.cpu", "1", "1")];
    let burstable = pod(&json!({"requests": {"cpu": "100m"}}));
    let with = |field: &str, value: Value| {
        let mut pod = burstable.clone();
        pod["spec"][field] = value;
        pod
    };
    let limited_time = with("activeDeadlineSeconds", json!(10));
    let critical = with("priorityClassName", json!("critical"));
    for (pod, scope, applies) in [
        (&burstable, "Terminating", false),
        (&limited_time, "Terminating", true),
        (&burstable, "NotTerminating", true),
        (&limited_time, "NotTerminating", false),
        (&burstable, "BestEffort", false),
        (&burstable, "NotBestEffort", true),
        (&burstable, "PriorityClass", false),
        (&critical, "PriorityClass", true),
        (&burstable, "CrossNamespacePodAffinity", false),
        (&burstable, "OfTheFuture", false),
    ] {
        let rules = with_quota(&json!([scope]), &full);
        assert_eq!(try_fit(pod, Sizing::Configured, &rules).is_err(), applies, "{scope}: {pod}");
    }
    for (operator, values, of_critical, of_others) in [
        ("In", json!(["critical"]), true, false),
        ("NotIn", json!(["critical"]), false, true),
        ("Exists", json!([]), true, false),
        ("DoesNotExist", json!([]), false, true),
        ("OfTheFuture", json!([]), false, false),
    ] {
        let selector = json!({"scopeName": "PriorityClass", "operator": operator, "values": values});
        let object = json!({"spec": {"scopeSelector": {"matchExpressions": [selector]}},
            "status": {"hard": {"cpu": "1"}, "used": {"cpu": "1"}}});
        let mut rules = NamespaceRules::default();
        rules.quotas.insert("team".to_owned(), Quota::read("team", &object));
        assert_eq!(try_fit(&critical, Sizing::Configured, &rules).is_err(), of_critical, "{operator}");
        assert_eq!(try_fit(&burstable, Sizing::Configured, &rules).is_err(), of_others, "{operator}");
    }
}

#[test]
fn a_pod_that_would_no_longer_be_best_effort_keeps_out_of_quotas_for_others() {
    let best_effort = pod(&json!({}));
    let scopes = json!(["NotBestEffort"]);
    let amounts = with_quota(&scopes, &[("limits.cpu", "100", "0")]);
    let why = sizes(&best_effort, Sizing::Configured, &amounts);
    assert!(why.starts_with("ResourceQuota team: it is for pods that are not BestEffort"), "{why}");
    let full = with_quota(&scopes, &[("pods", "3", "3")]);
    let why = sizes(&best_effort, Sizing::Configured, &full);
    assert_eq!(why, "ResourceQuota team: 0 of pods is left of 3; with the sidecar the pod takes 1");
    let room = with_quota(&scopes, &[("pods", "3", "2")]);
    assert_eq!(sizes(&best_effort, Sizing::Configured, &room), GIVEN);
}

#[test]
fn a_quota_that_is_not_counted_yet_is_left_to_the_api_server() {
    let object = json!({"spec": {"hard": {"cpu": "0"}}, "status": {"hard": {"cpu": "0"}}});
    let mut rules = NamespaceRules::default();
    rules.quotas.insert("team".to_owned(), Quota::read("team", &object));
    assert_eq!(sizes(&pod(&json!({})), Sizing::Configured, &rules), GIVEN);
}

fn millis(least: u64) -> impl Strategy<Value = Option<u64>> {
    prop::option::of(least..400_u64)
}

proptest! {
    #[test]
    fn whatever_a_limit_range_asks_a_size_is_within_it_and_lets_us_live(
        min in millis(1), max in millis(1), ratio in prop::option::of(1000..12_000_u64),
        app_request in 1..300_u64, app_more in 0..300_u64,
        of_pod in any::<bool>(), guaranteed in any::<bool>(),
    ) {
        let mut item = json!({"type": if of_pod { "Pod" } else { "Container" }});
        for (field, value) in [("min", min), ("max", max), ("maxLimitRequestRatio", ratio)] {
            if let Some(value) = value {
                item[field] = json!({"cpu": format!("{value}m")});
            }
        }
        let pod = pod(&json!({
            "requests": {"cpu": format!("{app_request}m")},
            "limits": {"cpu": format!("{}m", app_request + app_more)},
        }));
        let sizing = if guaranteed { Sizing::Guaranteed } else { Sizing::Configured };
        if let Ok(Some(resources)) = try_fit(&pod, sizing, &limited(&json!([item]))) {
            let read = |side: &str| amount(resources[side]["cpu"].as_str().expect("text")).expect("an amount");
            let (request, limit) = (read("requests"), read("limits"));
            prop_assert!(request <= limit && request > 0 && limit >= 20, "{resources}");
            prop_assert!(!guaranteed || request == limit, "{resources}");
            let (app_request, app_limit) = if of_pod {
                (u128::from(app_request), u128::from(app_request + app_more))
            } else {
                (0, 0)
            };
            let (request, limit) = (request + app_request, limit + app_limit);
            prop_assert!(min.is_none_or(|min| request >= min.into()), "{resources} in {item}");
            prop_assert!(max.is_none_or(|max| limit <= max.into()), "{resources} in {item}");
            prop_assert!(ratio.is_none_or(|ratio| limit * 1000 <= request * u128::from(ratio)), "{resources} in {item}");
        }
    }
}
