//! `peerwalk-sidecar probe` as scripts use it: its exit codes, and what it writes where.
#![allow(clippy::expect_used, clippy::panic)]

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tokio::net::TcpSocket;

/// The program without any environment, so that no proxy of the machine is used.
fn command(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peerwalk-sidecar"));
    command.arg("probe").args(words).env_clear();
    command
}

fn probe(words: &[&str]) -> Output {
    command(words).output().expect("the program runs")
}

fn code(words: &[&str]) -> Option<i32> {
    probe(words).status.code()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A port of loopback that is listened on, and its target.
struct Open(TcpListener, String);

impl Open {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let target = format!("tcp://{}", address(&listener));
        Self(listener, target)
    }

    fn was_dialled(&self) -> bool {
        self.0.accept().is_ok()
    }
}

/// A port of loopback that nobody listens on. It is bound, so that nobody else gets it meanwhile.
struct Closed(#[allow(dead_code, reason = "it holds the port")] TcpSocket, String);

impl Closed {
    fn new() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
        let target = format!("tcp://{}", socket.local_addr().expect("an address"));
        Self(socket, target)
    }
}

fn address(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().expect("an address")
}

/// Answers each connection with a status, until the test ends.
fn http(status: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let target = format!("http://{}/healthz", address(&listener));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read(&mut byte).expect("a request") == 0 {
                    break;
                }
                head.push(byte[0]);
            }
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).expect("an answer is taken");
        }
    });
    target
}

#[test]
fn the_exit_code_says_whether_all_is_as_expected() {
    let (open, closed) = (Open::new(), Closed::new());
    let (open, closed) = (open.1.as_str(), closed.1.as_str());
    let (good, bad) = (http("204 No Content"), http("503 Unavailable"));
    for (words, expected) in [
        (&[open][..], 0),
        (&[open, "--expect", "reachable"], 0),
        (&[open, "--family", "4"], 0),
        (&[&good], 0),
        (&[closed], 1),
        (&[&bad], 1),
        // A target that answers is not denied, whatever the policies say.
        (&[open, "--expect", "denied"], 1),
        // One that does not is not thereby denied: a probe alone knows no policy.
        (&[closed, "--expect", "denied"], 3),
    ] {
        assert_eq!(code(words), Some(expected), "{words:?}");
    }
}

#[test]
fn the_worst_exit_code_wins() {
    let (open, closed) = (Open::new(), Closed::new());
    let (open, closed) = (open.1.as_str(), closed.1.as_str());
    for (words, expected) in [
        (&[open, open][..], 0),
        (&[open, closed], 1),
        (&[closed, open], 1),
        (&[closed, closed, "--expect", "denied"], 3),
        (&[open, closed, "--expect", "denied"], 1),
        (&[closed, open, "--expect", "denied"], 1),
        (&[closed, open, "db:5432"], 2),
        (&[closed, "db:5432", "--expect", "denied"], 2),
    ] {
        assert_eq!(code(words), Some(expected), "{words:?}");
    }
}

#[test]
fn wrong_usage_is_2_names_what_is_wrong_and_walks_nothing() {
    let open = Open::new();
    for (words, named) in [
        (&[open.1.as_str(), "db:5432"][..], &["db:5432", "tcp://host:port"][..]),
        (&["dns:10.0.0.1"], &["dns:10.0.0.1", "dns:name"]),
        (&["tcp://user:secret@127.0.0.1:1"], &["user information"]),
        (&[&open.1, "--family", "5"], &["--family", "4, 6"]),
        (&[&open.1, "--output", "yaml"], &["--output", "json"]),
        (&[&open.1, "--timeout", "soon"], &["--timeout", "500ms"]),
        (&[&open.1, "--control", "db"], &["--control", "name:port"]),
        (&[&open.1, "--retries", "3"], &["--retries"]),
        (&[&open.1, "tcp://[::1]:1", "--family", "4"], &["tcp://[::1]:1", "--family 4", "IPv4 address"]),
        (&["http://127.0.0.1/", &open.1, "--family", "6"], &["http://127.0.0.1/", "--family 6", "IPv6"]),
        (&["tcp://[::ffff:127.0.0.1]:1", "--family", "6"], &["tcp://[::ffff:127.0.0.1]:1", "--family 6"]),
        (&[&open.1, "--control", "[::1]:80", "--family", "4"], &["--control [::1]:80", "--family 4"]),
        (&[], &["TARGET"]),
    ] {
        let output = probe(words);
        let (said, error) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(2), "{words:?}: {error}");
        assert_eq!(said, "", "{words:?}: nothing is walked");
        for wanted in named {
            assert!(error.contains(wanted), "{words:?}: {wanted:?} in {error}");
        }
        assert!(!error.contains("secret"), "no credential in a message: {error}");
    }
    assert!(!open.was_dialled(), "a usage error walks nothing, whatever else is right");
}

#[test]
fn output_that_cannot_be_written_is_at_least_3_and_ends_no_walk() {
    let full = || OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let unread = || {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        writer
    };
    let closed = Closed::new();
    for format in ["text", "json"] {
        for (more, expected) in [(&[][..], 3), (&[closed.1.as_str()], 1), (&["--expect", "denied"], 1)] {
            for into in [Stdio::from(full()), Stdio::from(unread())] {
                let opened = [Open::new(), Open::new()];
                let words = [&[opened[0].1.as_str()], more, &[&opened[1].1, "--output", format]].concat();
                let output = command(&words).stdout(into).stderr(Stdio::piped()).output().expect("it runs");
                let error = text(&output.stderr);
                assert_eq!(output.status.code(), Some(expected), "{words:?}: {error}");
                assert!(error.contains("the output cannot be written"), "{words:?}: {error}");
                assert!(opened.iter().all(Open::was_dialled), "{words:?}: every target is walked");
            }
        }
    }
}

/// The shell closes it, and the standard library opens `/dev/null` in its place: nobody wanted the output.
#[test]
fn standard_output_that_was_closed_leaves_the_code_of_the_targets() {
    let (open, closed) = (Open::new(), Closed::new());
    for (target, expected) in [(&open.1, 0), (&closed.1, 1)] {
        let script = format!("exec {} probe {target} >&-", env!("CARGO_BIN_EXE_peerwalk-sidecar"));
        let status = Command::new("sh").args(["-c", &script]).env_clear().status().expect("sh runs");
        assert_eq!(status.code(), Some(expected), "{target}");
    }
}

#[test]
fn a_probe_that_lacks_descriptors_knows_nothing() {
    let (open, mut reasons) = (Open::new(), Vec::new());
    // From too few to start with to enough for all: 3 turns into 0, and nothing is blamed on the target. In
    // between tokio itself panics, for want of a pipe.
    for limit in [4].into_iter().chain(8..24) {
        let program = env!("CARGO_BIN_EXE_peerwalk-sidecar");
        let script = format!("ulimit -n {limit}; exec {program} probe {} --output json", open.1);
        let output = Command::new("sh").args(["-c", &script]).env_clear().output().expect("sh runs");
        let (said, error) = (text(&output.stdout), text(&output.stderr));
        let report: Value = serde_json::from_str(&said).unwrap_or_default();
        match output.status.code() {
            Some(3) if said.is_empty() => {
                assert!(error.contains("cannot be started"), "{limit} descriptors: {error}");
                reasons.push("not started");
            }
            Some(3) => {
                assert_eq!(report["result"], "Unknown", "{limit} descriptors: {said}");
                assert_eq!(report["reason"], "LocalResources", "{limit} descriptors: {said}");
                reasons.push("own trouble");
            }
            Some(0) => reasons.push("reachable"),
            other => panic!("{limit} descriptors give {other:?}: {said} {error}"),
        }
    }
    reasons.dedup();
    assert_eq!(reasons, ["not started", "own trouble", "reachable"]);
}

#[test]
fn json_is_one_object_a_line_in_the_order_given() {
    let (open, closed) = (Open::new(), Closed::new());
    let output = probe(&[&closed.1, &open.1, "--output", "json"]);
    let lines: Vec<Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"))
        .collect();
    let found: Vec<_> =
        lines.iter().map(|line| (&line["target"], &line["result"], &line["reason"])).collect();
    let (refused, reachable) = (Value::from("ConnectionRefused"), Value::Null);
    assert_eq!(
        found,
        [
            (&Value::from(closed.1.as_str()), &Value::from("Unreachable"), &refused),
            (&Value::from(open.1.as_str()), &Value::from("Reachable"), &reachable),
        ]
    );
    assert_eq!(text(&output.stderr), "", "nothing to warn of");
}

#[test]
fn text_shows_the_walk() {
    let closed = Closed::new();
    let good = http("200 OK");
    let output = probe(&[&good, &closed.1]);
    let said = text(&output.stdout);
    let begins = |wanted: String| said.lines().any(|line| line.starts_with(&wanted));
    let address = good.trim_start_matches("http://").trim_end_matches("/healthz");
    for wanted in [
        format!("here → {good}   Reachable (confirmed)"),
        format!("  connect   {address}: connected"),
        "  request   HEAD".to_owned(),
        format!("here → {}   ConnectionRefused (likely)", closed.1),
        format!("  connect   {}: refused", closed.1.trim_start_matches("tcp://")),
    ] {
        assert!(begins(wanted.clone()), "a line begins with {wanted:?} in\n{said}");
    }
}
