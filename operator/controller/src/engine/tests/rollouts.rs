//! Templates against churn, for every kind of workload: a pod of the same template leaves Ready as it is, one of another
//! template takes it back until it has walked.

use super::world::acts::{ready, stalled};
use super::*;
use crate::cluster::decode::SlimPod;

/// Labels and controller of one pod, as its kind of workload sets them.
struct Made {
    labels: serde_json::Value,
    owner: Option<(&'static str, &'static str, &'static str)>,
}

fn made(labels: serde_json::Value, owner: (&'static str, &'static str, &'static str)) -> Made {
    Made { labels, owner: Some(owner) }
}

/// A kind of workload: what its pods are before and after its template changes.
struct Workload {
    kind: &'static str,
    before: fn() -> Made,
    after: fn() -> Made,
}

const WORKLOADS: [Workload; 6] = [
    Workload {
        kind: "Deployment",
        before: || made(json!({"pod-template-hash": "5d4f"}), ("ReplicaSet", "web-5d4f", "rs-1")),
        after: || made(json!({"pod-template-hash": "7c9b"}), ("ReplicaSet", "web-7c9b", "rs-2")),
    },
    Workload {
        kind: "StatefulSet",
        before: || made(json!({"controller-revision-hash": "web-68d"}), ("StatefulSet", "web", "sts")),
        after: || made(json!({"controller-revision-hash": "web-7f1"}), ("StatefulSet", "web", "sts")),
    },
    Workload {
        kind: "DaemonSet",
        before: || {
            let labels = json!({"controller-revision-hash": "6b8", "pod-template-generation": "1"});
            made(labels, ("DaemonSet", "web", "ds"))
        },
        after: || {
            let labels = json!({"controller-revision-hash": "9d2", "pod-template-generation": "2"});
            made(labels, ("DaemonSet", "web", "ds"))
        },
    },
    Workload {
        kind: "Job",
        before: || made(json!({"batch.kubernetes.io/controller-uid": "job-1"}), ("Job", "web-1", "job-1")),
        after: || made(json!({"batch.kubernetes.io/controller-uid": "job-2"}), ("Job", "web-2", "job-2")),
    },
    // Its ReplicaSets are its own, with a label of its own.
    Workload {
        kind: "Rollout of Argo Rollouts",
        before: || made(json!({"rollouts-pod-template-hash": "5d4f"}), ("ReplicaSet", "web-5d4f", "rs-1")),
        after: || made(json!({"rollouts-pod-template-hash": "7c9b"}), ("ReplicaSet", "web-7c9b", "rs-2")),
    },
    Workload {
        kind: "ReplicaSet alone",
        before: || made(json!({}), ("ReplicaSet", "web-a", "rs-1")),
        after: || made(json!({}), ("ReplicaSet", "web-b", "rs-2")),
    },
];

fn bare() -> Made {
    Made { labels: json!({}), owner: None }
}

impl World {
    /// A source pod that a workload made, in that phase.
    fn made(&mut self, name: &str, number: u8, of: &Made, phase: &str) {
        let mut labels = of.labels.clone();
        labels["app"] = json!("web");
        let owners: Vec<_> = of
            .owner
            .iter()
            .map(|(kind, name, uid)| {
                json!({"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid, "controller": true})
            })
            .collect();
        let ip = format!("10.244.0.{number}");
        let created = jiff::Timestamp::from_millisecond(self.now().as_millis()).unwrap();
        let status = match phase {
            "Pending" => json!({"phase": phase}),
            _ => json!({"phase": phase, "podIP": ip, "podIPs": [{"ip": ip}]}),
        };
        self.apply::<SlimPod>(json!({
            "metadata": {
                "namespace": "shop", "name": name, "uid": format!("uid-{name}"), "labels": labels,
                "ownerReferences": owners, "creationTimestamp": created.to_string(),
            },
            "spec": {
                "nodeName": "n1",
                "containers": [{"name": "app"}],
                "initContainers": [{"name": "peerwalk", "restartPolicy": "Always"}],
            },
            "status": status,
        }));
    }

    /// The pod runs, its sidecar attaches, and its walks find everything as it should be.
    fn walks(&mut self, name: &str, number: u8, of: &Made) {
        self.made(name, number, of, "Running");
        self.attach(name);
        self.walk(name, world::connected());
        self.settle_and_store();
    }

    /// The shop whose only source pod is this one, and all is well.
    fn good_with(of: &Made) -> Self {
        let mut world = Self::shop();
        world.pod_gone("web-1");
        world.walks("one", 11, of);
        world.live(60);
        assert_eq!(ready(world.last()), ("True", "AsExpected"), "{:#?}", world.last());
        world
    }

    fn ready(&mut self) -> (String, String) {
        self.settle_and_store();
        let (status, reason) = ready(self.last());
        (status.to_owned(), reason.to_owned())
    }
}

fn said(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

#[test]
fn churn_within_a_template_leaves_ready_alone() {
    for Workload { kind, before, .. } in WORKLOADS {
        let mut world = World::good_with(&before());
        let since = world.last().since.clone();
        // Another one comes, as by scaling, a node's drain or another try of a Job, and the first goes.
        for phase in ["Pending", "Running"] {
            world.made("two", 12, &before(), phase);
            assert_eq!(world.ready(), said("True", "AsExpected"), "{kind}: a pod is {phase}");
        }
        world.walks("two", 12, &before());
        world.pod_gone("one");
        assert_eq!(world.ready(), said("True", "AsExpected"), "{kind}: another stands for the template");
        assert_eq!(world.last().since, since, "{kind}: it was never taken back");
    }
}

#[test]
fn another_template_takes_ready_back_until_a_pod_of_it_has_walked() {
    for Workload { kind, before, after } in WORKLOADS {
        let mut world = World::good_with(&before());
        for phase in ["Pending", "Running"] {
            world.made("two", 12, &after(), phase);
            assert_eq!(world.ready(), said("Unknown", "Probing"), "{kind}: a pod is {phase}");
        }
        // That pods of before are gone proves nothing of those after.
        world.pod_gone("one");
        assert_eq!(world.ready(), said("Unknown", "Probing"), "{kind}: the old pod is gone");
        world.walks("two", 12, &after());
        assert_eq!(world.ready(), said("True", "AsExpected"), "{kind}: {:#?}", world.last());
    }
}

#[test]
fn a_template_that_is_taken_back_to_is_tried_again() {
    for Workload { kind, before, after } in WORKLOADS {
        let mut world = World::good_with(&before());
        world.walks("two", 12, &after());
        world.pod_gone("one");
        assert_eq!(world.ready(), said("True", "AsExpected"), "{kind}");
        world.made("three", 13, &before(), "Pending");
        assert_eq!(world.ready(), said("Unknown", "Probing"), "{kind}: no pod of it is there any more");
        world.walks("three", 13, &before());
        assert_eq!(world.ready(), said("True", "AsExpected"), "{kind}");
    }
}

#[test]
fn a_template_that_breaks_something_is_told_beside_one_that_works() {
    for Workload { kind, before, after } in WORKLOADS {
        let mut world = World::good_with(&before());
        world.made("two", 12, &after(), "Running");
        world.attach("two");
        world.fail("two");
        assert_eq!(world.ready(), said("False", "ConnectionRefused"), "{kind}");
    }
}

#[test]
fn each_bare_pod_is_a_template_of_its_own() {
    let mut world = World::good_with(&bare());
    world.made("two", 12, &bare(), "Pending");
    assert_eq!(world.ready(), said("Unknown", "Probing"), "nobody says that it is as the other");
    world.walks("two", 12, &bare());
    assert_eq!(world.ready(), said("True", "AsExpected"));
    world.pod_gone("one");
    assert_eq!(world.ready(), said("True", "AsExpected"));
}

#[test]
fn a_job_that_is_done_is_no_source_and_its_next_run_is_tried() {
    let [job] = WORKLOADS.iter().filter(|w| w.kind == "Job").collect::<Vec<_>>()[..] else { panic!("one") };
    let mut world = World::good_with(&(job.before)());
    world.check(&json!({"source": {"podSelector": {"matchLabels": {"app": "web"}}, "minPods": 0}}));
    world.walk("one", world::connected());
    assert_eq!(world.ready(), said("True", "AsExpected"));
    world.made("one", 11, &(job.before)(), "Succeeded");
    assert_eq!(world.ready(), said("True", "AsExpected"), "none are asked for");
    world.made("two", 12, &(job.after)(), "Pending");
    assert_eq!(world.ready(), said("Unknown", "Probing"));
    world.walks("two", 12, &(job.after)());
    assert_eq!(world.ready(), said("True", "AsExpected"));
}

#[test]
fn who_is_scaled_to_zero_is_missed_where_pods_are_asked_for() {
    for Workload { kind, before, .. } in WORKLOADS {
        let mut world = World::good_with(&before());
        world.pod_gone("one");
        assert_eq!(world.ready(), said("Unknown", "NoSourcePods"), "{kind}");
        world.live(121);
        assert!(stalled(world.last()), "{kind}: for longer than the progress deadline");
        world.made("two", 12, &before(), "Pending");
        assert_eq!(world.ready().0, "Unknown", "{kind}: of no pod that is there is anything known");
        assert!(!stalled(world.last()), "{kind}: somebody scales up");
        world.walks("two", 12, &before());
        assert_eq!(world.ready(), said("True", "AsExpected"), "{kind}");
    }
}

#[test]
fn who_is_scaled_to_zero_is_as_expected_where_none_are_asked_for() {
    for Workload { kind, before, after } in WORKLOADS {
        let mut world = World::good_with(&before());
        world.check(&json!({"source": {"podSelector": {"matchLabels": {"app": "web"}}, "minPods": 0}}));
        world.walk("one", world::connected());
        assert_eq!(world.ready(), said("True", "AsExpected"), "{kind}");
        world.fail("one");
        assert_eq!(world.ready(), said("False", "ConnectionRefused"), "{kind}");
        world.pod_gone("one");
        assert_eq!(world.ready(), said("True", "AsExpected"), "{kind}: who failed is gone");
        world.live(600);
        assert!(!stalled(world.last()), "{kind}: nothing is missing");
        for (name, number, of) in [("two", 12, before()), ("three", 13, after())] {
            world.made(name, number, &of, "Pending");
            assert_eq!(world.ready(), said("Unknown", "Probing"), "{kind}: {name} is coming");
            world.walks(name, number, &of);
            assert_eq!(world.ready(), said("True", "AsExpected"), "{kind}: {name} has walked");
        }
    }
}

#[test]
fn as_many_pods_as_are_asked_for_have_to_run() {
    let of = (WORKLOADS[0].before)();
    let mut world = World::good_with(&of);
    world.check(&json!({"source": {"podSelector": {"matchLabels": {"app": "web"}}, "minPods": 2}}));
    assert_eq!(world.ready(), said("Unknown", "NoSourcePods"));
    world.walk("one", world::connected());
    world.walks("two", 12, &of);
    assert_eq!(world.ready(), said("True", "AsExpected"));
    world.pod_gone("two");
    assert_eq!(world.ready(), said("Unknown", "NoSourcePods"), "one of two is gone");
}
