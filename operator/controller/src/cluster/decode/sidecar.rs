//! The status of our own container.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Deserialize;

use crate::cluster::sidecar::{Sidecar, SidecarCause, SidecarFailure};

/// Ends in a row after which a container counts as one that ends again and again, whether or not its kubelet
/// waits already: the first is tried again at once.
const RESTARTS: i32 = 2;

/// The status of a container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContainerStatus {
    pub(super) name: String,
    restart_count: i32,
    state: State,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct State {
    waiting: Option<Waiting>,
    running: Option<Running>,
    terminated: Option<Terminated>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Waiting {
    reason: String,
    message: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Running {
    started_at: Option<Time>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Terminated {
    exit_code: i32,
    reason: String,
    message: String,
}

impl ContainerStatus {
    /// When it last started, if it runs.
    pub(super) fn started(&self) -> Option<&Time> {
        self.state.running.as_ref()?.started_at.as_ref()
    }

    /// How it fares, in a pod whose own containers have been started or not.
    pub(super) fn fares(&self, initialized: bool) -> Sidecar {
        let failing =
            |cause, message: &str| Sidecar::Failing(SidecarFailure::new(cause, message, initialized));
        if self.state.running.is_some() {
            return Sidecar::Running;
        }
        if let Some(Waiting { reason, message }) = &self.state.waiting {
            return SidecarCause::of(reason).map_or(Sidecar::Waiting, |cause| failing(cause, message));
        }
        let Some(ended) = &self.state.terminated else { return Sidecar::Waiting };
        // One that ends well ends with its pod.
        let again = ended.exit_code != 0 && self.restart_count >= RESTARTS;
        match SidecarCause::of(&ended.reason) {
            Some(cause) => failing(cause, &ended.message),
            None if again => {
                failing(SidecarCause::Crash, &format!("{}, exit code {}", ended.reason, ended.exit_code))
            }
            None => Sidecar::Waiting,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_container_fares_as_its_kubelet_tells() {
        let fails = |cause, message: &str| Sidecar::Failing(SidecarFailure::new(cause, message, false));
        let pull = json!({"waiting": {"reason": "ErrImagePull", "message": "not found"}});
        let crash = json!({"terminated": {"exitCode": 2, "reason": "Error", "message": "log"}});
        let start =
            json!({"terminated": {"exitCode": 128, "reason": "StartError", "message": "no such file"}});
        let done = json!({"terminated": {"exitCode": 0, "reason": "Completed"}});
        for (restarts, state, expected) in [
            (0, json!({}), Sidecar::Waiting),
            (0, json!({"waiting": {"reason": "PodInitializing"}}), Sidecar::Waiting),
            (0, pull, fails(SidecarCause::Image, "not found")),
            (0, json!({"waiting": {"reason": "CrashLoopBackOff"}}), fails(SidecarCause::Crash, "")),
            (0, start, fails(SidecarCause::Start, "no such file")),
            (1, crash.clone(), Sidecar::Waiting),
            (2, crash, fails(SidecarCause::Crash, "Error, exit code 2")),
            (7, done, Sidecar::Waiting),
            (7, json!({"running": {"startedAt": "2027-01-15T08:00:00Z"}}), Sidecar::Running),
        ] {
            let status = json!({"name": "peerwalk", "restartCount": restarts, "state": state});
            let status: ContainerStatus = serde_json::from_value(status).unwrap();
            assert_eq!(status.fares(false), expected, "{status:?}");
        }
    }
}
