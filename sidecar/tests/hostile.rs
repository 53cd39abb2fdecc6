//! A hub and clients that are not our sidecar: what breaks the protocol is refused by name.
#![allow(clippy::expect_used, clippy::panic)]

#[path = "attach/support.rs"]
#[allow(dead_code, reason = "each of those who share it uses a part")]
mod support;

#[path = "attach/client.rs"]
#[allow(dead_code, reason = "each of those who share it uses a part")]
mod client;

use peerwalk_model::plan::{DialScope, TargetKind, UrlTarget};
use peerwalk_model::{Plan, Timestamp};
use peerwalk_wire::{Frame, FromHub, FromSidecar, RefusalCode, RetryReason, Versions, limits};
use tokio::net::TcpStream;

use client::{Client, channel, hello};
use support::{Ca, NAME, TestHub, config, plan, pod, until};

#[tokio::test]
async fn what_breaks_the_protocol_is_refused() {
    let ca = Ca::new();
    let hub = TestHub::start(&ca).await;
    let table = [
        (hello("web", Versions { min: 7, max: 9 }), RefusalCode::Version, "7 to 9"),
        (Frame::from(vec![0xff; 20]), RefusalCode::Protocol, "cannot be decoded"),
        (Frame::from(Vec::new()), RefusalCode::Protocol, "message is missing"),
        (Frame::from(vec![0; limits::HELLO_FRAME_BYTES + 1]), RefusalCode::Protocol, "16384 are allowed"),
        (Frame::from(vec![0; limits::SIDECAR_FRAME_BYTES + 1]), RefusalCode::Protocol, "too large"),
        (
            FromSidecar::Token("token-web".into()).encode(Timestamp::default()).expect("within the limits"),
            RefusalCode::Protocol,
            "not Hello",
        ),
    ];
    for (frame, code, words) in table {
        let client = Client::start(&hub, &ca).await;
        client.say(frame).await;
        let (found, message) = client.refusal().await;
        assert_eq!(found, code, "{message}");
        assert!(message.contains(words), "{message:?} says {words:?}");
    }
    assert!(hub.tokens.asked.lock().expect("not poisoned").is_empty(), "no token was looked at");
    hub.stop().await;
}

#[tokio::test]
async fn frames_of_an_attached_client_are_bounded_too() {
    let ca = Ca::new();
    let hub = TestHub::start(&ca).await;
    let mut client = Client::start(&hub, &ca).await;
    client.say(hello("web", Versions::supported())).await;
    assert!(matches!(client.answer().await, Some(FromHub::Welcome { version: 1, .. })));
    client.say(Frame::from(vec![0; limits::SIDECAR_FRAME_BYTES + 1])).await;
    assert_eq!(client.refusal().await.0, RefusalCode::Protocol);
}

#[tokio::test]
async fn who_says_nothing_is_cut() {
    let ca = Ca::new();
    let impatient = peerwalk_hub::Config { hello_timeout: std::time::Duration::from_millis(200), ..config() };
    let hub = TestHub::start_with(ca.server(NAME), impatient, "127.0.0.1:0").await;
    let mut silent = Client::start(&hub, &ca).await;
    let _no_stream = channel(&hub, &ca).await;
    let _no_handshake = TcpStream::connect(hub.address).await.expect("the hub listens");
    assert_eq!(silent.answer().await, None, "the stream ends without an answer");
    hub.counted("peerwalk_hub_streams_ended_total{reason=\"HelloTimeout\"} 1").await;
    hub.counted("peerwalk_hub_connections_failed_total{reason=\"Timeout\"} 2").await;
    hub.stop().await;
}

#[tokio::test]
async fn there_is_room_for_so_many_streams() {
    let ca = Ca::new();
    let small = peerwalk_hub::Config { max_streams: 1, ..config() };
    let hub = TestHub::start_with(ca.server(NAME), small, "127.0.0.1:0").await;
    let (mut first, mut second) = (Client::start(&hub, &ca).await, Client::start(&hub, &ca).await);
    first.say(hello("web", Versions::supported())).await;
    assert!(matches!(first.answer().await, Some(FromHub::Welcome { .. })));
    second.say(hello("api", Versions::supported())).await;
    let answer = second.answer().await;
    assert!(matches!(answer, Some(FromHub::RetryAfter { reason: RetryReason::Full, .. })), "{answer:?}");
    assert_eq!(second.answer().await, None, "and the stream ends");
}

#[tokio::test]
async fn who_reads_too_slowly_is_cut() {
    let ca = Ca::new();
    let small = peerwalk_hub::Config { outbound_messages: 1, ..config() };
    let hub = TestHub::start_with(ca.server(NAME), small, "127.0.0.1:0").await;
    let client = Client::start(&hub, &ca).await;
    client.say(hello("web", Versions::supported())).await;
    hub.counted("peerwalk_hub_streams 1").await;
    // It reads nothing, not even the welcome; whole plans of a megabyte fill every buffer in between.
    let generations = std::cell::Cell::new(1);
    until("the stream is cut", || {
        let plan = large_plan(generations.replace(generations.get() + 1));
        hub.handle.set_plan(&pod("web"), plan).expect("a plan within the limits");
        hub.metrics_text().contains("peerwalk_hub_streams_ended_total{reason=\"Slow\"} 1")
    })
    .await;
    hub.stop().await;
}

/// A plan of a megabyte, different in all its targets from that of any other generation.
fn large_plan(generation: u64) -> Plan {
    let roots = format!("{generation:065000}");
    let mut plan = plan(generation, &["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n"]);
    for target in plan.targets.values_mut() {
        target.kind = TargetKind::Url(UrlTarget {
            url: "https://a.example/".into(),
            roots_pem: Some(roots.clone()),
            scope: DialScope::default(),
        });
    }
    plan
}

#[tokio::test]
async fn who_does_not_listen_holds_up_nobody() {
    let ca = Ca::new();
    let quick = peerwalk_hub::Config { drain: std::time::Duration::from_millis(300), ..config() };
    let hub = TestHub::start_with(ca.server(NAME), quick, "127.0.0.1:0").await;
    let mut client = Client::start(&hub, &ca).await;
    client.say(hello("web", Versions::supported())).await;
    assert!(matches!(client.answer().await, Some(FromHub::Welcome { .. })));
    // It keeps its side of the stream open and reads no more.
    hub.stop().await;
    assert_eq!(client.answer().await, Some(FromHub::Draining), "it was told before the connection was cut");
}
