//! Connections that hold what they have and ask for little, mostly on a paused clock and without sockets.

use std::net::IpAddr;

use hyper::client::conn::http2;
use tokio::io::{DuplexStream, duplex};
use tokio::net::TcpSocket;
use tokio::time::{Instant, sleep};

use super::*;

/// From that address, with its handshake done, and how it is served.
fn connected(places: &Places, address: &str) -> (DuplexStream, JoinHandle<()>) {
    connected_knowing(Namespaces::default(), places, address)
}

fn connected_knowing(
    namespaces: Namespaces,
    places: &Places,
    address: &str,
) -> (DuplexStream, JoinHandle<()>) {
    let address: IpAddr = address.parse().expect("an address");
    let (client, server) = duplex(64 * 1024);
    let admission = Admission {
        config: Arc::new(ArcSwap::from_pointee(config())),
        namespaces,
        pauses: Pauses::default(),
        metrics: WebhookMetrics::default(),
        place: Arc::new(places.take(address).expect("a place")),
        parsing: Arc::new(Semaphore::new(admit::PARSED_AT_ONCE)),
        waiting: Arc::new(Semaphore::new(admit::WAITING_AT_ONCE)),
    };
    (client, tokio::spawn(serve_connection(server, admission, CancellationToken::new())))
}

/// The same with HTTP/2 on it, for somebody who asks about pods of these namespaces.
pub(super) async fn connected_with(namespaces: &Namespaces) -> SendRequest<Full<Bytes>> {
    http2(connected_knowing(namespaces.clone(), &Places::default(), "10.0.0.1")).await.0
}

/// The same with HTTP/2 on it, whose client answers pings.
async fn http2_connected() -> (SendRequest<Full<Bytes>>, JoinHandle<()>) {
    http2(connected(&Places::default(), "10.0.0.1")).await
}

async fn http2(
    (client, serving): (DuplexStream, JoinHandle<()>),
) -> (SendRequest<Full<Bytes>>, JoinHandle<()>) {
    let (sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(client)).await.expect("HTTP/2");
    tokio::spawn(connection);
    (sender, serving)
}

/// How many whole seconds it is served.
async fn seconds(serving: JoinHandle<()>) -> u64 {
    let began = Instant::now();
    timeout(Duration::from_hours(1), serving).await.expect("it is ended").expect("it ends well");
    began.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_or_not_enough_is_sent_away() {
    for begun in ["", "PRI * HTTP/2.0\r\n", "POST /mutate HTTP/1.1\r\nhost: webhook\r\n"] {
        let (mut client, serving) = connected(&Places::default(), "10.0.0.1");
        client.write_all(begun.as_bytes()).await.expect("written");
        assert!((5..=8).contains(&seconds(serving).await), "{begun:?} and then silence");
    }
}

#[tokio::test(start_paused = true)]
async fn answering_pings_keeps_no_connection() {
    let (_sender, serving) = http2_connected().await;
    assert!((5..=8).contains(&seconds(serving).await), "no request came");

    let (mut sender, serving) = http2_connected().await;
    for _ in 0..9 {
        sleep(Duration::from_secs(2)).await;
        if sender.ready().await.is_err() {
            break;
        }
        send(&mut sender, "/", Bytes::new()).await;
    }
    assert!(serving.is_finished(), "requests that the webhook does not serve are none");
}

#[tokio::test(start_paused = true)]
async fn requests_keep_a_connection_until_none_has_come_for_long() {
    let (mut sender, serving) = http2_connected().await;
    for _ in 0..3 {
        let (status, _) = send(&mut sender, "/mutate", review_of(&pod()).to_string().into()).await;
        assert_eq!(status, StatusCode::OK);
        sleep(Duration::from_secs(50)).await;
    }
    assert!(!serving.is_finished(), "it was used all the time");
    assert!((10..=13).contains(&seconds(serving).await), "a minute after the last request");
}

#[tokio::test(start_paused = true)]
async fn bodies_of_one_address_wait_for_room() {
    let places = Places::default();
    let head = format!("POST /mutate HTTP/1.1\r\nhost: {NAME}\r\ncontent-length: {}\r\n", admit::BODY_LIMIT);
    let head = format!("{head}expect: 100-continue\r\n\r\n");
    // The server asks for the body only once it has room.
    let asked = async |client: &mut DuplexStream| {
        client.write_all(head.as_bytes()).await.expect("written");
        let mut answer = [0; 25];
        let answered = timeout(Duration::from_secs(1), client.read_exact(&mut answer)).await;
        answered.is_ok() && answer.starts_with(b"HTTP/1.1 100 ")
    };
    let (mut first, _serving) = connected(&places, "10.0.0.1");
    assert!(asked(&mut first).await, "there is room for one of the largest");
    let (mut second, _serving) = connected(&places, "10.0.0.1");
    assert!(!asked(&mut second).await, "but not for two of one address");
    let (mut other, _serving) = connected(&places, "10.0.0.2");
    assert!(asked(&mut other).await, "which leaves the others theirs");
}

#[tokio::test]
async fn one_address_leaves_connections_to_others() {
    let webhook = Webhook::start().await;
    let mut held = Vec::new();
    for _ in 0..256 / places::SHARES {
        held.push(webhook.connect("h2").await);
    }
    assert!(webhook.try_connect("h2").await.is_err(), "its address has no more");

    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.2:0".parse().expect("an address")).expect("loopback has it");
    let stream = socket.connect(webhook.address).await.expect("a connection");
    webhook.secured(stream, "h2").await.expect("another address has places of its own");
}

#[tokio::test]
async fn a_review_that_would_be_huge_in_memory_is_refused() {
    let webhook = Webhook::start().await;
    let mut dense = review_of(&pod());
    dense["request"]["object"]["spec"]["fieldOfTheFuture"] = json!(vec![json!({}); 60_000]);
    assert_eq!(
        webhook.post(dense.to_string()).await.0,
        StatusCode::PAYLOAD_TOO_LARGE,
        "few bytes, much to hold"
    );
    assert_eq!(webhook.metrics.admissions(Outcome::Failed(Failure::Body)), 1);

    let mut large = pod();
    let variables: Vec<Value> =
        (0..20_000).map(|n| json!({"name": format!("V{n}"), "value": "something"})).collect();
    large["spec"]["containers"][0]["env"] = variables.into();
    webhook.review(&review_of(&large)).await;
    assert_eq!(webhook.metrics.admissions(Outcome::Injected), 1, "a very large pod is injected");
}
