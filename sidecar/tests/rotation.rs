//! The hub's certificates change while sidecars are attached: streams go on, and whoever comes verifies what is served
//! by then.
#![allow(clippy::expect_used, clippy::panic)]

#[path = "attach/support.rs"]
#[allow(dead_code, reason = "each of those who share it uses a part")]
mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use peerwalk_hub::{Config, HubEvent};

use support::{Ca, NAME, TestHub, TestSidecar, config, key, plan, pod, until, walk, within};

/// Sidecars that are attached all the time.
const STREAMS: usize = 20;

/// Starts a sidecar that trusts that CA, and waits until it is attached.
async fn attached(hub: &mut TestHub, ca: &Ca, name: &str) -> TestSidecar {
    hub.handle.set_plan(&pod(name), plan(1, &["a"])).expect("a plan within the limits");
    let mut sidecar = TestSidecar::start(hub.address, &ca.pem(), name, &format!("token-{name}"));
    assert_eq!(hub.attached().await, pod(name));
    sidecar.plan().await;
    sidecar
}

/// Every sidecar sends another walk, and all of them arrive, through streams that never ended.
async fn all_report(hub: &mut TestHub, sidecars: &[TestSidecar], address: &str) {
    for sidecar in sidecars {
        sidecar.found(&walk("a", address)).await;
    }
    let mut missing: BTreeSet<String> = (0..sidecars.len()).map(|number| format!("web-{number}")).collect();
    within("all report", async {
        while !missing.is_empty() {
            match hub.events.recv().await.expect("the hub is at work") {
                HubEvent::Evidence { pod, walk, .. } => {
                    assert_eq!(walk.target, key("a"));
                    missing.remove(&pod.name);
                }
                HubEvent::Detached { pod, .. } => panic!("the stream of {pod} ended"),
                _ => {}
            }
        }
    })
    .await;
}

#[tokio::test]
async fn leaves_and_roots_are_replaced_under_streams() {
    let (old, new, stranger) = (Ca::new(), Ca::new(), Ca::new());
    // Long enough that no stream ends because the machine is busy.
    let config = Config { heartbeat_interval: Duration::from_secs(10), ..config() };
    let mut hub = TestHub::start_with(old.server(NAME), config, "127.0.0.1:0").await;
    let mut sidecars = Vec::new();
    for number in 0..STREAMS {
        sidecars.push(attached(&mut hub, &old, &format!("web-{number}")).await);
    }
    all_report(&mut hub, &sidecars, "10.0.0.1").await;

    // Another leaf of the same root.
    hub.tls.store(Arc::new(old.server(NAME)));
    all_report(&mut hub, &sidecars, "10.0.0.2").await;
    attached(&mut hub, &old, "late-1").await.stop().await;

    // A leaf of another root, for which the old one vouches.
    hub.tls.store(Arc::new(new.server_vouched_by(&[&stranger, &old], NAME)));
    let of_old = attached(&mut hub, &old, "late-2").await;
    let of_new = attached(&mut hub, &new, "late-3").await;
    of_old.stop().await;
    of_new.stop().await;
    let hub = still_there(hub, &sidecars).await;

    // No pod has the old root any more, as far as is known.
    hub.tls.store(Arc::new(new.server(NAME)));
    let left = TestSidecar::start(hub.address, &old.pem(), "late-4", "token-late-4");
    until("it turns away", || {
        !hub.metrics_text().contains("peerwalk_hub_connections_failed_total{reason=\"Tls\"} 0\n")
    })
    .await;
    let asked = hub.tokens.asked.lock().expect("not poisoned").clone();
    assert!(
        !asked.contains(&"token-late-4".to_owned()),
        "it does not show its token to whom it cannot verify"
    );
    left.stop().await;
    let hub = still_there(hub, &sidecars).await;
    for sidecar in sidecars {
        sidecar.stop().await;
    }
    hub.stop().await;
}

/// All streams of the beginning are there, and no other.
async fn still_there(hub: TestHub, sidecars: &[TestSidecar]) -> TestHub {
    hub.counted(&format!("peerwalk_hub_streams {}", sidecars.len())).await;
    hub
}
