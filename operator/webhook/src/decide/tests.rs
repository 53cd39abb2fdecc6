//! Tests of the decision: who is left alone, where the container goes, and how it is sized.

use serde_json::json;

use super::*;
use crate::testing::{config, pod};

const SHOP: NamespaceInfo<'_> = NamespaceInfo { name: "shop" };

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
    match decide(pod, &SHOP, &config()) {
        Decision::Inject(injection) => injection,
        Decision::Skip(reason) => panic!("expected an injection, not a skip for {reason:?}"),
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
        assert_eq!(decide(&pod, &SHOP, &config()), Decision::Skip(reason), "{pod}");
    }
}

#[test]
fn the_operator_and_the_system_start_without_their_webhook() {
    for (name, reason) in
        [("kube-system", SkipReason::SystemNamespace), ("peerwalk", SkipReason::OperatorNamespace)]
    {
        assert_eq!(decide(&pod(), &NamespaceInfo { name }, &config()), Decision::Skip(reason), "{name}");
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
    for (containers, sizing) in table {
        let mut pod = pod_with("/spec/containers", containers.clone());
        pod["spec"]["initContainers"] = json!([{"name": "migrate", "resources": full}]);
        assert_eq!(injection(&pod).sizing, sizing, "{containers}");
        pod["spec"]["initContainers"] = json!([{"name": "migrate"}]);
        assert_eq!(injection(&pod).sizing, Sizing::Configured, "init containers count as well");
        pod["spec"]["resources"] = full.clone();
        assert_eq!(injection(&pod).sizing, Sizing::PodLevel, "the pod's own resources bound everything");
    }
}
