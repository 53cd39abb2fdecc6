//! Hub and sidecar with each other, over TLS on loopback: all that one says and the other does.
// The helpers of a test may fail as the test itself may.
#![allow(clippy::expect_used, clippy::panic)]

#[path = "attach/peers.rs"]
mod peers;
#[path = "attach/support.rs"]
#[allow(dead_code, reason = "each of those who share it uses a part")]
mod support;

use std::sync::Arc;
use std::time::Duration;

use peerwalk_hub::{HubEvent, Role};
use peerwalk_model::evidence::{digest, signature};
use peerwalk_sidecar::schedule::Order;

use support::{Ca, NAME, TestHub, TestSidecar, config, key, plan, pod, until, walk, within};

async fn pair() -> (Ca, TestHub, TestSidecar) {
    let ca = Ca::new();
    let mut hub = TestHub::start(&ca).await;
    hub.handle.set_plan(&pod("web"), plan(1, &["a", "b"])).expect("a plan within the limits");
    let mut sidecar = TestSidecar::start(hub.address, &ca.pem(), "web", "token-web");
    assert_eq!(hub.attached().await, pod("web"));
    assert_eq!(
        sidecar.plan().await.targets,
        plan(1, &["a", "b"]).targets,
        "a stream begins with the whole plan"
    );
    (ca, hub, sidecar)
}

#[tokio::test]
async fn plans_go_out_and_evidence_comes_in() {
    let (_ca, mut hub, mut sidecar) = pair().await;
    let found = walk("a", "10.0.0.1");
    sidecar.found(&found).await;
    let evidence = hub.evidence().await;
    assert_eq!(evidence.resolve, found.resolve);
    assert!(evidence.started.since(found.started) < Duration::from_secs(5), "moments keep their age");

    let heartbeat =
        |event| if let HubEvent::Heartbeat { heartbeat, .. } = event { Some(heartbeat) } else { None };
    let expected = digest([(&found.target, signature(&found))]);
    let beat = hub
        .event("a heartbeat that tells of the walk", |event| {
            heartbeat(event).filter(|beat| !beat.targets.is_empty() && beat.plan_generation == 1)
        })
        .await;
    assert_eq!(beat.digest, expected);
    assert_eq!(beat.targets[0].target, key("a"));
    assert_eq!(beat.targets[0].consecutive, 1);
    assert_eq!(beat.sockets, support::SOCKETS, "and of the prober's own sockets");

    hub.handle.set_plan(&pod("web"), plan(2, &["b", "c"])).expect("a plan within the limits");
    assert_eq!(
        sidecar.plan().await.targets,
        plan(2, &["b", "c"]).targets,
        "the difference makes the new plan"
    );
    assert!(hub.handle.walk_now(&pod("web"), vec![key("c")]), "the pod is attached");
    let Order::WalkNow(targets) = sidecar.order().await else { panic!("an order to walk is expected") };
    assert_eq!(targets, [key("c")]);
    assert!(!hub.handle.walk_now(&pod("api"), Vec::new()), "another pod is not");
    sidecar.stop().await;
    let detached = |event| if let HubEvent::Detached { pod, .. } = event { Some(pod) } else { None };
    assert_eq!(hub.event("the stream ends", detached).await, pod("web"));
    hub.counted("peerwalk_hub_streams 0").await;
    hub.stop().await;
}

#[tokio::test]
async fn evidence_that_nobody_took_is_sent_again() {
    let ca = Ca::new();
    let small = peerwalk_hub::Config { events: 4, ..config() };
    let mut hub = TestHub::start_with(ca.server(NAME), small, "127.0.0.1:0").await;
    hub.handle.set_plan(&pod("web"), plan(1, &["a", "b"])).expect("a plan within the limits");
    let mut sidecar = TestSidecar::start(hub.address, &ca.pem(), "web", "token-web");
    sidecar.plan().await;
    // Nobody takes events: heartbeats fill the room there is.
    until("events are lost", || !hub.metrics_text().contains("peerwalk_hub_events_lost_total 0\n")).await;
    for target in ["a", "b"] {
        sidecar.found(&walk(target, "10.0.0.1")).await;
    }
    hub.counted("peerwalk_hub_messages_total{kind=\"Evidence\"} 2").await;
    let mut targets = std::collections::BTreeSet::new();
    while targets.len() < 2 {
        targets.insert(hub.evidence().await.target);
    }
    assert_eq!(targets.into_iter().collect::<Vec<_>>(), [key("a"), key("b")]);
}

#[tokio::test]
async fn tokens_that_are_not_ours_are_refused() {
    let ca = Ca::new();
    for (token, reason) in [("another-audience", "Token"), ("expired", "Token"), ("token-api", "Pod")] {
        let hub = TestHub::start(&ca).await;
        let sidecar = TestSidecar::start(hub.address, &ca.pem(), "web", token);
        hub.counted(&format!("peerwalk_hub_streams_ended_total{{reason=\"{reason}\"}} 1")).await;
        hub.counted("peerwalk_hub_streams 0").await;
        sidecar.stop().await;
        hub.stop().await;
    }
}

#[tokio::test]
async fn a_pod_that_is_not_known_yet_comes_back() {
    let ca = Ca::new();
    let mut hub = TestHub::start(&ca).await;
    hub.tokens.unknown.lock().expect("not poisoned").insert(pod("web"));
    let _sidecar = TestSidecar::start(hub.address, &ca.pem(), "web", "token-web");
    hub.counted("peerwalk_hub_streams_ended_total{reason=\"Retry\"} 1").await;
    hub.tokens.unknown.lock().expect("not poisoned").clear();
    assert_eq!(hub.attached().await, pod("web"));
}

#[tokio::test]
async fn the_token_is_never_sent_to_a_server_that_is_not_verified() {
    let (ca, other) = (Ca::new(), Ca::new());
    let wrong_root = TestHub::start(&ca).await;
    let sidecar = TestSidecar::start(wrong_root.address, &other.pem(), "web", "token-web");
    wrong_root.counted("peerwalk_hub_connections_failed_total{reason=\"Tls\"} 1").await;
    assert!(wrong_root.tokens.asked.lock().expect("not poisoned").is_empty(), "no token arrived");
    sidecar.stop().await;

    let wrong_name = TestHub::start_with(ca.server("other.test"), config(), "127.0.0.1:0").await;
    let sidecar = TestSidecar::start(wrong_name.address, &ca.pem(), "web", "token-web");
    wrong_name.counted("peerwalk_hub_connections_failed_total{reason=\"Tls\"} 1").await;
    assert!(wrong_name.tokens.asked.lock().expect("not poisoned").is_empty(), "no token arrived");
    sidecar.stop().await;
}

#[tokio::test]
async fn a_rotated_token_is_presented_again() {
    let (_ca, hub, sidecar) = pair().await;
    std::fs::write(&sidecar.token.0, "token-web/2").expect("a token");
    let tokens = Arc::clone(&hub.tokens);
    until("the new token is reviewed", || {
        tokens.asked.lock().expect("not poisoned").contains(&"token-web/2".to_owned())
    })
    .await;
    hub.counted("peerwalk_hub_streams 1").await;
}

#[tokio::test]
async fn a_token_of_another_pod_ends_the_stream() {
    let (_ca, hub, sidecar) = pair().await;
    std::fs::write(&sidecar.token.0, "token-api").expect("a token");
    hub.counted("peerwalk_hub_streams_ended_total{reason=\"Pod\"} 1").await;
}

#[tokio::test]
async fn a_second_stream_of_a_pod_takes_the_place_of_the_first() {
    let (ca, mut hub, mut first) = pair().await;
    let mut second = TestSidecar::start(hub.address, &ca.pem(), "web", "token-web/again");
    assert_eq!(hub.attached().await, pod("web"));
    second.plan().await;
    hub.counted("peerwalk_hub_streams_ended_total{reason=\"Superseded\"} 1").await;
    hub.counted("peerwalk_hub_streams 1").await;
    hub.handle.walk_now(&pod("web"), Vec::new());
    assert!(matches!(second.order().await, Order::WalkNow(_)), "the newer one is spoken to");
    assert!(first.orders.try_recv().is_err(), "the older one is not");
    while let Ok(event) = hub.events.try_recv() {
        assert!(!matches!(event, HubEvent::Detached { .. }), "the pod never was without a stream");
    }
}

#[tokio::test]
async fn a_pod_that_is_gone_loses_its_stream() {
    let (_ca, hub, sidecar) = pair().await;
    hub.tokens.unknown.lock().expect("not poisoned").insert(pod("web"));
    hub.handle.remove_pod(&pod("web"));
    hub.counted("peerwalk_hub_streams_ended_total{reason=\"PodGone\"} 1").await;
    sidecar.stop().await;
}

#[tokio::test]
async fn a_standby_sends_sidecars_to_the_leader() {
    let ca = Ca::new();
    let (mut standby, mut leader) = (TestHub::start(&ca).await, TestHub::start(&ca).await);
    standby.handle.set_role(Role::Standby { redirect: Some(leader.address.to_string()) });
    let _sidecar = TestSidecar::start(standby.address, &ca.pem(), "web", "token-web");
    assert_eq!(leader.attached().await, pod("web"));
    assert!(standby.tokens.asked.lock().expect("not poisoned").is_empty(), "a standby reviews no tokens");
    // The roles change places while the sidecar is attached.
    standby.handle.set_role(Role::Leader);
    leader.handle.set_role(Role::Standby { redirect: Some(standby.address.to_string()) });
    assert_eq!(standby.attached().await, pod("web"));
}

#[tokio::test]
async fn a_standby_without_a_leader_asks_sidecars_to_come_back() {
    let ca = Ca::new();
    let mut hub = TestHub::start(&ca).await;
    hub.handle.set_role(Role::Standby { redirect: None });
    let _sidecar = TestSidecar::start(hub.address, &ca.pem(), "web", "token-web");
    hub.counted("peerwalk_hub_streams_ended_total{reason=\"Retry\"} 1").await;
    assert!(hub.tokens.asked.lock().expect("not poisoned").is_empty(), "a standby reviews no tokens");
    hub.handle.set_role(Role::Leader);
    assert_eq!(hub.attached().await, pod("web"));
    // It loses the lead, and nobody else has it: the stream stays, and ends once there is somebody.
    hub.handle.set_role(Role::Standby { redirect: None });
    let mut other = TestHub::start(&ca).await;
    hub.handle.set_role(Role::Standby { redirect: Some(other.address.to_string()) });
    assert_eq!(other.attached().await, pod("web"));
    hub.counted("peerwalk_hub_streams_ended_total{reason=\"Redirected\"} 1").await;
}

#[tokio::test]
async fn outages_without_a_hub_are_told_afterwards() {
    let (ca, mut hub, mut sidecar) = pair().await;
    sidecar.found(&walk("a", "10.0.0.1")).await;
    hub.evidence().await;
    let address = hub.address.to_string();
    hub.stop().await;
    // Nobody listens now: the target fails, and comes back.
    let (failed, back) = (walk("a", ""), walk("a", "10.0.0.1"));
    sidecar.found(&failed).await;
    sidecar.found(&back).await;

    let mut hub = TestHub::start_with(ca.server(NAME), config(), &address).await;
    hub.handle.set_plan(&pod("web"), plan(1, &["a", "b"])).expect("a plan within the limits");
    // Both come, in whatever order.
    let (mut transitions, mut evidence) = (None, None);
    while transitions.is_none() || evidence.is_none() {
        match hub.event("the outage and the evidence", Some).await {
            HubEvent::Transitions { transitions: told, .. } => transitions = Some(told),
            HubEvent::Evidence { walk, .. } => evidence = Some(walk),
            HubEvent::Saw { .. }
            | HubEvent::Attached { .. }
            | HubEvent::Detached { .. }
            | HubEvent::Heartbeat { .. }
            | HubEvent::Contested { .. } => {}
        }
    }
    let found: Vec<_> =
        transitions.into_iter().flatten().map(|t| (t.target, t.passed, t.signature)).collect();
    assert_eq!(found, [(key("a"), false, signature(&failed)), (key("a"), true, signature(&back))]);
    assert_eq!(sidecar.plan().await.targets, plan(1, &["a", "b"]).targets);
    assert_eq!(
        evidence.expect("evidence came").resolve,
        back.resolve,
        "a new hub gets the evidence there is"
    );
}

#[tokio::test]
async fn a_link_ends_at_once_with_and_without_a_hub() {
    let (_ca, hub, attached) = pair().await;
    attached.stop().await;
    let ca = Ca::new();
    let address = hub.address;
    hub.stop().await;
    let alone = TestSidecar::start(address, &ca.pem(), "web", "token-web");
    within("the link ends", alone.stop()).await;
}
