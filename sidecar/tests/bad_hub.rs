//! The sidecar's link against hubs that are broken, lost or unfriendly: it goes by its own rules, and is there
//! again when they are.
#![allow(clippy::expect_used, clippy::panic)]

#[path = "attach/support.rs"]
#[allow(dead_code, reason = "each of those who share it uses a part")]
mod support;

#[path = "attach/script.rs"]
mod script;

use std::time::Duration;

use peerwalk_wire::{Frame, FromHub, PlanDelta, Refusal, RefusalCode, RetryReason, limits};
use tokio::net::TcpListener;

use script::{BadHub, frame};
use support::{Ca, TestSidecar, key, plan, walk};

fn welcome() -> Frame {
    frame(&FromHub::Welcome { version: 1, heartbeat_interval: Duration::from_secs(10) })
}

fn whole_plan() -> Frame {
    frame(&FromHub::PlanDelta(PlanDelta::whole(&plan(3, &["a"]))))
}

fn redirect(address: &impl ToString) -> Frame {
    frame(&FromHub::Redirect { address: address.to_string() })
}

fn start(hub: &BadHub, ca: &Ca) -> TestSidecar {
    TestSidecar::start(hub.address, &ca.pem(), "web", "token-web")
}

/// What no hub may say, and when.
fn broken() -> Vec<(&'static str, Vec<Frame>)> {
    let for_another = PlanDelta { base_generation: 5, generation: 6, ..PlanDelta::default() };
    vec![
        ("what is no message", vec![welcome(), Frame::from(vec![0xff; 9])]),
        ("an empty message", vec![welcome(), Frame::from(Vec::new())]),
        ("too large a message", vec![welcome(), Frame::from(vec![0; limits::HUB_FRAME_BYTES + 1])]),
        ("a delta to a plan it never sent", vec![welcome(), frame(&FromHub::PlanDelta(for_another))]),
        ("welcome twice", vec![welcome(), welcome()]),
        ("a plan without welcome", vec![whole_plan()]),
        ("an order without welcome", vec![frame(&FromHub::WalkNow(vec![key("a")]))]),
        ("a receipt without welcome", vec![frame(&FromHub::TransitionsReceived { through: 9 })]),
    ]
}

#[tokio::test]
async fn a_hub_that_breaks_the_protocol_is_left_and_tried_again() {
    let ca = Ca::new();
    for (what, scene) in broken() {
        let mut hub = BadHub::start(&ca, what, vec![scene, vec![welcome(), whole_plan()]]).await;
        let mut sidecar = start(&hub, &ca);
        hub.visited().await;
        hub.comes_again_after(Duration::from_millis(500)).await;
        assert_eq!(sidecar.plan().await.targets, plan(3, &["a"]).targets, "after {what} all begins anew");
        let found = walk("a", "10.0.0.1");
        sidecar.found(&found).await;
        assert_eq!(hub.evidence().await.resolve, found.resolve, "after {what} evidence goes out");
        sidecar.stop().await;
    }
}

#[tokio::test]
async fn a_hub_that_goes_on_breaking_the_protocol_is_tried_less_and_less() {
    let ca = Ca::new();
    for (what, scene) in broken() {
        let mut hub = BadHub::start(&ca, what, vec![scene]).await;
        let sidecar = start(&hub, &ca);
        hub.visited().await;
        for wait in [500, 1000, 2000, 4000] {
            hub.comes_again_after(Duration::from_millis(wait)).await;
            hub.left().await;
        }
        sidecar.stop().await;
    }
}

#[tokio::test]
async fn the_hub_says_when_to_come_again() {
    let ca = Ca::new();
    let secs = Duration::from_secs;
    let refused = |code| FromHub::Refused(Refusal { code, message: "no".into() });
    let retry = |delay, reason| FromHub::RetryAfter { delay, reason };
    for (message, wait) in [
        (FromHub::Superseded, secs(30)),
        (refused(RefusalCode::Token), secs(30)),
        (refused(RefusalCode::Version), secs(30)),
        (retry(secs(7), RetryReason::NotReady), secs(7)),
        (retry(secs(60), RetryReason::Rate), secs(60)),
        (retry(secs(86_400), RetryReason::Full), secs(300)),
        (FromHub::Draining, Duration::from_millis(250)),
    ] {
        for mut scene in [Vec::new(), vec![welcome(), whole_plan()]] {
            let name = format!("{message:?} after {} other messages", scene.len());
            scene.push(frame(&message));
            let mut hub = BadHub::start(&ca, &name, vec![scene]).await;
            let sidecar = start(&hub, &ca);
            hub.visited().await;
            hub.comes_again_after(wait).await;
            sidecar.stop().await;
        }
    }
}

#[tokio::test]
async fn a_redirect_to_where_nobody_is_leads_back() {
    let ca = Ca::new();
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a loopback address");
    let address = nobody.local_addr().expect("an address");
    drop(nobody);
    for dead in [address.to_string(), "nonsense".to_owned()] {
        let scenes = vec![vec![redirect(&dead)], vec![welcome(), whole_plan()]];
        let mut hub = BadHub::start(&ca, &dead, scenes).await;
        let mut sidecar = start(&hub, &ca);
        hub.visited().await;
        assert_eq!(
            sidecar.plan().await.targets,
            plan(3, &["a"]).targets,
            "it comes again where it was injected with"
        );
        sidecar.stop().await;
    }
}

#[tokio::test]
async fn redirects_in_a_circle_are_followed_a_few_times_only() {
    let ca = Ca::new();
    let mut hub = BadHub::start_knowing(&ca, "itself", |itself| vec![vec![redirect(&itself)]]).await;
    let _sidecar = start(&hub, &ca);
    hub.visited().await;
    for wait in [500, 1000, 2000] {
        for _ in 0..3 {
            hub.visited().await;
        }
        hub.comes_again_after(Duration::from_millis(wait)).await;
        hub.left().await;
    }
}

#[tokio::test]
async fn a_hub_that_is_not_ready_is_asked_ever_more_rarely() {
    let ca = Ca::new();
    let delay = Duration::from_secs(1);
    let not_ready = || vec![frame(&FromHub::RetryAfter { delay, reason: RetryReason::NotReady })];
    let lost = [welcome(), frame(&FromHub::WalkNow(Vec::new())), Frame::from(Vec::new())];
    let scenes = [vec![not_ready(); 6], vec![lost.to_vec()], vec![not_ready()]].concat();
    let mut hub = BadHub::start(&ca, "a standby", scenes).await;
    let _sidecar = start(&hub, &ca);
    hub.visited().await;
    for wait in [1, 2, 4, 5, 5, 5] {
        hub.comes_again_after(Duration::from_secs(wait)).await;
        hub.left().await;
    }
}
