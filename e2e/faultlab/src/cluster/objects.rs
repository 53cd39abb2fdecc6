//! The objects of a case as the API server would send them, and how the engine takes them.

use anyhow::{Context, Result, bail};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::core::DeserializeGuard;
use peerwalk_controller::cluster::decode::{
    Decode, SlimEndpointSlice, SlimNamespace, SlimNode, SlimPod, SlimService, SomeCheck,
};
use peerwalk_controller::cluster::{Named, Object};
use serde_json::{Value, json};

use crate::case::{Case, Setting};
use crate::lab::At;

/// What is the same in every case.
const COMMON: &str = include_str!("objects.yaml");
/// Long before any case, so that no pod is young.
const CREATED: &str = "2026-01-01T00:00:00Z";

/// Every object of a case but the check.
pub(super) fn objects(case: &Case, setting: Setting) -> Result<Vec<Value>> {
    let common: Vec<Value> = serde_saphyr::from_str(COMMON).context("objects.yaml is no list")?;
    let mut objects: Vec<Value> = common.into_iter().map(|object| setting.fill_value(object)).collect();
    objects.extend(At::PODS.map(|(at, _)| pod(case, setting, at)));
    for (namespace, name) in [("peerwalk-system", "hub"), ("kube-system", "dns")] {
        let address = setting.fill(&format!("{{{name}}}"));
        objects.push(pod_of(namespace, name, "n1", &[address], &[9443], false));
    }
    objects.extend(service(case, setting));
    objects.extend(case.cluster.policies.iter().map(|policy| setting.fill_value(policy.clone())).map(kinded));
    Ok(objects)
}

/// A policy with its kind.
pub(super) fn kinded(mut policy: Value) -> Value {
    policy["kind"] = json!("NetworkPolicy");
    policy["apiVersion"] = json!("networking.k8s.io/v1");
    policy
}

/// The namespace of a pod.
pub(super) fn namespace(at: At) -> &'static str {
    if at == At::Client { "shop" } else { "ledger" }
}

fn node(case: &Case, at: At) -> &'static str {
    if at != At::Client && case.cluster.apart { "n2" } else { "n1" }
}

fn pod(case: &Case, setting: Setting, at: At) -> Value {
    let addresses = [setting.v6, !setting.v6].map(|v6| at.address(setting.topology, v6));
    let ports: Vec<u16> = case.servers.iter().filter(|server| server.at == at).map(|s| s.port).collect();
    let injected = !case.cluster.bare.contains(&at);
    pod_of(namespace(at), at.word(), node(case, at), &addresses, &ports, injected)
}

fn pod_of(
    namespace: &str,
    name: &str,
    node: &str,
    addresses: &[String],
    ports: &[u16],
    injected: bool,
) -> Value {
    let sidecars =
        if injected { json!([{"name": "peerwalk", "restartPolicy": "Always"}]) } else { json!([]) };
    let ports: Vec<Value> = ports.iter().map(|port| json!({"containerPort": port})).collect();
    let ips: Vec<Value> = addresses.iter().map(|ip| json!({"ip": ip})).collect();
    json!({
        "kind": "Pod",
        "metadata": {
            "namespace": namespace, "name": name, "uid": format!("uid-{name}"), "labels": {"app": name},
            "creationTimestamp": CREATED,
        },
        "spec": {
            "nodeName": node, "containers": [{"name": "app", "ports": ports}], "initContainers": sidecars,
        },
        "status": {
            "phase": "Running", "podIP": addresses.first(), "podIPs": ips, "startTime": CREATED,
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    })
}

/// The Service that the check is of, and its endpoints.
pub(super) fn service(case: &Case, setting: Setting) -> [Value; 2] {
    let mut service = setting.fill_value(json!({
        "kind": "Service",
        "metadata": {"namespace": "ledger", "name": "server"},
        "spec": {
            "clusterIP": "{service}", "clusterIPs": ["{service}"],
        },
    }));
    let ports = |first: u16, step: u16| -> Vec<Value> {
        let port = |n: u16| json!({"name": format!("port-{n}"), "port": first + n * step, "protocol": "TCP"});
        (0..case.cluster.ports).map(port).collect()
    };
    service["spec"]["ports"] = ports(80, 1).into();
    merge(&mut service["spec"], &case.cluster.service);
    let endpoints = case.cluster.endpoints.iter().map(|at| {
        json!({
            "addresses": [at.address(setting.topology, setting.v6)], "conditions": {"ready": true},
            "nodeName": node(case, *at), "targetRef": {"kind": "Pod", "name": at.word()},
        })
    });
    let slice = json!({
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": "ledger", "name": "server-1", "labels": {"kubernetes.io/service-name": "server"},
        },
        "addressType": setting.fill("{family}"),
        "endpoints": endpoints.collect::<Vec<_>>(),
        "ports": ports(8080, 0),
    });
    [service, slice]
}

/// The check, in its first version.
pub(super) fn check(case: &Case, setting: Setting) -> Value {
    let target = |n: u16| {
        let service = json!({"name": "server", "namespace": "ledger", "port": 80 + n});
        let mut target = json!({"name": format!("server-{n}"), "service": service});
        merge(&mut target, &setting.fill_value(case.cluster.target.clone()));
        target
    };
    let targets: Vec<Value> = (0..case.cluster.ports).map(target).collect();
    let mut spec = json!({
        "source": {"podSelector": {"matchLabels": {"app": "client"}}},
        "interval": "5s", "failureThreshold": 1, "targets": targets,
    });
    merge(&mut spec, &case.cluster.check);
    json!({
        "kind": "ConnectivityCheck", "apiVersion": "peerwalk.dev/v1alpha1",
        "metadata": {"namespace": "shop", "name": "lab", "generation": 1, "resourceVersion": "1"},
        "spec": spec,
    })
}

/// A merge patch (RFC 7396).
fn merge(value: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *value = patch.clone();
        return;
    };
    if !value.is_object() {
        *value = json!({});
    }
    let Some(into) = value.as_object_mut() else { return };
    for (name, field) in fields {
        if field.is_null() {
            into.remove(name);
        } else {
            merge(into.entry(name).or_insert(Value::Null), field);
        }
    }
}

/// An object as a watch decodes it.
pub(super) fn decoded(object: Value) -> Result<Named<Object>> {
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    decode(&kind, object).with_context(|| format!("no {kind} as the API has it"))
}

fn decode(kind: &str, object: Value) -> Result<Named<Object>> {
    Ok(match kind {
        "Node" => serde_json::from_value::<SlimNode>(object)?.named(),
        "Namespace" => serde_json::from_value::<SlimNamespace>(object)?.named(),
        "Pod" => serde_json::from_value::<SlimPod>(object)?.named(),
        "Service" => serde_json::from_value::<SlimService>(object)?.named(),
        "EndpointSlice" => serde_json::from_value::<SlimEndpointSlice>(object)?.named(),
        "NetworkPolicy" => serde_json::from_value::<DeserializeGuard<NetworkPolicy>>(object)?.named(),
        "ConnectivityCheck" => serde_json::from_value::<SomeCheck>(object)?.named(),
        other => bail!("{other:?} is no kind that is watched"),
    })
}
