//! Who is asked which pod takes the connections to a Service's address that work, when, and how seldom.

use std::collections::BTreeMap;

use peerwalk_model::evidence::{Dial, DialPurpose};
use peerwalk_model::peer::Tuple;

use super::peers::{
    ENDPOINT, OPEN, SERVICE, answers, arrives, attached, connected, from, looks, repeats, saw, watched,
};
use super::*;

/// A connection to the Service's address, and one to an endpoint.
fn through(port: u16, endpoint: &str) -> Vec<Dial> {
    let outcome = || DialOutcome::Connected { local_peer: None };
    let service = world::dial(SERVICE, outcome());
    let service = Dial { purpose: DialPurpose::ServiceAddress, mss: Some(1100), ..service };
    vec![from(port, service), from(port + 1, world::dial(endpoint, outcome()))]
}

/// A walk of a pod of the shop.
fn walks(world: &mut World, pod: &str, dials: Vec<Dial>) -> Vec<Output> {
    world.settle();
    let walk = world.make_walk(pod, dials);
    let now = world.now();
    world.take(Input::Sidecar(SidecarEvent::Walk(world::id("shop", pod), Box::new(walk)), now))
}

/// One second in which every sidecar that is attached tells that it finds the same; what is to be done.
fn second(world: &mut World) -> Vec<Output> {
    world.pass(1);
    let attached = world.engine.plans.keys().filter(|pod| world.engine.evidence.pod(pod).is_some());
    let mut outputs = Vec::new();
    for pod in attached.cloned().collect::<Vec<_>>() {
        let heartbeat = world.heartbeat_of(&pod.namespace, &pod.name);
        let now = world.now();
        outputs.extend(world.take(Input::Sidecar(SidecarEvent::Heartbeat(pod, heartbeat), now)));
    }
    outputs.extend(world.take(Input::Tick));
    outputs.extend(world.settle());
    outputs
}

/// Who is asked to walk.
fn walkers(outputs: &[Output]) -> Vec<String> {
    let walker = |output: &Output| match output {
        Output::WalkNow(pod, _) => Some(pod.name.clone()),
        _ => None,
    };
    outputs.iter().filter_map(walker).collect()
}

fn is_about_writing(output: &Output) -> bool {
    matches!(output, Output::Status(..) | Output::Event(_) | Output::SetPlan(..))
}

/// The round that is under way ends: the walk is asked for and comes, and the pods say whether they hold a connection.
/// Returns who was asked, about what.
fn round(
    world: &mut World,
    pod: &str,
    dials: Vec<Dial>,
    holder: Option<&str>,
) -> BTreeMap<String, Vec<Tuple>> {
    assert!(repeats(world).contains(&Output::SendAll(world::id("shop", pod))), "its ports are asked for");
    let looks = looks(&walks(world, pod, dials));
    for (whom, number, tuples) in &looks {
        let holds = holder == Some(whom.as_str());
        answers(world, "ledger", whom, *number, saw(tuples, &OPEN, holds.then_some(1)));
    }
    looks.into_iter().map(|(whom, _, tuples)| (whom, tuples)).collect()
}

#[test]
fn a_steady_cluster_is_asked_where_its_services_lead_once_and_then_seldom() {
    let mut world = attached();
    assert_eq!(arrives(&mut world, connected(), |_| {}), vec![], "nothing at once");
    world.settle_and_store();
    let mut rounds = Vec::new();
    for at in 1..=3600 {
        let outputs = second(&mut world);
        assert!(!outputs.iter().any(is_about_writing), "{at} s: {outputs:?}");
        if watched(&outputs).is_empty() {
            assert_eq!(outputs, vec![], "{at} s");
            continue;
        }
        assert_eq!((watched(&outputs), walkers(&outputs)), (vec!["db-0".into()], vec!["web-1".into()]));
        assert_eq!(outputs.len(), 2, "{outputs:?}");
        rounds.push(at);
        let asked = round(&mut world, "web-1", through(50000, ENDPOINT), Some("db-0"));
        assert_eq!(asked.keys().collect::<Vec<_>>(), ["db-0"]);
        assert_eq!(world.verdict(), "Reachable confirmed");
        assert_eq!(world.settle().into_iter().filter(is_about_writing).collect::<Vec<_>>(), vec![]);
    }
    assert_eq!(rounds.len(), 7, "the first, and one in ten minutes: {rounds:?}");
    assert_eq!(rounds[0], 1, "as soon as the walk has passed");
    assert!(rounds.windows(2).skip(1).all(|two| two[1] - two[0] == 600), "{rounds:?}");
}

#[test]
fn nobody_is_asked_where_no_sidecar_could_answer() {
    for about in ["without a sidecar", "not reporting", "endpoints unheard of", "just begun"] {
        let mut world = World::shop();
        world.attach("web-1");
        if about != "without a sidecar" && about != "not reporting" {
            world.attach_in("ledger", "db-0");
        }
        world.settle_and_store();
        if about == "endpoints unheard of" {
            world.take(Input::Watch(WatchEvent::Interrupted(Kind::EndpointSlice)));
        }
        if about != "just begun" {
            world.pass(60);
        }
        arrives(&mut world, connected(), |_| {});
        for _ in 0..25 {
            let outputs = second(&mut world);
            assert_eq!((watched(&outputs), walkers(&outputs)), (vec![], vec![]), "{about}");
        }
    }
}

#[test]
fn a_round_is_not_begun_while_another_of_the_target_is_under_way() {
    let mut world = World::shop();
    for number in 2..5 {
        world.web(&format!("web-{number}"), number + 10, "old");
    }
    world.settle_and_store();
    world.attach_in("ledger", "db-0");
    for number in 1..5 {
        world.attach(&format!("web-{number}"));
    }
    world.pass(60);
    world.heartbeat_in("ledger", "db-0");
    for number in 1..5 {
        walks(&mut world, &format!("web-{number}"), connected());
    }
    world.settle_and_store();
    let mut rounds = Vec::new();
    for at in 1..=120 {
        let outputs = second(&mut world);
        for walker in walkers(&outputs) {
            rounds.push((at, walker));
        }
    }
    // Nobody walks in these rounds: each ends when its time is up.
    let who: Vec<&str> = rounds.iter().map(|(_, who)| who.as_str()).collect();
    assert_eq!(who[..4], ["web-1", "web-2", "web-3", "web-4"], "each once, one at a time: {rounds:?}");
    assert!(who.len() <= 5, "and then seldom: {rounds:?}");
    assert!(rounds.windows(2).all(|two| two[1].0 - two[0].0 > 10), "{rounds:?}");
}

#[test]
fn sixteen_pods_are_asked_at_most_and_those_first_that_may_have_taken_it() {
    let mut world = attached();
    for number in 0..30 {
        let port = if number < 10 { 5432 } else { 8080 };
        let name = format!("pod-{number}");
        world.pod_in("ledger", &name, "x", "n2", &format!("10.244.1.{}", 30 + number), true, "t", port);
        world.pod_in(
            "other",
            &format!("far-{number}"),
            "x",
            "n2",
            &format!("10.244.1.{}", 90 + number),
            true,
            "t",
            port,
        );
    }
    world.settle_and_store();
    for number in 0..30 {
        world.attach_in("ledger", &format!("pod-{number}"));
        world.attach_in("other", &format!("far-{number}"));
    }
    arrives(&mut world, connected(), |_| {});
    let asked = watched(&second(&mut world));
    assert_eq!(asked.len(), 16);
    assert!(asked.contains(&"db-0".to_owned()), "the endpoint: {asked:?}");
    for number in 0..10 {
        assert!(asked.contains(&format!("pod-{number}")), "of the namespace, with the port: {asked:?}");
    }
    assert!(!asked.iter().any(|pod| pod.starts_with("far-")), "others have no room: {asked:?}");
}

#[test]
fn a_pod_that_is_no_endpoint_and_holds_the_connection_is_the_wrong_one() {
    let mut world = attached();
    world.pod_in("ledger", "old", "old", "n2", "10.244.1.18", true, "t", 5432);
    world.settle_and_store();
    world.attach_in("ledger", "old");
    arrives(&mut world, connected(), |_| {});
    world.settle_and_store();
    assert_eq!(watched(&second(&mut world)), ["old", "db-0"]);
    let asked = round(&mut world, "web-1", through(50010, ENDPOINT), Some("old"));
    let expected = Tuple {
        source: "10.244.0.5:50010".parse().unwrap(),
        destination: "10.244.1.18:5432".parse().unwrap(),
        mss: Some(1100),
    };
    assert_eq!(asked["old"], [expected], "as if the connection to the Service ended there");
    assert_eq!(world.verdict(), "WrongBackend likely");
    for _ in 0..24 {
        second(&mut world);
    }
    assert_eq!(world.verdict(), "WrongBackend likely", "a watch may be dead for so long");
    second(&mut world);
    assert_eq!(world.verdict(), "WrongBackend confirmed", "nobody told of it as an endpoint since");
    // All evidence is sent again for another reason: that the ports are others says nothing.
    walks(&mut world, "web-1", through(50020, ENDPOINT));
    world.settle();
    assert_eq!(world.verdict(), "WrongBackend confirmed");
    // It is looked at again before the words are old, and the Service leads where it should.
    let begun = (0..60).any(|_| !watched(&second(&mut world)).is_empty());
    assert!(begun, "a verdict that rests on it is looked at again");
    round(&mut world, "web-1", through(50030, ENDPOINT), Some("db-0"));
    assert_eq!(world.verdict(), "Reachable confirmed");
}

#[test]
fn a_mark_from_another_source_makes_nobody_the_wrong_one() {
    let mut world = attached();
    world.pod_in("ledger", "old", "old", "n2", "10.244.1.18", true, "t", 5432);
    world.settle_and_store();
    world.attach_in("ledger", "old");
    arrives(&mut world, connected(), |_| {});
    world.settle_and_store();
    second(&mut world);
    assert!(repeats(&mut world).contains(&Output::SendAll(world::id("shop", "web-1"))));
    for (whom, number, tuples) in looks(&walks(&mut world, "web-1", through(50010, ENDPOINT))) {
        let mut saw = saw(&tuples, &OPEN, (whom == "old").then_some(1));
        for socket in saw.seen.iter_mut().flat_map(|seen| &mut seen.socket) {
            socket.source = "10.244.1.1:40000".parse().unwrap();
        }
        answers(&mut world, "ledger", &whom, number, saw);
    }
    assert_eq!(world.verdict(), "Reachable confirmed");
}

#[test]
fn pods_of_another_port_of_the_service_are_its_endpoints() {
    let mut world = attached();
    world.pod_in("ledger", "metrics", "metrics", "n2", "10.244.1.18", true, "t", 5432);
    world.apply::<crate::cluster::decode::SlimEndpointSlice>(json!({
        "metadata": {
            "namespace": "ledger", "name": "db-2", "labels": {"kubernetes.io/service-name": "db"},
        },
        "addressType": "IPv4",
        "endpoints": [{
            "addresses": ["10.244.1.18"], "conditions": {"ready": true}, "nodeName": "n2",
            "targetRef": {"kind": "Pod", "name": "metrics"},
        }],
        "ports": [{"name": "metrics", "port": 5432, "protocol": "TCP"}],
    }));
    world.settle_and_store();
    world.attach_in("ledger", "metrics");
    arrives(&mut world, connected(), |_| {});
    world.settle_and_store();
    let begun = (0..60).any(|_| watched(&second(&mut world)).contains(&"metrics".to_owned()));
    assert!(begun);
    round(&mut world, "web-1", through(50010, ENDPOINT), Some("metrics"));
    assert_eq!(world.verdict(), "Reachable confirmed");
}

/// The database moves to another pod; the one of before goes on.
fn moved() -> World {
    let mut world = attached();
    arrives(&mut world, connected(), |_| {});
    world.settle_and_store();
    moves(world)
}

fn moves(mut world: World) -> World {
    world.pod_in("ledger", "db-1", "db", "n2", "10.244.1.18", true, "t", 5432);
    world.settle_and_store();
    world.attach_in("ledger", "db-1");
    world.service("ledger", "db", "10.96.0.7", 5432, "db-1", "n2", "10.244.1.18");
    world.settle_and_store();
    arrives(&mut world, through(50002, "10.244.1.18:5432"), |_| {});
    world.settle_and_store();
    world
}

#[test]
fn a_look_just_before_a_service_changes_delays_none_after_it() {
    let mut world = attached();
    arrives(&mut world, connected(), |_| {});
    world.settle_and_store();
    assert_eq!(watched(&second(&mut world)), ["db-0"], "its first walk passed");
    round(&mut world, "web-1", through(50000, ENDPOINT), Some("db-0"));
    let mut world = moves(world);
    let begun = (1..=60).find(|_| !watched(&second(&mut world)).is_empty());
    assert!(begun.is_some_and(|at| (34..40).contains(&at)), "when it has settled: {begun:?}");
}

#[test]
fn where_a_service_leads_is_looked_at_once_it_has_settled() {
    let mut world = moved();
    let mut rounds = Vec::new();
    for at in 1..=60 {
        let outputs = second(&mut world);
        if !watched(&outputs).is_empty() {
            rounds.push((at, watched(&outputs)));
            let asked = round(&mut world, "web-1", through(50004, "10.244.1.18:5432"), Some("db-0"));
            assert_eq!(asked.keys().collect::<Vec<_>>(), ["db-0", "db-1"]);
            assert_eq!(asked["db-0"][0].destination, ENDPOINT.parse().unwrap(), "as if it ended there");
            assert_eq!(world.verdict(), "WrongBackend likely", "it was no endpoint for longer than it takes");
        }
    }
    assert_eq!(rounds.len(), 1, "one round after the change: {rounds:?}");
    assert_eq!(rounds[0].1, ["db-0", "db-1"], "the pod of before first");
    assert!(rounds[0].0 >= 34, "when it has settled: {rounds:?}");
    assert_eq!(world.verdict(), "WrongBackend confirmed", "and nobody tells of it as an endpoint since");
}
