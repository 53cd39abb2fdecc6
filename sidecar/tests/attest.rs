//! `peerwalk-sidecar attest` and the probe that asks it, as programs.
#![allow(clippy::expect_used, clippy::panic)]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

fn command(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peerwalk-sidecar"));
    command.args(words).env_clear();
    command
}

fn run(words: &[&str]) -> Output {
    command(words).output().expect("the program runs")
}

fn attest(path: &str) -> Child {
    let mut child = command(&["attest", "--listen", path]).spawn().expect("the program starts");
    for _ in 0..1000 {
        if Path::new(path).exists() {
            return child;
        }
        sleep(Duration::from_millis(10));
    }
    child.kill().expect("it is ended");
    panic!("it does not listen, and ended with {:?}", child.wait());
}

#[test]
fn a_probe_tells_what_a_peer_saw_and_who_ended_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("api.sock");
    let path = path.to_str().expect("text");
    let mut attesting = attest(path);
    let again = run(&["attest", "--listen", path]);
    let errors = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(!again.status.success() && errors.contains(path), "the path is taken: {errors}");
    assert!(errors.contains("remove the file"), "what to do: {errors}");

    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let target = format!("tcp://{}", listener.local_addr().expect("an address"));
    let probe = run(&["probe", &target, "--peer", path, "--output", "json"]);
    let said: Value = serde_json::from_slice(&probe.stdout).expect("JSON");
    let dial = &said["stages"][0]["evidence"]["dials"][0];
    let mss = dial["mss"].as_u64().expect("a dial that is asked about has a mark");
    assert!((1000..=1400).contains(&mss), "{mss}");
    let peer = &said["peers"][0];
    assert_eq!((&peer["who"], &peer["endpoint"]), (&"api".into(), &true.into()), "{said:#}");
    let seen = &peer["saw"]["seen"][0];
    // Loopback is no address of the namespace's own to others: the connection is found by any end.
    assert_eq!(seen["tuple"]["destination"], "0.0.0.0:0");
    assert_eq!(
        (&seen["socket"]["source"], &seen["socket"]["state"]),
        (&dial["local"], &1.into()),
        "{said:#}"
    );

    let kill = format!("kill -TERM {}", attesting.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().expect("sh runs").success());
    assert!(attesting.wait().expect("it ends").success());
    assert!(!Path::new(path).exists(), "the socket's file goes with it");
}

#[test]
fn a_peer_that_does_not_answer_is_left_out() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let target = format!("tcp://{}", listener.local_addr().expect("an address"));
    let probe = run(&["probe", &target, "--peer", "/nonexistent/api.sock", "--output", "json"]);
    assert!(probe.status.success(), "the target is walked all the same");
    let errors = String::from_utf8_lossy(&probe.stderr).into_owned();
    assert!(errors.contains("/nonexistent/api.sock"), "who is left out: {errors}");
    let said: Value = serde_json::from_slice(&probe.stdout).expect("JSON");
    assert_eq!((&said["result"], &said["peers"]), (&"Reachable".into(), &serde_json::json!([])));
}

#[test]
fn help_says_how_to_ask_and_why_it_is_a_file() {
    let help = String::from_utf8_lossy(&run(&["attest", "--help"]).stdout).into_owned();
    for wanted in ["\"look\"", "\"watch\"", "broken the network", "--listen <PATH>"] {
        assert!(help.contains(wanted), "{wanted:?} in {help}");
    }
}
