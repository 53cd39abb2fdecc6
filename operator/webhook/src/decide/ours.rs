//! Our own container in a pod that we are asked about again (`reinvocationPolicy: IfNeeded`), or that was made from
//! another pod's copy.
//!
//! Other webhooks may have changed it meanwhile (an image from a mirror, a variable), so it is changed only where
//! it must be, and by no more than that.

use serde_json::{Value, json};

use super::{CONTAINER, Injection, list};
use crate::config::InjectConfig;
use crate::config::amount::amount;
use crate::patch::{HUB_ROOT_ANNOTATION, container};

/// Our variables begin with it.
const VARIABLE: &str = "PEERWALK_";

/// Our container, as it is in the pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Ours {
    /// Its index in `spec.initContainers`.
    pub index: usize,
    /// The container.
    pub container: Value,
}

impl Eq for Ours {}

/// The container that an earlier call added: of our name, a native sidecar, in a pod with our annotation.
pub(super) fn find(pod: &Value) -> Option<Ours> {
    if !pod["metadata"]["annotations"][HUB_ROOT_ANNOTATION].is_string() {
        return None;
    }
    let containers = list(pod, "/spec/initContainers");
    let index = containers
        .iter()
        .position(|container| container["name"] == CONTAINER && container["restartPolicy"] == "Always")?;
    Some(Ours { index, container: containers[index].clone() })
}

impl Ours {
    /// The container with what we decide about it now: its variables and its size.
    pub fn renewed(&self, wanted: &Value) -> Value {
        let mut container = self.container.clone();
        let Some(fields) = container.as_object_mut() else { return wanted.clone() };
        let foreign = variables(&self.container).iter().filter(|variable| !is_ours(variable));
        let env: Vec<Value> = variables(wanted).iter().chain(foreign).cloned().collect();
        fields.insert("env".to_owned(), Value::from(env));
        match wanted.get("resources") {
            Some(resources) => fields.insert("resources".to_owned(), resources.clone()),
            None => fields.remove("resources"),
        };
        container
    }
}

/// Whether the pod has everything that this injection would give it.
pub(super) fn is_current(pod: &Value, injection: &Injection, config: &InjectConfig) -> bool {
    let Some(ours) = &injection.ours else { return false };
    let wanted = container(injection, config);
    let same = |a: Vec<Value>, b: Vec<Value>| a == b;
    injection.has_volume
        && !injection.has_note
        && injection.pull_secrets.is_empty()
        && injection.position == Some(ours.index)
        && pod["metadata"]["annotations"][HUB_ROOT_ANNOTATION] == config.hub_root.fingerprint()
        && same(own_variables(&ours.container), own_variables(&wanted))
        && sizes(&ours.container) == sizes(&wanted)
}

fn variables(container: &Value) -> &[Value] {
    container["env"].as_array().map_or(&[], Vec::as_slice)
}

fn is_ours(variable: &Value) -> bool {
    variable["name"].as_str().is_some_and(|name| name.starts_with(VARIABLE))
}

/// Our variables, with what the API server fills in.
fn own_variables(container: &Value) -> Vec<Value> {
    let mut own: Vec<Value> =
        variables(container).iter().filter(|variable| is_ours(variable)).cloned().collect();
    for variable in &mut own {
        if let Some(field) = variable.pointer_mut("/valueFrom/fieldRef").and_then(Value::as_object_mut) {
            field.entry("apiVersion").or_insert_with(|| json!("v1"));
        }
    }
    own
}

/// Whatever they are spelled like. Where the pod as a whole has resources, ours are what the API server makes of
/// that, and none of our business.
fn sizes(container: &Value) -> [Option<u128>; 4] {
    [("requests", "cpu"), ("requests", "memory"), ("limits", "cpu"), ("limits", "memory")]
        .map(|(side, name)| amount(container["resources"][side][name].as_str()?))
}
