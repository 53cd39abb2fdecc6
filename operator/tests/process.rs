//! The program itself: it ends when it is told to, whatever it is doing.
#![allow(clippy::expect_used)]

use std::net::TcpListener;
use std::process::{Command, Stdio};

#[test]
fn sigterm_ends_a_start_that_waits_for_the_api_server() {
    // It takes connections, and says nothing.
    let api_server = TcpListener::bind("127.0.0.1:0").expect("a loopback address");
    let address = api_server.local_addr().expect("an address");
    let kubeconfig = format!("{}/kubeconfig-of-a-silent-api-server", env!("CARGO_TARGET_TMPDIR"));
    let text = format!(
        r#"{{"apiVersion": "v1", "kind": "Config", "current-context": "c",
            "contexts": [{{"name": "c", "context": {{"cluster": "c", "user": "u"}}}}],
            "clusters": [{{"name": "c", "cluster": {{"server": "http://{address}"}}}}],
            "users": [{{"name": "u", "user": {{}}}}]}}"#
    );
    std::fs::write(&kubeconfig, text).expect("a file");
    let mut operator = Command::new(env!("CARGO_BIN_EXE_peerwalk-operator"))
        .args(["--namespace=peerwalk", "--hub-service=hub", "--webhook-service=webhook"])
        .args(["--webhook-configuration=peerwalk", "--secret=pki", "--sidecar-image=sidecar:test"])
        .args(["--lease=peerwalk", "--pod-name=peerwalk-1", "--pod-uid=u-1", "--pod-ip=127.0.0.1"])
        .env_clear()
        .env("KUBECONFIG", &kubeconfig)
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    let _asked = api_server.accept().expect("it asks the API server");

    let kill = format!("kill -TERM {}", operator.id());
    let sent = Command::new("sh").args(["-c", &kill]).status().expect("sh runs");
    assert!(sent.success(), "the signal is sent");
    // Were it to wait for the API server first, it would give up on it and end with an error.
    let ended = operator.wait().expect("the program ends");
    assert_eq!(ended.code(), Some(0), "a clean end, and not by the signal: {ended}");
}
