//! What tools make of an object, by the rules that they publish.

use anyhow::{Context as _, Result, anyhow, bail};
use cel::{Context, Program, Value as Cel};
use serde_json::Value;

use crate::page::only;

/// What a gate makes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// It asks again.
    Waits,
    /// It ends, and nothing goes on.
    Fails,
    /// What waited for it goes on.
    Passes,
}

/// In the order of kstatus (`cli-utils`, `pkg/kstatus/status/status.go`, `generic.go` and `core.go`), which Helm 4 and
/// Flux's `wait` use: it looks at the generation of the status, not at those of conditions.
pub fn kstatus(object: &Value) -> Gate {
    let status = &object["status"];
    let is = |type_: &str, value: &str| condition(object, type_).is_some_and(|c| c["status"] == value);
    if object["metadata"].get("deletionTimestamp").is_some() {
        return Gate::Waits;
    }
    // An object without it is taken for one whose controller has none.
    let observed = status.get("observedGeneration");
    if observed.is_some_and(|observed| *observed != object["metadata"]["generation"]) {
        return Gate::Waits;
    }
    if is("Reconciling", "True") {
        Gate::Waits
    } else if is("Stalled", "True") {
        Gate::Fails
    } else if object["kind"] == "Deployment" {
        deployment(object)
    } else if is("Ready", "False") || is("Ready", "Unknown") {
        Gate::Waits
    } else {
        Gate::Passes
    }
}

/// `deploymentConditions` of kstatus.
fn deployment(object: &Value) -> Gate {
    let progressing = condition(object, "Progressing");
    if progressing.is_some_and(|c| c["reason"] == "ProgressDeadlineExceeded") {
        return Gate::Fails;
    }
    let count = |name: &str| object["status"][name].as_i64().unwrap_or_default();
    let wanted = object["spec"]["replicas"].as_i64().unwrap_or(1);
    let has_new = progressing.is_some_and(|c| c["reason"] == "NewReplicaSetAvailable");
    let available = condition(object, "Available").is_some_and(|c| c["status"] == "True");
    let all = ["replicas", "updatedReplicas", "availableReplicas", "readyReplicas"];
    let complete = all.into_iter().all(|name| count(name) >= wanted) && count("replicas") <= wanted;
    if complete && has_new && available { Gate::Passes } else { Gate::Waits }
}

fn condition<'a>(object: &'a Value, type_: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == type_)
}

/// A CEL expression over an object, as Flux evaluates those of `healthCheckExprs`.
fn holds(expression: &str, object: &Value) -> Result<bool> {
    let program = Program::compile(expression).map_err(|error| anyhow!("{expression}: {error}"))?;
    let mut context = Context::default();
    for name in ["metadata", "spec", "status"] {
        context.add_variable(name, &object[name]).map_err(|error| anyhow!("{name}: {error}"))?;
    }
    match program.execute(&context).map_err(|error| anyhow!("{expression}: {error}"))? {
        Cel::Bool(holds) => Ok(holds),
        other => bail!("{expression} is no truth: {other:?}"),
    }
}

/// The page's `healthCheckExprs`, in the order of fluxcd's `pkg/runtime/cel/status_evaluator.go`.
pub fn flux(object: &Value) -> Result<Gate> {
    let kustomization = only("Kustomization")?;
    let checks = &kustomization["spec"]["healthCheckExprs"][0];
    let holds = |name: &str| holds(checks[name].as_str().with_context(|| format!("no {name}"))?, object);
    Ok(if holds("inProgress")? {
        Gate::Waits
    } else if holds("failed")? {
        Gate::Fails
    } else if holds("current")? {
        Gate::Passes
    } else {
        Gate::Waits
    })
}

/// A condition of Argo Workflows: a label selector over scalar paths (`argo-workflows`,
/// `workflow/executor/resource.go`).
fn selects(selector: &str, object: &Value) -> Result<bool> {
    let (path, value) = selector.split_once(" == ").with_context(|| format!("{selector}: PATH == VALUE"))?;
    let found = object.pointer(&format!("/{}", path.replace('.', "/")));
    Ok(found.and_then(Value::as_str) == Some(value))
}

/// The page's template of Argo Workflows.
pub fn workflow(object: &Value) -> Result<Gate> {
    let template = only("WorkflowTemplate")?;
    let resource = &template["spec"]["templates"][0]["resource"];
    let holds = |name: &str| selects(resource[name].as_str().with_context(|| format!("no {name}"))?, object);
    Ok(match (holds("successCondition")?, holds("failureCondition")?) {
        (true, false) => Gate::Passes,
        (false, true) => Gate::Fails,
        (false, false) => Gate::Waits,
        (true, true) => bail!("both conditions hold"),
    })
}
