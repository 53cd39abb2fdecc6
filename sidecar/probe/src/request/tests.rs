//! Exchanges with servers on loopback that answer as they are told.

use std::future::pending;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::*;

/// Serves one connection: reads a request head, writes the answer, then ends as told.
async fn server(answer: &'static str, end: End) -> (TcpStream, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        match end {
            End::Close => {}
            End::Reset => socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap(),
            End::Keep => std::future::pending::<()>().await,
        }
        String::from_utf8(head).unwrap()
    });
    (TcpStream::connect(address).await.unwrap(), served)
}

#[derive(Clone, Copy, Debug)]
enum End {
    Close,
    Reset,
    Keep,
}

fn http(method: HttpMethod) -> HttpRequest {
    HttpRequest { method, path: "/ignored".into(), status_below: 500 }
}

async fn outcome(answer: &'static str, end: End, method: HttpMethod) -> RequestOutcome {
    let (stream, _served) = server(answer, end).await;
    let url = TargetUrl::parse("http://catalog.shop.svc:8080/healthz?full=1").unwrap();
    let deadline = Instant::now() + Duration::from_millis(400);
    exchange(stream, &url, &http(method), Form::Origin, deadline).await.unwrap().outcome
}

#[tokio::test]
async fn answers_become_outcomes() {
    use HttpMethod::{Get, Head};
    for (answer, end, method, expected) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", End::Close, Head, RequestOutcome::Status(200)),
        (
            "HTTP/1.1 302 F\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n",
            End::Close,
            Head,
            RequestOutcome::Status(302),
        ),
        ("HTTP/1.1 503 No\r\nContent-Length: 5\r\n\r\nsorry", End::Keep, Get, RequestOutcome::Status(503)),
        ("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\ncut", End::Close, Get, RequestOutcome::Status(200)),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\n",
            End::Close,
            Get,
            RequestOutcome::Status(204),
        ),
        ("", End::Close, Head, RequestOutcome::Reset),
        ("", End::Reset, Head, RequestOutcome::Reset),
        ("HTTP/1.1 200", End::Close, Head, RequestOutcome::Reset),
        ("", End::Keep, Head, RequestOutcome::NoResponse),
        ("HTTP/1.1 200 OK\r\n", End::Keep, Head, RequestOutcome::NoResponse),
    ] {
        assert_eq!(outcome(answer, end, method).await, expected, "{answer:?}");
    }
    let found = outcome("SSH-2.0-OpenSSH_9.2\r\n\r\n", End::Keep, Head).await;
    assert!(matches!(&found, RequestOutcome::Malformed(words) if words.len() <= 200), "no HTTP: {found:?}");
}

#[tokio::test]
async fn the_request_says_who_asks_and_closes() {
    for (form, line) in [
        (Form::Origin, "HEAD /healthz HTTP/1.1"),
        (Form::Absolute, "HEAD http://catalog.shop.svc:8080/healthz HTTP/1.1"),
    ] {
        let (stream, served) = server("HTTP/1.1 200 OK\r\n\r\n", End::Close).await;
        let url = TargetUrl::parse("http://catalog.shop.svc:8080/healthz").unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        exchange(stream, &url, &http(HttpMethod::Head), form, deadline).await.unwrap();
        let head = served.await.unwrap().to_ascii_lowercase();
        assert_eq!(head.lines().next().unwrap(), line.to_ascii_lowercase());
        for wanted in ["host: catalog.shop.svc:8080", "user-agent: peerwalk/", "connection: close"] {
            assert!(head.contains(wanted), "{wanted} in {head}");
        }
    }
}

#[tokio::test]
async fn an_endless_body_is_read_to_its_bound() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        while stream.read_u8().await.unwrap() != b'/' {}
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n").await.unwrap();
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    });
    let url = TargetUrl::parse("http://big/").unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let request = exchange(stream, &url, &http(HttpMethod::Get), Form::Origin, deadline).await.unwrap();
    assert_eq!(request.outcome, RequestOutcome::Status(200));
}

/// A server in memory, so that the clock can stand: it reads a request and serves what it is told to.
async fn served<F: Future<Output = ()>>(
    deadline: Duration,
    serve: impl FnOnce(DuplexStream) -> F,
) -> (Request, Duration) {
    let (stream, mut server) = duplex(1024);
    let serving = async move {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(server.read_u8().await.unwrap());
        }
        serve(server).await;
    };
    let url = TargetUrl::parse("http://events/").unwrap();
    let begun = Instant::now();
    let http = http(HttpMethod::Get);
    let exchange = exchange(stream, &url, &http, Form::Origin, begun + deadline);
    tokio::select! {
        request = exchange => (request.unwrap(), begun.elapsed()),
        () = async { serving.await; pending().await } => unreachable!(),
    }
}

const EVENTS: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n";
const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn the_body_changes_nothing_of_the_status() {
    let (long, short) = (Duration::from_secs(30), BODY_TIME / 4);
    for deadline in [long, short] {
        let patience = deadline.min(BODY_TIME);
        let silent = served(deadline, |mut server| async move {
            server.write_all(EVENTS).await.unwrap();
            pending::<()>().await;
        });
        let slow = served(deadline, |mut server| async move {
            server.write_all(EVENTS).await.unwrap();
            loop {
                sleep(Duration::from_millis(10)).await;
                server.write_all(b"data: 2\n\n").await.unwrap();
            }
        });
        for (request, taken) in [silent.await, slow.await] {
            assert_eq!(request.outcome, RequestOutcome::Status(200), "a status is an answer");
            assert_eq!(request.elapsed, Duration::ZERO, "and came at once");
            assert_eq!(taken, patience, "the body is given its time and no more");
        }
    }
    for broken in [&b"zz\r\n"[..], b"5\r\nhe", b""] {
        let (request, taken) = served(long, move |mut server| async move {
            server.write_all(CHUNKED).await.unwrap();
            server.write_all(broken).await.unwrap();
        })
        .await;
        assert_eq!(request.outcome, RequestOutcome::Status(200), "a body that breaks off at {broken:?}");
        assert_eq!(taken, Duration::ZERO, "there is nothing to wait for after {broken:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_deadline_is_for_the_status() {
    let deadline = Duration::from_secs(2);
    let (request, taken) = served(deadline, |mut server| async move {
        sleep(deadline / 2).await;
        server.write_all(EVENTS).await.unwrap();
        pending::<()>().await;
    })
    .await;
    assert_eq!((request.outcome, request.elapsed), (RequestOutcome::Status(200), deadline / 2));
    assert_eq!(taken, deadline / 2 + BODY_TIME);
    let (request, taken) = served(deadline, |server| async move {
        let _kept = server;
        pending::<()>().await;
    })
    .await;
    assert_eq!((request.outcome, request.elapsed), (RequestOutcome::NoResponse, deadline));
    assert_eq!(taken, deadline);
}

#[tokio::test]
async fn a_server_that_speaks_first_is_no_http_server() {
    let expected = RequestOutcome::Malformed(NO_HTTP.to_owned());
    for end in [End::Keep, End::Close, End::Reset] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut accepted, _) = listener.accept().await.unwrap();
        accepted.write_all(b"220 mail.test ESMTP\r\n").await.unwrap();
        stream.readable().await.unwrap();
        if matches!(end, End::Reset) {
            socket2::SockRef::from(&accepted).set_linger(Some(Duration::ZERO)).unwrap();
        }
        let _kept = matches!(end, End::Keep).then_some(accepted);
        let url = TargetUrl::parse("http://mail/").unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        let request = exchange(stream, &url, &http(HttpMethod::Head), Form::Origin, deadline).await.unwrap();
        assert_eq!(request.outcome, expected, "what was readable before the {end:?} is what it said");
    }
    // The same banner, when it comes after the request.
    assert_eq!(outcome("220 mail.test ESMTP\r\n", End::Keep, HttpMethod::Head).await, expected);
}
