//! Which pods stand for a check: samples, templates and pods without the sidecar.

use peerwalk_api::condition::COVERED;

use super::world::acts::ready;
use super::*;

fn covered(status: &peerwalk_api::ConnectivityCheckStatus) -> (&str, &str, &str) {
    let covered = status.condition(COVERED).expect("Covered is always there");
    (covered.status.as_str(), &covered.reason, &covered.message)
}

/// A check of at most `most` pods.
fn at_most(most: u32) -> serde_json::Value {
    json!({"source": {"podSelector": {"matchLabels": {"app": "web"}}, "maxPods": most}})
}

/// Every pod with a plan for this check walks and is well.
fn all_walk(world: &mut World) -> Vec<String> {
    world.settle();
    let walking: Vec<String> = world
        .engine
        .plans
        .iter()
        .filter(|(pod, plan)| pod.namespace == "shop" && !plan.plan.targets.is_empty())
        .map(|(pod, _)| pod.name.clone())
        .collect();
    for pod in &walking {
        world.attach(pod);
        world.walk(pod, world::connected());
    }
    world.settle_and_store();
    walking
}

#[test]
fn no_pods_are_no_error_where_none_are_asked_for() {
    let mut world = World::listed();
    world.check(&json!({"source": {"podSelector": {"matchLabels": {"app": "web"}}, "minPods": 0}}));
    world.settle_and_store();
    assert_eq!(ready(world.last()), ("True", "AsExpected"), "{:#?}", world.last());
    assert_eq!(covered(world.last()), ("Unknown", "NoSourcePods", "no running pod is selected"));
}

#[test]
fn at_most_max_pods_walk_and_covered_says_of_how_many() {
    let mut world = World::shop();
    for n in 2..=5 {
        world.web(&format!("web-{n}"), 10 + n, "old");
    }
    world.check(&at_most(2));
    assert_eq!(all_walk(&mut world).len(), 2);
    assert_eq!(ready(world.last()), ("True", "AsExpected"), "{:#?}", world.last());
    let told = ("True", "AllReporting", "2 of 2 sampled pods report, of 5 selected");
    assert_eq!(covered(world.last()), told);
}

#[test]
fn more_templates_than_pods_that_may_walk_are_no_endless_probing() {
    let mut world = World::shop();
    world.pass(60);
    for (n, template) in [(2, "a-newer"), (3, "b-newest")] {
        world.web(&format!("web-{n}"), 10 + n, template);
        world.pass(60);
    }
    world.check(&at_most(2));
    assert_eq!(all_walk(&mut world), ["web-2", "web-3"], "the newest templates are tried");
    assert_eq!(ready(world.last()), ("True", "AsExpected"), "{:#?}", world.last());
    let words = "2 of 2 sampled pods report, of 3 selected; they are of the newest 2 of 3 templates";
    assert_eq!(covered(world.last()), ("True", "AllReporting", words));

    world.pending("web-4", "c-next");
    world.settle_and_store();
    assert_eq!(ready(world.last()), ("Unknown", "Probing"), "a rollout is seen all the same");
}

#[test]
fn a_template_without_the_sidecar_is_told_beside_one_that_has_it() {
    let mut world = World::good();
    world.pod_of("web-2", "web", "n1", "10.244.0.6", false, "bare");
    world.settle_and_store();
    assert_eq!(ready(world.last()), ("Unknown", "NotInjected"), "{:#?}", world.last());
    let message = &world.last().condition(READY).unwrap().message;
    assert!(message.contains("rollout restart"), "with the remedy: {message}");
    world.pod_gone("web-2");
    world.pod_of("web-3", "web", "n1", "10.244.0.6", false, "old");
    world.settle_and_store();
    assert_eq!(ready(world.last()).0, "True", "a single pod of a good template is for Covered to tell");
    assert_eq!(covered(world.last()).1, "NotInjected");
}

#[test]
fn why_the_webhook_left_a_pod_alone_is_told() {
    let mut world = World::good();
    let why = "LimitRange small: Container max.memory is 8Mi";
    for (n, note) in [(2, json!(format!("skipped: {why}\n"))), (3, json!("said by somebody else"))] {
        world.told(&format!("web-{n}"), &format!("10.244.0.{}", 10 + n), &note);
    }
    world.settle_and_store();
    let (status, reason, message) = covered(world.last());
    assert_eq!((status, reason), ("False", "NotInjected"));
    let words = "2 of 3 selected pods run without the sidecar; shop/web-2 was left without it over LimitRange \
                 small: Container max.memory is 8Mi; Label";
    assert!(message.starts_with(words), "{message}");
    assert!(!message.contains("somebody else"), "only what the webhook says: {message}");
    world.pod_gone("web-2");
    world.told("web-4", "10.244.0.14", &json!("skipped: paused, the sidecar's image cannot be pulled"));
    world.settle_and_store();
    let message = covered(world.last()).2;
    assert!(
        message.starts_with("2 of 3 selected pods run without the sidecar; Label"),
        "long over: {message}"
    );
}
