//! Tests of the patch: exactly what it adds, and that it leaves everything else alone.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::decide::{Decision, NamespaceInfo, SkipReason, decide};
use crate::room::NamespaceRules;
use crate::testing::{ROOT_FINGERPRINT, ROOT_PEM, config, limited, pod, shop};

mod again;

fn injected(pod: &Value) -> Value {
    let Decision::Inject(injection) = decide(pod, &shop(), &config()) else {
        panic!("expected an injection into {pod}")
    };
    let mut patched = pod.clone();
    json_patch::patch(&mut patched, &patch(&injection, &config())).expect("the patch applies");
    patched
}

/// The pod without what the injection adds, as far as it is where it should be.
fn stripped(patched: &Value) -> Value {
    let mut pod = patched.clone();
    pod["metadata"]["annotations"].as_object_mut().expect("annotations").remove(HUB_ROOT_ANNOTATION);
    for (list, name) in [("initContainers", CONTAINER), ("volumes", TOKEN_VOLUME)] {
        pod["spec"][list].as_array_mut().expect("a list").retain(|item| item["name"] != name);
    }
    pod
}

fn expected_container() -> Value {
    json!({
        "name": "peerwalk",
        "image": "registry.example/peerwalk-sidecar@sha256:0123",
        "imagePullPolicy": "IfNotPresent",
        "args": ["run"],
        "restartPolicy": "Always",
        "env": [
            {"name": "PEERWALK_HUB", "value": "peerwalk-hub.peerwalk.svc:9443"},
            {"name": "PEERWALK_HUB_ADDRESS", "value": "10.96.0.17:9443"},
            {"name": "PEERWALK_HUB_ROOT", "value": ROOT_PEM},
            {"name": "PEERWALK_POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
            {"name": "PEERWALK_POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "PEERWALK_POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
            {"name": "PEERWALK_POD_IPS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIPs"}}},
            {"name": "PEERWALK_PROXY_ENV_0", "valueFrom": {"configMapKeyRef":
                {"name": "proxy", "key": "no", "optional": true}}},
            {"name": "PEERWALK_PROXY_ENV", "value": concat!(
                r#"[{"container":"web","notVisible":[],"variables":["#,
                r#"{"name":"HTTP_PROXY","value":"http://***@proxy.corp:3128"},"#,
                r#"{"env":"PEERWALK_PROXY_ENV_0","name":"NO_PROXY"}]}]"#,
            )},
        ],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [{"name": "peerwalk-token", "readOnly": true,
            "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}],
        "resources": {
            "requests": {"cpu": "10m", "memory": "16Mi"},
            "limits": {"cpu": "100m", "memory": "32Mi"},
        },
    })
}

fn expected_volume() -> Value {
    json!({"name": "peerwalk-token", "projected": {"sources": [
        {"serviceAccountToken": {"audience": "peerwalk.dev", "expirationSeconds": 3600, "path": "token"}},
    ]}})
}

#[test]
fn a_usual_pod_becomes_exactly_this() {
    let mut expected = pod();
    expected["metadata"]["annotations"]["peerwalk.dev/hub-root"] = json!(ROOT_FINGERPRINT);
    expected["spec"]["volumes"].as_array_mut().expect("volumes").push(expected_volume());
    expected["spec"]["initContainers"].as_array_mut().expect("a list").insert(0, expected_container());
    assert_eq!(injected(&pod()), expected);
}

#[test]
fn a_bare_pod_gets_the_lists_it_has_not() {
    let bare = json!({"metadata": {}, "spec": {"containers": [{"name": "web"}]}});
    let patched = injected(&bare);
    let names: Vec<_> = expected_container()["env"].as_array().expect("env")[..7].to_vec();
    assert_eq!(patched["spec"]["initContainers"].as_array().map(Vec::len), Some(1));
    assert_eq!(patched["spec"]["initContainers"][0]["env"], json!(names), "no proxies, no variable for them");
    assert_eq!(patched["spec"]["volumes"], json!([expected_volume()]));
    assert_eq!(patched["metadata"]["annotations"], json!({"peerwalk.dev/hub-root": ROOT_FINGERPRINT}));
    assert_eq!(patched["spec"]["containers"], bare["spec"]["containers"], "the application is untouched");
}

#[test]
fn null_lists_count_as_absent() {
    let pod = json!({"metadata": {"annotations": null},
        "spec": {"containers": [{"name": "web"}], "initContainers": null, "volumes": null}});
    assert_eq!(injected(&pod)["spec"]["volumes"], json!([expected_volume()]));
}

#[test]
fn the_mesh_comes_first() {
    let mut pod = pod();
    pod["spec"]["initContainers"] =
        json!([{"name": "istio-proxy", "restartPolicy": "Always"}, {"name": "migrate"}]);
    let patched = injected(&pod);
    let containers = patched["spec"]["initContainers"].as_array().expect("a list");
    let names: Vec<_> = containers.iter().map(|container| container["name"].as_str()).collect();
    assert_eq!(names, [Some("istio-proxy"), Some("peerwalk"), Some("migrate")]);
}

#[test]
fn a_guaranteed_pod_stays_guaranteed() {
    let mut pod = pod();
    let full = json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}});
    pod["spec"]["initContainers"][0]["resources"] = full.clone();
    pod["spec"]["containers"][0]["resources"] = full;
    let resources = &injected(&pod)["spec"]["initContainers"][0]["resources"];
    assert_eq!(resources["requests"], resources["limits"]);
    assert_eq!(resources["limits"], json!({"cpu": "100m", "memory": "32Mi"}), "limits as configured");
}

#[test]
fn a_pod_with_its_own_bounds_is_not_asked_for_more() {
    let mut pod = pod();
    pod["spec"]["resources"] = json!({"limits": {"cpu": "1"}});
    assert!(injected(&pod)["spec"]["initContainers"][0].get("resources").is_none());
}

#[test]
fn a_namespace_that_assigns_users_gets_its_own() {
    let mut rules = NamespaceRules::default();
    rules.set_uid_range(Some("1000680000/10000"));
    let decision = decide(&pod(), &NamespaceInfo { name: "shop", rules: &rules }, &config());
    let Decision::Inject(injection) = decision else { panic!("expected an injection") };
    let security = &container(&injection, &config())["securityContext"];
    assert_eq!(security["runAsUser"], 1_000_680_000);
    assert!(security.get("runAsGroup").is_none(), "the namespace assigns no groups: {security}");
}

#[test]
fn pull_secrets_are_added_where_they_are_not() {
    let table = [
        (json!(null), json!([{"name": "a"}, {"name": "b"}])),
        (json!([]), json!([{"name": "a"}, {"name": "b"}])),
        (json!([{"name": "own"}, {"name": "b"}]), json!([{"name": "own"}, {"name": "b"}, {"name": "a"}])),
        (json!([{"name": "b"}, {"name": "a"}]), json!([{"name": "b"}, {"name": "a"}])),
    ];
    let mut config = config();
    config.pull_secrets = vec!["a".to_owned(), "b".to_owned()];
    for (before, after) in table {
        let mut pod = pod();
        pod["spec"]["imagePullSecrets"] = before.clone();
        let Decision::Inject(injection) = decide(&pod, &shop(), &config) else {
            panic!("expected an injection")
        };
        json_patch::patch(&mut pod, &patch(&injection, &config)).expect("the patch applies");
        assert_eq!(pod["spec"]["imagePullSecrets"], after, "from {before}");
        assert_eq!(decide(&pod, &shop(), &config), Decision::Skip(SkipReason::AlreadyInjected));
    }
}

#[test]
fn without_a_cluster_ip_the_name_alone_is_given() {
    let mut config = config();
    config.hub_address = None;
    let Decision::Inject(injection) = decide(&pod(), &shop(), &config) else {
        panic!("expected an injection")
    };
    let container = container(&injection, &config);
    let mut names = container["env"].as_array().expect("env").iter().map(|variable| &variable["name"]);
    assert!(names.all(|name| name != "PEERWALK_HUB_ADDRESS"));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z/~]{1,6}", inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

proptest! {
    #[test]
    fn only_additions_and_only_once(
        extra in any_json(),
        key in "(metadata|spec|status|x)",
        init in prop::collection::vec("(istio-proxy|linkerd-proxy|a|b)", 1..5),
        native in any::<bool>(),
    ) {
        let mut pod = pod();
        pod[key.as_str()]["unknown/field~"] = extra;
        pod["spec"]["initContainers"] = init.iter()
            .map(|name| if native { json!({"name": name, "restartPolicy": "Always"}) } else { json!({"name": name}) })
            .collect();
        let patched = injected(&pod);
        prop_assert_eq!(stripped(&patched), pod, "everything of the pod is as it was");
        prop_assert_eq!(decide(&patched, &shop(), &config()), Decision::Skip(SkipReason::AlreadyInjected));
    }

    #[test]
    fn whatever_is_sent_the_patch_applies(
        pointer in prop_oneof![
            Just("/metadata"), Just("/metadata/annotations"), Just("/metadata/labels"), Just("/spec"),
            Just("/spec/containers"), Just("/spec/containers/0"), Just("/spec/containers/0/env"),
            Just("/spec/containers/0/env/0"), Just("/spec/containers/0/env/1/value"),
            Just("/spec/initContainers"), Just("/spec/initContainers/0"), Just("/spec/volumes"),
            Just("/spec/containers/0/resources"), Just("/spec/containers/0/env/2/valueFrom"),
        ],
        junk in any_json(),
        again in any::<bool>(),
        refused in any::<bool>(),
    ) {
        let mut pod = if again { injected(&pod()) } else { pod() };
        *pod.pointer_mut(pointer).expect("the pod has it") = junk;
        let rules = if refused { limited(&json!([{"type": "Container", "max": {"cpu": "1m"}}])) } else { NamespaceRules::default() };
        let patch = match decide(&pod, &NamespaceInfo { name: "shop", rules: &rules }, &config()) {
            Decision::Inject(injection) => patch(&injection, &config()),
            Decision::Tell(told) => note(&told),
            Decision::Skip(_) => Patch(Vec::new()),
        };
        prop_assert!(json_patch::patch(&mut pod, &patch).is_ok(), "{}", pod);
    }
}
