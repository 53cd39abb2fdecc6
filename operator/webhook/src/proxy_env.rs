//! The proxy variables of the application's containers, as far as the pod's object shows them.
//!
//! The sidecar has to know which way the application would go, and must not claim to know when it cannot:
//! what is hidden here (`envFrom`, Secrets, `$(…)`) is named as not visible. What an image sets is never
//! visible, for any container, and is not named here: it matters only where the pod leaves a variable unset,
//! which the sidecar sees by itself and takes into account.

#[cfg(test)]
mod tests;

use peerwalk_model::proxy::without_user;
use serde::Serialize;
use serde_json::{Value, json};

/// The variables HTTP clients read, in both spellings that are in use.
const NAMES: [&str; 8] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
];

/// Longest JSON that is passed on, in bytes. Linux refuses to start a program with a variable above
/// 128 KiB (`MAX_ARG_STRLEN`), and our container not starting keeps the application from starting.
const MAX_BYTES: usize = 64 * 1024;

/// The prefix of the variables that carry copied references.
const REFERENCE_PREFIX: &str = "PEERWALK_PROXY_ENV_";

/// What the application's containers say about proxies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProxyEnvironment {
    /// Containers that say something, in the pod's order.
    pub containers: Vec<ContainerProxy>,
    /// `valueFrom` of references that our container repeats, in the order of their variables' numbers.
    pub references: Vec<Value>,
}

/// What one container says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerProxy {
    /// The container's name.
    pub container: String,
    /// What can be seen, in the container's order.
    pub variables: Vec<Variable>,
    /// Names of variables whose value cannot be seen, and `envFrom` when any could come from there.
    pub not_visible: Vec<String>,
}

/// One variable that can be seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Variable {
    /// Its name, in its own spelling.
    pub name: String,
    /// Where its value is.
    #[serde(flatten)]
    pub source: Source,
}

/// Where a variable's value is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Source {
    /// Here, with `***@` in place of user information.
    #[serde(rename = "value")]
    Value(String),
    /// In this variable of our own container; the variable is absent when the reference is empty.
    #[serde(rename = "env")]
    Env(String),
}

impl ProxyEnvironment {
    /// Reads the items of `spec.containers`.
    pub fn read(containers: &[Value]) -> Self {
        let mut found = Self::default();
        for container in containers {
            found.add(container);
        }
        if found.to_json().len() > MAX_BYTES {
            found.hide_values();
        }
        found
    }

    /// Whether no container says anything.
    pub fn is_empty(&self) -> bool {
        self.containers.is_empty()
    }

    /// The containers as JSON: the value of `PEERWALK_PROXY_ENV`.
    ///
    /// The kubelet replaces `$$` in it by `$`, exactly as it does in the container the value is from;
    /// `$(` does not occur.
    pub fn to_json(&self) -> String {
        json!(self.containers).to_string()
    }

    /// The variables that repeat references, as items of a container's `env`.
    pub fn reference_variables(&self) -> impl Iterator<Item = Value> {
        let variable = |(index, source)| json!({"name": reference_name(index), "valueFrom": source});
        self.references.iter().enumerate().map(variable)
    }

    fn add(&mut self, container: &Value) {
        let Some(name) = container["name"].as_str() else { return };
        let mut item =
            ContainerProxy { container: name.to_owned(), variables: Vec::new(), not_visible: Vec::new() };
        for variable in effective(container["env"].as_array().map_or(&[], Vec::as_slice)) {
            let name = variable["name"].as_str().unwrap_or_default().to_owned();
            match self.source(&name, variable) {
                Some(source) => item.variables.push(Variable { name, source }),
                None => item.not_visible.push(name),
            }
        }
        if container["envFrom"].as_array().is_some_and(|sources| !sources.is_empty()) {
            item.not_visible.push("envFrom".to_owned());
        }
        if !(item.variables.is_empty() && item.not_visible.is_empty()) {
            self.containers.push(item);
        }
    }

    /// Nothing when the value cannot be seen from here.
    fn source(&mut self, name: &str, variable: &Value) -> Option<Source> {
        if variable["valueFrom"].is_null() {
            let value = variable["value"].as_str().unwrap_or_default();
            // A reference to another variable, whose value may come from anywhere.
            if value.contains("$(") {
                return None;
            }
            let is_list = name.eq_ignore_ascii_case("NO_PROXY");
            return Some(Source::Value(if is_list { value.to_owned() } else { without_user(value) }));
        }
        let reference = repeatable(&variable["valueFrom"])?;
        let index = self.references.iter().position(|known| *known == reference).unwrap_or_else(|| {
            self.references.push(reference);
            self.references.len() - 1
        });
        Some(Source::Env(reference_name(index)))
    }

    fn hide_values(&mut self) {
        for container in &mut self.containers {
            let (values, rest) = std::mem::take(&mut container.variables)
                .into_iter()
                .partition(|variable| matches!(variable.source, Source::Value(_)));
            container.variables = rest;
            let hidden: Vec<Variable> = values;
            container.not_visible.extend(hidden.into_iter().map(|variable| variable.name));
        }
    }
}

fn reference_name(index: usize) -> String {
    format!("{REFERENCE_PREFIX}{index}")
}

/// The proxy variables that take effect: of several with one name the kubelet uses the last.
fn effective(env: &[Value]) -> impl Iterator<Item = &Value> {
    let is_last = |index: usize, name: &Value| env[index + 1..].iter().all(|later| later["name"] != *name);
    env.iter()
        .enumerate()
        .filter(|(_, variable)| NAMES.iter().any(|name| variable["name"] == *name))
        .filter(move |(index, variable)| is_last(*index, &variable["name"]))
        .map(|(_, variable)| variable)
}

/// The reference as our container may repeat it; nothing for Secrets, whose values are none of our
/// business, and for kinds that mean something else in another container.
fn repeatable(value_from: &Value) -> Option<Value> {
    let fields = value_from.as_object().filter(|fields| fields.len() == 1)?;
    let (kind, reference) = fields.iter().next()?;
    match kind.as_str() {
        "configMapKeyRef" => {
            // Our container starts without it; the application's has its own rule.
            let mut reference = reference.as_object()?.clone();
            reference.insert("optional".to_owned(), Value::Bool(true));
            Some(json!({ "configMapKeyRef": reference }))
        }
        "fieldRef" => Some(value_from.clone()),
        _ => None,
    }
}
