//! `peerwalk-sidecar attest` and the probe that asks it, as programs.
#![allow(clippy::expect_used, clippy::panic)]

use std::net::{TcpListener, UdpSocket};
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

/// Ends with the test, whatever comes of it: who runs the tests waits for all that have their output.
struct Attesting(Child);

impl Drop for Attesting {
    fn drop(&mut self) {
        // One that has ended already cannot be ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn attest(path: &str) -> Attesting {
    let child = Attesting(command(&["attest", "--listen", path]).spawn().expect("the program starts"));
    for _ in 0..1000 {
        if Path::new(path).exists() {
            return child;
        }
        sleep(Duration::from_millis(10));
    }
    panic!("it does not listen");
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

    // What goes on at loopback addresses is told to nobody.
    let own = UdpSocket::bind("0.0.0.0:0").expect("a port");
    own.connect("192.0.2.1:9").expect("a route, over which nothing is sent");
    let own = own.local_addr().expect("an address").ip();
    let listener = TcpListener::bind((own, 0)).expect("a port");
    let target = listener.local_addr().expect("an address").to_string();
    let probe = run(&["probe", &format!("tcp://{target}"), "--peer", path, "--output", "json"]);
    let said: Value = serde_json::from_slice(&probe.stdout).expect("JSON");
    let dial = &said["stages"][0]["evidence"]["dials"][0];
    let mss = dial["mss"].as_u64().expect("a dial that is asked about has a mark");
    assert!((1000..=1400).contains(&mss), "{mss}");
    let peer = &said["peers"][0];
    assert_eq!((&peer["who"], &peer["endpoint"]), (&"api".into(), &true.into()), "{said:#}");
    let seen = &peer["saw"]["seen"][0];
    assert_eq!(seen["tuple"]["destination"], target.as_str());
    assert_eq!(
        (&seen["socket"]["source"], &seen["socket"]["state"]),
        (&dial["local"], &1.into()),
        "{said:#}"
    );

    let kill = format!("kill -TERM {}", attesting.0.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().expect("sh runs").success());
    assert!(attesting.0.wait().expect("it ends").success());
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
