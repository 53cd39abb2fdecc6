//! What plans hold, and what changes them: limits, and controls that stay.

use peerwalk_wire::{FromHub, PlanDelta};

use super::*;
use crate::cluster::decode::{Kind, SlimEndpointSlice, SlimNode, SlimService};

#[test]
fn a_pod_with_too_many_targets_keeps_the_first_ones() {
    let mut world = World::shop();
    for check in 0..9 {
        let targets: Vec<_> = (0..64)
            .map(|n| {
                json!({"name": format!("t{n:02}"), "service": {"name": "db", "namespace": "ledger", "port": 5432}})
            })
            .collect();
        world.other_check(&format!("c{check}"), &targets);
    }
    let outputs = world.settle();
    let plan = world::plan_of(&outputs, "web-1").expect("it has a plan");
    assert_eq!(plan.targets.len(), 512, "as many as a plan may hold");
    let last = plan.targets.keys().last().unwrap();
    assert_eq!(
        (last.check.as_str(), last.target.as_str()),
        ("c7", "t63"),
        "those of the last check are left"
    );
    FromHub::PlanDelta(PlanDelta::whole(&plan)).encode().expect("the hub takes it");
    world.tick();
    assert_eq!(world::plan_of(&world.settle(), "web-1"), None, "the same ones every time");
}

/// Service ledger/db with many endpoints on n2, and the ready pods behind them.
fn many_endpoints(world: &mut World, headless: bool) {
    let ip = if headless { "None" } else { "10.96.0.7" };
    world.apply::<SlimService>(json!({
        "metadata": {"namespace": "ledger", "name": "db"},
        "spec": {"clusterIP": ip, "clusterIPs": [ip], "ports": [{"name": "main", "port": 5432}]},
    }));
    // The pods of these networks are not listed yet.
    world.apply::<SlimNode>(json!({"metadata": {"name": "n3"}, "spec": {"podCIDRs": ["10.244.2.0/23"]}}));
    let endpoints: Vec<_> = (0..300)
        .map(|n| {
            json!({"addresses": [format!("10.244.{}.{}", 2 + n / 200, 1 + n % 200)],
                "conditions": {"ready": true}, "nodeName": "n2",
                "targetRef": {"kind": "Pod", "name": format!("db-{n}")}})
        })
        .collect();
    world.apply::<SlimEndpointSlice>(json!({
        "metadata": {
            "namespace": "ledger", "name": "db-1", "labels": {"kubernetes.io/service-name": "db"},
        },
        "addressType": "IPv4", "endpoints": endpoints, "ports": [{"name": "main", "port": 5432}],
    }));
}

#[test]
fn large_services_fit_into_plans() {
    for (headless, target) in [
        (false, json!({"name": "db", "service": {"name": "db", "namespace": "ledger", "port": 5432}})),
        (false, json!({"name": "db", "url": "https://db.ledger.svc:5432/"})),
        (true, json!({"name": "db", "url": "https://db.ledger.svc:5432/"})),
    ] {
        let mut world = World::shop();
        many_endpoints(&mut world, headless);
        world.check_with_target(target.clone());
        let outputs = world.settle();
        let plan = world::plan_of(&outputs, "web-1").expect("it has a plan");
        FromHub::PlanDelta(PlanDelta::whole(&plan)).encode().expect("the hub takes it");
        let planned = plan.targets.values().next().unwrap();
        match &planned.kind {
            TargetKind::Service(service) => {
                let dialled: Vec<_> = service.endpoints.iter().map(std::net::SocketAddr::ip).collect();
                let proves: Vec<_> = planned.controls.iter().flat_map(|c| c.proves.clone()).collect();
                assert_eq!(proves, dialled, "a control proves the paths to what is dialled");
            }
            TargetKind::Url(url) if headless => assert_eq!(url.scope.networks.len(), 256),
            TargetKind::Url(_) => assert_eq!(planned.controls[0].proves.len(), 64),
            TargetKind::Dns(_) => panic!("no name was asked for"),
        }
    }
}

#[test]
fn a_control_stays_while_it_is_good() {
    let control = |world: &mut World| world.planned("web-1").expect("planned").controls[0].pod.clone();
    let mut world = World::shop();
    world.settle();
    assert_eq!(control(&mut world), "ledger/ping");
    // An unrelated pod, first by name.
    world.pod_in("ledger", "a-first", "a", "n2", "10.244.1.30", false, "t", 8080);
    let outputs = world.settle();
    assert_eq!(outputs, vec![], "nothing is planned anew, nothing is walked");
    assert_eq!(control(&mut world), "ledger/ping", "the one before stays");

    let deny = json!({"podSelector": {"matchLabels": {"app": "ping"}}, "policyTypes": ["Ingress"]});
    world.policy("ledger", "deny-ping", &deny);
    world.settle();
    assert_eq!(control(&mut world), "ledger/a-first", "one that is denied is good no longer");
    world.policy_gone("ledger", "deny-ping");
    world.settle();
    assert_eq!(control(&mut world), "ledger/a-first", "and is not missed");
}

#[test]
fn a_target_that_a_pod_has_no_room_for_is_told_as_such() {
    let mut world = World::shop();
    let targets: Vec<_> =
        (0..64).map(|n| json!({"name": format!("t{n}"), "dns": {"name": "example.com"}})).collect();
    // Eight checks of 64 targets are all that a plan holds, and they come before the one of the shop.
    for n in 0..8 {
        world.other_check(&format!("a{n}"), &targets);
    }
    world.attach("web-1");
    let status = world.status_after_settle().expect("it is told");
    let ready = status.condition(READY).expect("Ready is always there");
    assert_eq!((ready.status, ready.reason.as_str()), (ConditionStatus::Unknown, "NotProven"), "{status:#?}");
    assert!(ready.message.contains("more targets than one pod walks (512"), "{}", ready.message);

    world.take(Input::Watch(WatchEvent::Deleted(Kind::Check, ObjectKey::new("shop", "a7"))));
    world.settle();
    world.tick();
    world.pass(15);
    world.tick();
    let status = world.status_after_settle().expect("there is room now");
    assert_eq!(status.condition(READY).map(|ready| ready.reason.as_str()), Some("Probing"), "{status:#?}");
}
