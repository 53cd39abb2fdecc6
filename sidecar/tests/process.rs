//! The program itself: it lives without a hub, says nothing secret, and ends when it is told to.
#![allow(clippy::expect_used, clippy::panic)]

#[path = "attach/support.rs"]
#[allow(dead_code, reason = "each of those who share it uses a part")]
mod support;

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{IpAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use peerwalk_model::evidence::Trigger;
use peerwalk_model::plan::{DialScope, HttpMethod, HttpRequest, TargetKind, UrlTarget};
use support::{Ca, NAME, TestHub, plan, pod, within};
use tokio::net::TcpListener;
use tokio::time::sleep;

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peerwalk-sidecar"));
    command.arg("run").env_clear().stdout(Stdio::piped());
    command
}

fn terminate(child: &Child) {
    let kill = format!("kill -TERM {}", child.id());
    let sent = Command::new("sh").args(["-c", &kill]).status().expect("sh runs");
    assert!(sent.success(), "the signal is sent");
}

/// The program as a sidecar of pod web.
fn attach(hub: &TestHub, ca: &Ca, directory: &Path) -> Child {
    let token = directory.join("token");
    std::fs::write(&token, "token-web").expect("a token");
    command()
        .env("PEERWALK_HUB", format!("{NAME}:9443"))
        .env("PEERWALK_HUB_ADDRESS", hub.address.to_string())
        .env("PEERWALK_HUB_ROOT", ca.pem())
        .env("PEERWALK_TOKEN_FILE", &token)
        .env("PEERWALK_POD_NAMESPACE", "shop")
        .env("PEERWALK_POD_NAME", "web")
        .env("PEERWALK_POD_UID", "uid-web")
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts")
}

/// An address of this machine that a plan may lead to, which loopback is not.
fn own_address() -> IpAddr {
    // Choosing a source address sends nothing (RFC 5737: a network for documentation).
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    socket.connect("203.0.113.1:9").expect("this machine has an address besides loopback, and a route");
    socket.local_addr().expect("an address").ip()
}

#[test]
fn without_a_hub_it_lives_until_sigterm() {
    let directory = tempfile::tempdir().expect("a directory");
    let token = directory.path().join("token");
    std::fs::write(&token, "the-secret-token").expect("a token");
    // Port 9 (discard) of loopback: nobody listens there.
    let mut child = command()
        .env("PEERWALK_HUB", "hub.invalid:9")
        .env("PEERWALK_HUB_ADDRESS", "127.0.0.1:9")
        .env("PEERWALK_HUB_ROOT", Ca::new().pem())
        .env("PEERWALK_TOKEN_FILE", &token)
        .env("PEERWALK_POD_NAMESPACE", "shop")
        .env("PEERWALK_POD_NAME", "web-1")
        .env("PEERWALK_POD_UID", "uid-1")
        .env("PEERWALK_POD_IPS", "10.0.0.1")
        .env(
            "PEERWALK_PROXY_ENV",
            r#"[{"container":"web","variables":[{"name":"HTTP_PROXY","value":"http://u:the-secret@p"}]}]"#,
        )
        .spawn()
        .expect("the program starts");
    let mut output = BufReader::new(child.stdout.take().expect("piped"));
    let mut lines = Vec::new();
    while !lines.iter().any(|line: &String| line.contains("attaching again later")) {
        let mut line = String::new();
        assert_ne!(output.read_line(&mut line).expect("text"), 0, "it ended by itself: {lines:?}");
        assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok(), "each line is JSON: {line}");
        lines.push(line);
    }
    assert!(lines[0].contains("started") && lines[0].contains("shop/web-1"), "{}", lines[0]);
    assert!(lines.iter().any(|line| line.contains("the hub cannot be reached")), "{lines:?}");
    terminate(&child);
    let status = child.wait().expect("the program ends");
    assert_eq!(status.code(), Some(0), "SIGTERM is a clean end");
    let mut rest = String::new();
    output.read_to_string(&mut rest).expect("text");
    let all = lines.concat() + &rest;
    assert!(!all.contains("the-secret"), "nothing secret is logged: {all}");
}

#[test]
fn what_the_environment_lacks_is_named() {
    let output = command().stderr(Stdio::piped()).output().expect("the program runs");
    assert_eq!(output.status.code(), Some(2), "usage");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("--hub"), "what is missing is named: {text}");
}

#[test]
fn a_root_that_is_none_is_named() {
    let output = command()
        .args([
            "--hub=hub:9443",
            "--hub-root=nonsense",
            "--pod-namespace=shop",
            "--pod-name=web",
            "--pod-uid=1",
        ])
        .output()
        .expect("the program runs");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("PEERWALK_HUB_ROOT is not usable"), "{text}");
}

#[tokio::test]
async fn with_a_hub_it_walks_what_is_planned() {
    let ca = Ca::new();
    let mut hub = TestHub::start(&ca).await;
    hub.handle.set_plan(&pod("web"), plan(7, &["a"])).expect("a plan within the limits");
    let directory = tempfile::tempdir().expect("a directory");
    let mut child = attach(&hub, &ca, directory.path());
    assert_eq!(hub.attached().await, pod("web"));
    let walk = hub.evidence().await;
    assert_eq!((walk.plan_generation, walk.trigger), (7, Trigger::Event), "a new plan is walked at once");
    assert!(walk.resolve.is_some() || walk.local.is_some(), "the walk was made: {walk:?}");
    child.kill().expect("the program runs");
    child.wait().expect("the program ends");
    hub.counted("peerwalk_hub_streams_ended_total{reason=\"Peer\"} 1").await;
}

#[tokio::test]
async fn sigterm_ends_it_in_the_middle_of_a_walk() {
    let ca = Ca::new();
    let mut hub = TestHub::start(&ca).await;
    // It takes connections, and never answers a request: walks to it last as long as they may.
    let silent = TcpListener::bind((own_address(), 0)).await.expect("an address of our own");
    let mut long = plan(7, &["a"]);
    for target in long.targets.values_mut() {
        let url = format!("http://{}/", silent.local_addr().expect("an address"));
        let scope = DialScope { any_address: true, ..DialScope::default() };
        target.kind = TargetKind::Url(UrlTarget { url, roots_pem: None, scope });
        target.http = Some(HttpRequest { method: HttpMethod::Get, path: "/".into(), status_below: 400 });
        target.total_timeout = Duration::from_mins(5);
    }
    hub.handle.set_plan(&pod("web"), long).expect("a plan within the limits");
    let directory = tempfile::tempdir().expect("a directory");
    let mut child = attach(&hub, &ca, directory.path());
    assert_eq!(hub.attached().await, pod("web"));
    let _walking = within("a walk begins", silent.accept()).await.expect("a connection");

    terminate(&child);
    within("the program ends", async {
        while child.try_wait().expect("a child").is_none() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(child.wait().expect("a child").code(), Some(0), "a clean end");
    hub.counted("peerwalk_hub_streams_ended_total{reason=\"Peer\"} 1").await;
}
