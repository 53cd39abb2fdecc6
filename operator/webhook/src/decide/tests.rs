//! Tests of the decision: who is left alone, where the container goes, and how it is sized.

use serde_json::json;

use super::*;
use crate::testing::{FREE, config, limited, pod, shop, with_quota};

/// The usual pod with `value` put at `pointer`'s parent under its last token.
fn pod_with(pointer: &str, value: Value) -> Value {
    let mut pod = pod();
    let mut place = &mut pod;
    for token in pointer.trim_start_matches('/').split('/') {
        place = &mut place[token.replace("~1", "/").as_str()];
    }
    *place = value;
    pod
}

fn injection(pod: &Value) -> Injection {
    match decide(pod, &shop(), &config()) {
        Decision::Inject(injection) => injection,
        other => panic!("expected an injection, not {other:?}"),
    }
}

#[test]
fn pods_that_must_be_left_alone_are() {
    let token_volume = json!([{"name": TOKEN_VOLUME, "emptyDir": {}}]);
    let table = [
        (pod_with("/metadata/labels/peerwalk.dev~1inject", json!("disabled")), SkipReason::Disabled),
        (pod_with("/metadata/annotations/kubernetes.io~1config.mirror", json!("8f")), SkipReason::MirrorPod),
        (pod_with("/spec/hostNetwork", json!(true)), SkipReason::HostNetwork),
        (pod_with("/spec/os", json!({"name": "windows"})), SkipReason::Windows),
        (pod_with("/spec/nodeSelector", json!({"kubernetes.io/os": "windows"})), SkipReason::Windows),
        (pod_with("/spec/initContainers", json!([{"name": CONTAINER}])), SkipReason::AlreadyInjected),
        (pod_with("/spec/containers", json!([{"name": CONTAINER}])), SkipReason::AlreadyInjected),
        (pod_with("/spec/volumes", token_volume), SkipReason::VolumeNameTaken),
        (pod_with("/spec/containers", json!([])), SkipReason::Malformed),
        (pod_with("/spec/containers", json!("web")), SkipReason::Malformed),
        (pod_with("/spec", json!([1])), SkipReason::Malformed),
        (pod_with("/metadata", Value::Null), SkipReason::Malformed),
        (Value::Null, SkipReason::Malformed),
        (json!("pod"), SkipReason::Malformed),
    ];
    for (pod, reason) in table {
        assert_eq!(decide(&pod, &shop(), &config()), Decision::Skip(reason), "{pod}");
    }
}

#[test]
fn the_operator_and_the_system_start_without_their_webhook() {
    for (name, reason) in
        [("kube-system", SkipReason::SystemNamespace), ("peerwalk", SkipReason::OperatorNamespace)]
    {
        assert_eq!(
            decide(&pod(), &NamespaceInfo { name, rules: &FREE }, &config()),
            Decision::Skip(reason),
            "{name}"
        );
    }
}

#[test]
fn values_that_do_not_forbid_injection_do_not() {
    let table = [
        ("/metadata/labels/peerwalk.dev~1inject", json!("enabled")),
        ("/spec/hostNetwork", json!(false)),
        ("/spec/os", json!({"name": "linux"})),
        ("/spec/nodeSelector", json!({"kubernetes.io/os": "linux"})),
        ("/metadata/labels", Value::Null),
        ("/spec/volumes", Value::Null),
    ];
    for (pointer, value) in table {
        injection(&pod_with(pointer, value));
    }
}

#[test]
fn the_container_goes_right_after_native_mesh_sidecars_and_first_otherwise() {
    let native = |name: &str| json!({"name": name, "restartPolicy": "Always"});
    let plain = |name: &str| json!({"name": name});
    let table = [
        (json!([]), Some(0), "an empty list"),
        (json!([plain("migrate"), plain("seed")]), Some(0), "init containers of the application"),
        (json!([plain("istio-init"), native("istio-proxy"), plain("migrate")]), Some(2), "Istio"),
        (json!([native("linkerd-proxy"), plain("migrate")]), Some(1), "Linkerd"),
        (json!([native("istio-proxy"), plain("a"), native("linkerd-proxy")]), Some(3), "after the last"),
        (json!([native("vault-agent"), plain("a")]), Some(0), "a native sidecar that is no mesh"),
        (json!([plain("istio-proxy")]), Some(0), "a container of a mesh's name that is no sidecar"),
        (Value::Null, None, "no list"),
    ];
    for (init_containers, position, what) in table {
        let pod = pod_with("/spec/initContainers", init_containers);
        assert_eq!(injection(&pod).position, position, "{what}");
    }
}

#[test]
fn the_container_is_sized_by_the_pod() {
    let full = json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}});
    let limits_only = json!({"limits": {"cpu": "1", "memory": "1Gi"}});
    let burstable = json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}});
    let no_memory = json!({"limits": {"cpu": "1"}, "requests": {"cpu": "1"}});
    let table = [
        (json!([{"name": "a", "resources": full}]), Sizing::Guaranteed),
        (json!([{"name": "a", "resources": limits_only}]), Sizing::Guaranteed),
        (
            json!([{"name": "a", "resources": full}, {"name": "b", "resources": burstable}]),
            Sizing::Configured,
        ),
        (json!([{"name": "a", "resources": full}, {"name": "b"}]), Sizing::Configured),
        (json!([{"name": "a", "resources": no_memory}]), Sizing::Configured),
    ];
    let sized = |pod: &Value| {
        let init_containers: Vec<&Value> = list(pod, "/spec/initContainers").iter().collect();
        sizing(pod, &init_containers)
    };
    for (containers, expected) in table {
        let mut pod = pod_with("/spec/containers", containers.clone());
        pod["spec"]["initContainers"] = json!([{"name": "migrate", "resources": full}]);
        assert_eq!(sized(&pod), expected, "{containers}");
        pod["spec"]["initContainers"] = json!([{"name": "migrate"}]);
        assert_eq!(sized(&pod), Sizing::Configured, "init containers count as well");
        pod["spec"]["resources"] = json!({});
        assert_eq!(sized(&pod), Sizing::Configured, "nothing is said of the pod as a whole");
        pod["spec"]["resources"] = full.clone();
        assert_eq!(sized(&pod), Sizing::PodLevel, "the pod's own resources bound everything");
    }
}

fn told(pod: &Value, rules: &NamespaceRules) -> Told {
    match decide(pod, &NamespaceInfo { name: "shop", rules }, &config()) {
        Decision::Tell(told) => told,
        other => panic!("expected the pod to be told why not, not {other:?}"),
    }
}

#[test]
fn a_pod_that_has_no_room_for_us_is_told() {
    let small = limited(&json!([{"type": "Container", "max": {"memory": "8Mi"}}]));
    let told_small = told(&pod(), &small);
    assert_eq!(told_small.refusal.reason, SkipReason::LimitRange);
    assert_eq!(
        told_small.note(),
        "skipped: LimitRange small: Container max.memory is 8Mi; the sidecar needs 16Mi"
    );
    let full = with_quota(&json!([]), &[("requests.cpu", "2", "1950m")]);
    let told_full = told(&pod(), &full);
    assert_eq!(told_full.refusal.reason, SkipReason::Quota);
    assert_eq!(
        told_full.note(),
        "skipped: ResourceQuota team: 50m of requests.cpu is left of 2; with the sidecar the pod takes 110m"
    );
    let mut disabled = pod();
    disabled["metadata"]["labels"][INJECT_LABEL] = json!("disabled");
    let decision = decide(&disabled, &NamespaceInfo { name: "shop", rules: &small }, &config());
    assert_eq!(decision, Decision::Skip(SkipReason::Disabled), "who does not want it is told nothing");
}

#[test]
fn the_user_is_what_the_namespace_assigns() {
    for (range, expected) in [
        (None, None),
        (Some("1000680000/10000"), Some(1_000_680_000)),
        (Some("1000680000-1000689999"), Some(1_000_680_000)),
        (Some("5/1"), Some(5)),
        (Some("0/10000"), None),
        (Some("1000680000"), None),
        (Some("1000680000/"), None),
        (Some("1000680000/0"), None),
        (Some("10-9"), None),
        (Some("2147483647/2"), None),
        (Some("4294967296/2"), None),
        (Some("-5/10"), None),
        (Some("a/b"), None),
        (Some(""), None),
    ] {
        let mut rules = NamespaceRules::default();
        rules.set_uid_range(range);
        let Decision::Inject(injection) =
            decide(&pod(), &NamespaceInfo { name: "shop", rules: &rules }, &config())
        else {
            panic!("expected an injection")
        };
        assert_eq!(injection.user, expected, "{range:?}");
    }
}
