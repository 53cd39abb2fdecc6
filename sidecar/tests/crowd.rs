//! A hub that many want something of at once: who has not said who it is takes little, and what matters is
//! not lost.
#![allow(clippy::expect_used, clippy::panic)]

#[path = "attach/support.rs"]
#[allow(dead_code, reason = "each of those who share it uses a part")]
mod support;

#[path = "attach/client.rs"]
#[allow(dead_code, reason = "each of those who share it uses a part")]
mod client;

use peerwalk_hub::{Config, HubEvent};
use peerwalk_wire::{FromHub, FromSidecar, RetryReason, Versions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use client::{Client, connect_from, hello, said, tls};
use support::{Ca, NAME, TestHub, TestSidecar, config, key, plan, pod, until, within};

async fn start(ca: &Ca, config: Config) -> TestHub {
    TestHub::start_with(ca.server(NAME), config, "127.0.0.1:0").await
}

/// Waits until the hub has closed a connection, without a word.
async fn is_cut(mut stream: TcpStream) {
    let mut nothing = [0];
    let read = within("the connection is cut", stream.read(&mut nothing)).await;
    assert!(matches!(read, Ok(0) | Err(_)), "nothing is said");
}

#[tokio::test]
async fn one_address_cannot_take_all_places() {
    let ca = Ca::new();
    let hub = start(&ca, Config { max_arriving_of_address: 2, ..config() }).await;
    let _attached = Client::attached(&hub, &ca, "web").await;
    let silent = [connect_from("127.0.0.2", &hub).await, connect_from("127.0.0.2", &hub).await];
    is_cut(connect_from("127.0.0.2", &hub).await).await;
    hub.counted("peerwalk_hub_connections_failed_total{reason=\"Address\"} 1").await;
    Client::attached(&hub, &ca, "api").await;

    drop(silent);
    hub.counted("peerwalk_hub_connections_failed_total{reason=\"Tls\"} 2").await;
    let mut late = Client::start_over(connect_from("127.0.0.2", &hub).await, &ca).await;
    late.say(hello("late", Versions::supported())).await;
    assert!(matches!(late.answer().await, Some(FromHub::Welcome { .. })), "their places are free again");
}

#[tokio::test]
async fn those_who_do_not_say_who_they_are_have_few_places() {
    let ca = Ca::new();
    let hub = start(&ca, Config { max_arriving: 2, ..config() }).await;
    // Who is attached takes none of them.
    let _attached = [Client::attached(&hub, &ca, "web").await, Client::attached(&hub, &ca, "api").await];
    let _silent = [connect_from("127.0.0.2", &hub).await, connect_from("127.0.0.3", &hub).await];
    is_cut(connect_from("127.0.0.4", &hub).await).await;
    hub.counted("peerwalk_hub_connections_failed_total{reason=\"Full\"} 1").await;
    hub.counted("peerwalk_hub_streams 2").await;
}

#[tokio::test]
async fn little_is_taken_in_before_it_is_read() {
    const SETTINGS: u8 = 4;
    const WINDOW_UPDATE: u8 = 8;
    const INITIAL_WINDOW_SIZE: u16 = 4;
    // RFC 9113, section 6.9.2: what a window has before anybody changes it.
    const DEFAULT: u32 = 65_535;
    let ca = Ca::new();
    let hub = TestHub::start(&ca).await;
    let mut stream = tls(connect_from("127.0.0.1", &hub).await, &ca).await;
    let empty_settings = [0, 0, 0, SETTINGS, 0, 0, 0, 0, 0];
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("sent");
    stream.write_all(&empty_settings).await.expect("sent");
    let (mut of_stream, mut of_connection) = (None, None);
    while of_stream.is_none() || of_connection.is_none() {
        let mut header = [0; 9];
        within("a frame", stream.read_exact(&mut header)).await.expect("a header");
        let [a, b, c, kind, ..] = header;
        let mut payload = vec![0; usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c)];
        within("a frame", stream.read_exact(&mut payload)).await.expect("a payload");
        let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().expect("four bytes"));
        match kind {
            SETTINGS => {
                let setting = |s: &&[u8]| s[..2] == INITIAL_WINDOW_SIZE.to_be_bytes();
                of_stream = of_stream.or(payload.chunks(6).find(setting).map(|s| number(&s[2..])));
            }
            WINDOW_UPDATE => of_connection = Some(DEFAULT + number(&payload)),
            _ => {}
        }
    }
    assert_eq!((of_stream, of_connection), (Some(262_144), Some(262_144)));
}

#[tokio::test]
async fn tokens_are_not_reviewed_all_the_time() {
    let ca = Ca::new();
    let hub = TestHub::start(&ca).await;
    let mut client = Client::attached(&hub, &ca, "web").await;
    for token in ["token-web/2", "token-web/3"] {
        client.say(said(&FromSidecar::Token(token.into()))).await;
    }
    let answer = client.answer().await;
    assert!(matches!(answer, Some(FromHub::RetryAfter { reason: RetryReason::Rate, .. })), "{answer:?}");
    assert_eq!(client.answer().await, None, "and the stream ends");
    let asked = hub.tokens.asked.lock().expect("not poisoned").clone();
    assert!(!asked.contains(&"token-web/3".to_owned()), "the second one is not looked at: {asked:?}");
}

#[tokio::test]
async fn that_a_sidecar_came_and_went_waits_for_whoever_takes_it() {
    let ca = Ca::new();
    let mut hub = start(&ca, Config { events: 1, ..config() }).await;
    let sidecar =
        |hub: &TestHub, name| TestSidecar::start(hub.address, &ca.pem(), name, &format!("token-{name}"));
    let first = sidecar(&hub, "web");
    until("there is no more room", || !hub.metrics_text().contains("peerwalk_hub_events_lost_total 0\n"))
        .await;
    let second = sidecar(&hub, "api");
    until("the second has a good token", || {
        hub.tokens.asked.lock().expect("not poisoned").contains(&"token-api".to_owned())
    })
    .await;
    assert_eq!([hub.attached().await, hub.attached().await], [pod("web"), pod("api")], "none is lost");
    hub.counted("peerwalk_hub_streams 2").await;
    first.stop().await;
    second.stop().await;
    let detached = |event| if let HubEvent::Detached { pod, .. } = event { Some(pod.name) } else { None };
    let mut gone = [hub.event("one ends", detached).await, hub.event("the other ends", detached).await];
    gone.sort();
    assert_eq!(gone, ["api", "web"]);
}

#[tokio::test]
async fn walks_asked_for_while_nobody_is_there_are_asked_for_later() {
    let ca = Ca::new();
    let mut hub = TestHub::start(&ca).await;
    hub.handle.set_plan(&pod("web"), plan(1, &["a", "b"])).expect("a plan within the limits");
    let mut client = Client::attached(&hub, &ca, "web").await;
    assert!(matches!(client.answer().await, Some(FromHub::PlanDelta(_))));
    drop(client);
    let detached = |event| matches!(event, HubEvent::Detached { .. }).then_some(());
    hub.event("the stream ends", detached).await;
    assert!(!hub.handle.walk_now(&pod("web"), vec![key("b")]), "nobody is there");

    let mut client = Client::attached(&hub, &ca, "web").await;
    assert!(matches!(client.answer().await, Some(FromHub::PlanDelta(_))), "the plan comes first");
    assert_eq!(client.answer().await, Some(FromHub::WalkNow(vec![key("b")])));
}
