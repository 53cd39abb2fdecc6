//! Tests of a call about a pod that has our container already.

use super::*;

/// The names of the init containers.
fn order(pod: &Value) -> Vec<&str> {
    let containers = pod["spec"]["initContainers"].as_array().expect("a list");
    containers.iter().map(|container| container["name"].as_str().expect("a name")).collect()
}

fn ours(pod: &mut Value) -> &mut Value {
    let containers = pod["spec"]["initContainers"].as_array_mut().expect("a list");
    containers.iter_mut().find(|container| container["name"] == CONTAINER).expect("ours")
}

/// What the API server makes of the pod between two calls.
fn defaulted(mut pod: Value) -> Value {
    let container = ours(&mut pod);
    container["terminationMessagePath"] = json!("/dev/termination-log");
    for variable in container["env"].as_array_mut().expect("env") {
        if let Some(field) = variable.pointer_mut("/valueFrom/fieldRef") {
            field["apiVersion"] = json!("v1");
        }
    }
    pod
}

#[test]
fn a_pod_as_it_should_be_is_left_alone() {
    let pod = defaulted(injected(&pod()));
    assert_eq!(decide(&pod, &shop(), &config()), Decision::Skip(SkipReason::AlreadyInjected));
}

#[test]
fn what_others_did_to_our_container_is_kept() {
    let mut pod = defaulted(injected(&pod()));
    ours(&mut pod)["image"] = json!("mirror.example/sidecar@sha256:0123");
    ours(&mut pod)["env"].as_array_mut().expect("env").push(json!({"name": "AGENT", "value": "x"}));
    pod["spec"]["initContainers"].as_array_mut().expect("a list").insert(0, json!({"name": "first"}));
    assert_eq!(
        decide(&pod, &shop(), &config()),
        Decision::Skip(SkipReason::AlreadyInjected),
        "no reason to move"
    );

    pod["spec"]["containers"][0]["env"][1]["value"] = json!("http://other:3128");
    let mut after = injected(&pod);
    assert_eq!(order(&after), ["first", "peerwalk", "migrate"], "in its place");
    let container = ours(&mut after);
    assert_eq!(container["image"], "mirror.example/sidecar@sha256:0123");
    let env = container["env"].as_array().expect("env");
    assert!(env.contains(&json!({"name": "AGENT", "value": "x"})), "a foreign variable stays");
    let proxies = env.iter().find(|variable| variable["name"] == "PEERWALK_PROXY_ENV").expect("proxies");
    assert!(proxies["value"].as_str().is_some_and(|text| text.contains("http://other:3128")), "{proxies}");
}

#[test]
fn a_mesh_that_came_after_us_goes_before_us() {
    let mut pod = defaulted(injected(&pod()));
    pod["spec"]["initContainers"]
        .as_array_mut()
        .expect("a list")
        .push(json!({"name": "istio-proxy", "restartPolicy": "Always"}));
    let after = injected(&pod);
    assert_eq!(order(&after), ["migrate", "istio-proxy", "peerwalk"]);
    assert_eq!(decide(&after, &shop(), &config()), Decision::Skip(SkipReason::AlreadyInjected));
    let volumes = after["spec"]["volumes"].as_array().expect("volumes");
    assert_eq!(volumes.iter().filter(|volume| volume["name"] == TOKEN_VOLUME).count(), 1, "no second volume");
}

#[test]
fn a_new_size_is_taken() {
    let mut pod = defaulted(injected(&pod()));
    let full = json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}});
    pod["spec"]["containers"][0]["resources"] = full.clone();
    pod["spec"]["initContainers"][1]["resources"] = full;
    let mut after = injected(&pod);
    let resources = &ours(&mut after)["resources"];
    assert_eq!(resources["requests"], resources["limits"], "the pod has become Guaranteed");
    let mut spelled = after.clone();
    ours(&mut spelled)["resources"]["limits"]["cpu"] = json!("0.1");
    assert_eq!(decide(&spelled, &shop(), &config()), Decision::Skip(SkipReason::AlreadyInjected));
}

#[test]
fn a_copy_of_a_pod_gets_the_present_root() {
    let mut pod = injected(&pod());
    pod["metadata"]["annotations"][HUB_ROOT_ANNOTATION] = json!("0000000000000000");
    ours(&mut pod)["env"][2]["value"] = json!("another root");
    let mut after = injected(&pod);
    assert_eq!(after["metadata"]["annotations"][HUB_ROOT_ANNOTATION], ROOT_FINGERPRINT);
    assert_eq!(ours(&mut after)["env"][2]["value"], ROOT_PEM);
}

#[test]
fn a_pod_that_may_not_keep_us_is_as_it_was() {
    let before = pod();
    let mut after = injected(&before);
    let rules = limited(&json!([{"type": "Container", "max": {"memory": "8Mi"}}]));
    let Decision::Tell(told) = decide(&after, &NamespaceInfo { name: "shop", rules: &rules }, &config())
    else {
        panic!("expected the pod to be told")
    };
    json_patch::patch(&mut after, &note(&told)).expect("the patch applies");
    let told =
        after["metadata"]["annotations"].as_object_mut().expect("annotations").remove(INJECTION_ANNOTATION);
    assert!(told.is_some_and(|note| note.as_str().is_some_and(|note| note.starts_with("skipped: "))));
    assert_eq!(after, before, "nothing of ours is left");
}

#[test]
fn what_the_pod_was_told_is_taken_back() {
    let mut pod = pod();
    pod["metadata"]["annotations"][INJECTION_ANNOTATION] = json!("skipped: once");
    assert!(injected(&pod)["metadata"]["annotations"].get(INJECTION_ANNOTATION).is_none());
}

#[test]
fn a_container_of_our_name_alone_is_not_ours() {
    let mut pod = injected(&pod());
    ours(&mut pod)["restartPolicy"] = json!(null);
    ours(&mut pod)["env"] = json!([]);
    assert_eq!(decide(&pod, &shop(), &config()), Decision::Skip(SkipReason::AlreadyInjected));
}
