//! Pods whose controller heard of something before the watches here did, mostly on a paused clock and without sockets.

use tokio::time::{Instant, sleep};

use super::strangers::connected_with;
use super::*;
use crate::room::{Quota, Workload, WorkloadKind};

/// Knows the namespace `shop` with a quota, and nothing that makes pods.
fn with_a_quota() -> Namespaces {
    let namespaces = Namespaces::default();
    for kind in Kind::ALL {
        list(&namespaces, kind);
    }
    let object = json!({"status": {"hard": {"requests.cpu": "9"}, "used": {"requests.cpu": "0"}}});
    namespaces.apply("shop", "team", Rule::Quota(Quota::read("team", &object)));
    namespaces
}

/// A pod of a ReplicaSet.
fn owned() -> Value {
    let mut pod = pod();
    pod["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "a", "controller": true}]);
    pod
}

fn tell_of_its_owner(namespaces: &Namespaces) {
    let two = json!({"spec": {"replicas": 2}});
    let workload = Workload::read(WorkloadKind::ReplicaSet, &two).expect("it wants pods");
    namespaces.apply("shop", "a", Rule::Workload(workload));
}

/// Whether the pod gets its sidecar, and after how long.
async fn injected(namespaces: &Namespaces, namespace: &str, pod: &Value) -> (bool, Duration) {
    let mut sender = connected_with(namespaces).await;
    let mut review = review_of(pod);
    review["request"]["namespace"] = json!(namespace);
    let began = Instant::now();
    let (status, body) = send(&mut sender, "/mutate", review.to_string().into()).await;
    assert_eq!(status, StatusCode::OK);
    let answer: Value = serde_json::from_slice(&body).expect("JSON");
    let mut object = pod.clone();
    json_patch::patch(&mut object, &patch_of(&answer)).expect("the patch applies");
    (object["spec"]["initContainers"][0]["name"] == "peerwalk", began.elapsed())
}

const LAG: Duration = Duration::from_millis(300);

#[tokio::test(start_paused = true)]
async fn a_pod_waits_a_moment_for_what_makes_it_to_be_heard_of() {
    let (namespaces, pod) = (with_a_quota(), owned());
    let (found, ()) = tokio::join!(Box::pin(injected(&namespaces, "shop", &pod)), async {
        sleep(LAG).await;
        // Something else is no news for it.
        namespaces.made("shop", "b", 1);
        sleep(LAG).await;
        tell_of_its_owner(&namespaces);
    });
    assert_eq!(found, (true, 2 * LAG));
    let again = injected(&namespaces, "shop", &pod).await;
    assert_eq!(again, (true, Duration::ZERO), "what is known is not waited for");
}

#[tokio::test(start_paused = true)]
async fn a_pod_waits_for_its_namespace_and_then_for_what_makes_it() {
    let (namespaces, pod) = (with_a_quota(), owned());
    let (found, ()) = tokio::join!(Box::pin(injected(&namespaces, "bank", &pod)), async {
        sleep(LAG).await;
        let object = json!({"status": {"hard": {"requests.cpu": "9"}, "used": {"requests.cpu": "0"}}});
        namespaces.apply("bank", "team", Rule::Quota(Quota::read("team", &object)));
        namespaces.apply("bank", "bank", Rule::Namespace(None));
        sleep(LAG).await;
        let one = Workload::read(WorkloadKind::ReplicaSet, &json!({"spec": {"replicas": 1}}));
        namespaces.apply("bank", "a", Rule::Workload(one.expect("it wants pods")));
    });
    assert_eq!(found, (true, 2 * LAG));
}

#[tokio::test(start_paused = true)]
async fn a_pod_of_what_is_never_heard_of_goes_without_in_time() {
    let namespaces = with_a_quota();
    let late = Duration::from_secs(1);
    for (namespace, pod) in [("shop", owned()), ("bank", pod())] {
        assert_eq!(injected(&namespaces, namespace, &pod).await, (false, late), "in {namespace}");
    }
    let mut daemon = owned();
    daemon["metadata"]["ownerReferences"][0]["kind"] = json!("DaemonSet");
    let found = injected(&namespaces, "shop", &daemon).await;
    assert_eq!(found, (false, Duration::ZERO), "it tells only after its first pods");
    let unwatched = Namespaces::default();
    let found = injected(&unwatched, "shop", &pod()).await;
    assert_eq!(found, (false, Duration::ZERO), "nothing was listed yet");
}

#[tokio::test(start_paused = true)]
async fn pods_of_what_is_not_there_keep_no_room_from_others() {
    let namespaces = with_a_quota();
    let mut large = owned();
    large["metadata"]["annotations"]["note"] = json!("x".repeat(admit::WAITING_AT_ONCE));
    assert_eq!(injected(&namespaces, "shop", &large).await, (false, Duration::ZERO));
}
