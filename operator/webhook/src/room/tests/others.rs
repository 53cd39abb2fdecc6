//! Resources of which we say nothing, and the API server gives our container some.

use super::*;

/// Other resources than CPU and memory are given to every container, ours too.
#[test]
fn what_a_limit_range_gives_every_container_has_to_fit() {
    const DISK: &str = "ephemeral-storage";
    let item = |kind: &str, bounds: Value| {
        let mut item = json!({ "type": kind });
        for (field, amount) in bounds.as_object().expect("bounds") {
            item[field] = json!({ DISK: amount });
        }
        item
    };
    let own = json!({"requests": {DISK: "1Gi"}, "limits": {DISK: "2Gi"}});
    let container = |bounds| item("Container", bounds);
    let pod_item = |bounds| item("Pod", bounds);
    for (resources, items, refused) in [
        (&own, vec![container(json!({"default": "1Gi", "defaultRequest": "512Mi"}))], None),
        (&own, vec![container(json!({"min": "512Mi", "max": "2Gi"}))], None),
        (&own, vec![container(json!({"maxLimitRequestRatio": "2", "max": "2Gi"}))], None),
        (
            &own,
            vec![container(json!({"maxLimitRequestRatio": "2"}))],
            Some(
                "Container maxLimitRequestRatio.ephemeral-storage is 2; with the sidecar a container requests \
                  nothing, with a limit of nothing",
            ),
        ),
        // A minimum alone gives no limit.
        (
            &own,
            vec![container(json!({"min": "512Mi", "maxLimitRequestRatio": "2"}))],
            Some(
                "Container maxLimitRequestRatio.ephemeral-storage is 2; with the sidecar a container requests \
                  512Mi, with a limit of nothing",
            ),
        ),
        (&own, vec![container(json!({"default": "1Gi"})), pod_item(json!({"max": "3Gi"}))], None),
        (
            &own,
            vec![container(json!({"default": "1Gi"})), pod_item(json!({"max": "2Gi"}))],
            Some(
                "Pod max.ephemeral-storage is 2Gi; with the sidecar the pod requests 2Gi, with a limit of 3Gi",
            ),
        ),
        // One that names no limit has to bound a pod by the limits of others.
        (&own, vec![container(json!({"min": "1Gi"})), pod_item(json!({"maxLimitRequestRatio": "2"}))], None),
        (
            &json!({}),
            vec![container(json!({"min": "1Gi"})), pod_item(json!({"max": "9Gi"}))],
            Some("Pod max.ephemeral-storage is 9Gi; the pod breaks it by itself"),
        ),
        // Ours has nothing of it.
        (&own, vec![pod_item(json!({"min": "1Gi", "max": "2Gi", "maxLimitRequestRatio": "2"}))], None),
    ] {
        let found = sizes(&pod(resources), Sizing::Configured, &limited(&json!(items)));
        let expected = refused.map_or(GIVEN.to_owned(), |why| format!("LimitRange small: {why}"));
        assert_eq!(found, expected, "{resources} in {items:?}");
    }
}

#[test]
fn no_device_is_taken_and_no_order_of_limit_ranges_is_guessed() {
    for (resource, amount, refused) in [
        ("example.com/gpu", "1", true),
        ("example.com/gpu", "0", false),
        ("hugepages-2Mi", "2Mi", true),
        ("ephemeral-storage", "1Gi", false),
    ] {
        for field in ["default", "defaultRequest", "max", "min"] {
            let rules = limited(&json!([{"type": "Container", field: {resource: amount}}]));
            let found = sizes(&pod(&json!({})), Sizing::Configured, &rules);
            assert_eq!(
                found.contains("which the sidecar must not take"),
                refused,
                "{field} {resource}: {found}"
            );
            assert_eq!(found == GIVEN, !refused, "{field} {resource}: {found}");
        }
    }
    let mut rules = limited(&json!([{"type": "Container", "default": {"ephemeral-storage": "1Gi"}}]));
    for (amount, refused) in [("1024Mi", false), ("2Gi", true)] {
        let spec = json!({"limits": [{"type": "Container", "max": {"ephemeral-storage": amount}}]});
        rules.limit_ranges.insert("large".to_owned(), LimitRange::read("large", &spec));
        let found = sizes(&pod(&json!({})), Sizing::Configured, &rules);
        assert_eq!(found.contains("another amount of ephemeral-storage"), refused, "{amount}: {found}");
    }
}

#[test]
fn quotas_count_what_a_limit_range_gives() {
    let own = json!({"requests": {"ephemeral-storage": "1Gi"}, "limits": {"ephemeral-storage": "1Gi"}});
    let given = |given: bool, key: &str, hard: &str| {
        let item = json!({"type": "Container", "default": {"ephemeral-storage": "1Gi"},
            "defaultRequest": {"ephemeral-storage": "512Mi"}});
        let mut rules = if given { limited(&json!([item])) } else { NamespaceRules::default() };
        rules.quotas = with_quota(&json!([]), &[(key, hard, "0")]).quotas;
        try_fit(&pod(&own), Sizing::Configured, &rules).is_ok()
    };
    for (key, least, short) in [
        // Ours, the pod, and one more such pod without.
        ("ephemeral-storage", "2560Mi", "2559Mi"),
        ("requests.ephemeral-storage", "2560Mi", "2559Mi"),
        ("limits.ephemeral-storage", "3Gi", "3071Mi"),
    ] {
        assert!(given(true, key, least), "{key} {least}");
        assert!(!given(true, key, short), "{key} {short}");
        assert!(given(false, key, short), "nothing of ours counts for {key}");
    }
}

/// A pod that becomes one of those that a quota counts brings all that it has.
#[test]
fn a_pod_that_is_counted_only_with_us_is_counted_whole() {
    let mut own = pod(&json!({"requests": {"ephemeral-storage": "1Gi"}}));
    let scopes = json!(["NotBestEffort"]);
    let fits = |pod: &Value, hard: &str| {
        let rules = with_quota(&scopes, &[("requests.ephemeral-storage", hard, "0")]);
        try_fit(pod, Sizing::Configured, &rules).is_ok()
    };
    assert!(fits(&own, "1Gi") && !fits(&own, "1023Mi"));
    own["spec"]["containers"][0]["resources"]["requests"]["cpu"] = json!("1m");
    assert!(fits(&own, "0"), "counted without us as well");
}

/// `min`, `max`, `maxLimitRequestRatio`, `default`, `defaultRequest`.
fn fields() -> impl Strategy<Value = [Option<u64>; 5]> {
    let amount = || prop::option::of(1..6_u64);
    [amount(), amount(), prop::option::of(1..4_u64), amount(), amount()]
}

/// What the API server makes of such an item.
fn lets_in([min, max, ratio, ..]: [Option<u64>; 5], request: Option<u64>, limit: Option<u64>) -> bool {
    min.is_none_or(|min| request.is_some_and(|r| r >= min) && limit.is_none_or(|l| l >= min))
        && max.is_none_or(|max| limit.is_some_and(|l| l <= max) && request.is_none_or(|r| r <= max))
        && ratio.is_none_or(|ratio| request.zip(limit).is_some_and(|(r, l)| l <= ratio * r))
}

proptest! {
    #[test]
    fn a_pod_gets_a_sidecar_exactly_where_it_is_let_in_with_it(
        of_container in fields(), of_pod in fields(),
        app in prop::option::of((1..4_u64, 0..3_u64)),
        hard in prop::option::of(0..12_u64),
    ) {
        const DISK: &str = "ephemeral-storage";
        let names = ["min", "max", "maxLimitRequestRatio", "default", "defaultRequest"];
        let item = |kind: &str, fields: [Option<u64>; 5]| {
            let mut item = json!({ "type": kind });
            for (name, amount) in names.iter().zip(fields) {
                let unit = if *name == "maxLimitRequestRatio" { "" } else { "Mi" };
                if let Some(amount) = amount {
                    item[*name] = json!({ DISK: format!("{amount}{unit}") });
                }
            }
            item
        };
        let mut rules = limited(&json!([item("Container", of_container), item("Pod", of_pod)]));
        if let Some(hard) = hard {
            rules.quotas = with_quota(&json!([]), &[("limits.ephemeral-storage", &format!("{hard}Mi"), "0")]).quotas;
        }
        let (app_request, app_limit) = app.map(|(request, more)| (request, request + more)).unzip();
        let resources = app_request.zip(app_limit).map_or(json!({}), |(request, limit)| {
            json!({"requests": {DISK: format!("{request}Mi")}, "limits": {DISK: format!("{limit}Mi")}})
        });
        let [min, max, _, default, default_request] = of_container;
        let limit = default.or(max);
        let request = default_request.or(limit).or(min);
        let sum = |app: Option<u64>, ours: Option<u64>| match (app, ours) {
            (None, None) => None,
            (app, ours) => Some(app.unwrap_or(0) + ours.unwrap_or(0)),
        };
        let room = limit.is_none() || hard.is_none_or(|hard| {
            let app = app_limit.unwrap_or(0);
            app + limit.unwrap_or(0) + app <= hard
        });
        let let_in = lets_in(of_pod, app_request, app_limit)
            && lets_in(of_container, request, limit)
            && lets_in(of_pod, sum(app_request, request), sum(app_limit, limit))
            && room;
        let found = sizes(&pod(&resources), Sizing::Configured, &rules);
        prop_assert_eq!(found == GIVEN, let_in, "{} in {:?} {:?}: {}", resources, of_container, of_pod, found);
    }
}
