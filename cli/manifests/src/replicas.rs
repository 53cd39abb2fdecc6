//! How many pods a template stands for.

use serde_json::Value;

/// Whether a workload may have several pods at a time. One that does not say how many may be scaled by something else;
/// what runs once, and is not told to run more, is one.
pub(crate) fn are_several(kind: &str, object: &Value) -> bool {
    let spec = &object["spec"];
    match kind {
        "DaemonSet" => true,
        "Job" => run_beside(spec),
        "CronJob" => {
            let waits = matches!(spec["concurrencyPolicy"].as_str(), Some("Forbid" | "Replace"));
            !waits || run_beside(&spec["jobTemplate"]["spec"])
        }
        _ => spec["replicas"] != 1,
    }
}

fn run_beside(job: &Value) -> bool {
    job["parallelism"].as_u64().is_some_and(|count| count > 1)
}
