//! What runs all the time: a source pod, servers that are open, closed by a policy, or do not listen, and a policy that
//! comes and goes; and what is true of each.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use peerwalk_e2e::object::{self, NODE_1, NODE_2, denied, to_service};
use peerwalk_e2e::observer::{Expected, Observer, Truth};
use peerwalk_e2e::scene::{CLIENT, SERVER, Scene};
use serde_json::{Value, json};

/// For the first verdicts, of pods and policies that are young.
const FIRST_WITHIN: Duration = Duration::from_mins(3);
/// For a policy to be seen in a condition.
const FLIP_WITHIN: Duration = Duration::from_mins(2);

/// What is true of the first checks while nothing is changed: check, condition or target, answers.
const FIRST: [Expected; 13] = [
    ("good", "Ready", &OPEN),
    ("good", "open", &REACHABLE),
    ("good", "sealed", &DENIED),
    ("good", "Covered", &COVERED),
    ("bad", "Ready", &CLOSED),
    ("bad", "shut", &DENIED),
    ("bad", "Covered", &COVERED),
    ("refused", "Ready", &[("False", "ConnectionRefused"), ("False", "NotListening")]),
    ("refused", "deaf", &[("Unreachable", "ConnectionRefused"), ("Unreachable", "NotListening")]),
    ("refused", "Covered", &COVERED),
    ("flips", "Ready", &OPEN),
    ("flips", "flip", &REACHABLE),
    ("flips", "Covered", &COVERED),
];
const COVERED: [Truth; 1] = [("True", "AllReporting")];
const OPEN: [Truth; 1] = [("True", "AsExpected")];
const CLOSED: [Truth; 1] = [("False", "PolicyDenied")];
const REACHABLE: [Truth; 1] = [("Reachable", "")];
/// What a policy closes is out of reach, whether or not it is proven at the moment that the policy is why; a check that
/// expects the denial asks for the proof in Ready.
const DENIED: [Truth; 2] = [("Denied", "PolicyDenied"), ("Unreachable", "PolicyDenied")];
/// While a policy comes or goes, nobody can be sure.
const CHANGES: [Truth; 2] = [("Unknown", "PolicyProgramming"), ("Unknown", "PolicyDenied")];

/// More checks, to make twenty: each is about one server, in turns one that is open, sealed, shut or deaf.
const MORE: [&str; 16] = [
    "more-01", "more-02", "more-03", "more-04", "more-05", "more-06", "more-07", "more-08", "more-09",
    "more-10", "more-11", "more-12", "more-13", "more-14", "more-15", "more-16",
];
const KINDS: [(&str, &[Truth], &[Truth]); 4] = [
    ("open", &OPEN, &REACHABLE),
    ("sealed", &OPEN, &DENIED),
    ("shut", &CLOSED, &DENIED),
    ("deaf", FIRST[7].2, FIRST[8].2),
];
/// All checks.
pub const CHECKS: usize = 4 + MORE.len();

/// What is true while nothing is changed.
fn usual() -> Vec<Expected> {
    let more = MORE.iter().zip(KINDS.iter().cycle()).flat_map(|(check, (server, ready, target))| {
        [(*check, "Ready", *ready), (*check, *server, *target), (*check, "Covered", &COVERED[..])]
    });
    FIRST.into_iter().chain(more).collect()
}

/// The steady checks and who watches them.
pub struct Steady<'a> {
    /// The namespaces.
    pub scene: &'a Scene<'a>,
    /// Sees everything.
    pub observer: Observer,
    /// The source pod.
    pub client: Pod,
    flip: Value,
}

impl<'a> Steady<'a> {
    pub async fn deploy(scene: &'a Scene<'a>) -> Result<Self> {
        let (client, server) = (scene.name(CLIENT), scene.name(SERVER));
        let mut objects = vec![object::pod(&client, "client", NODE_1, &["pause"])];
        for (name, node, role) in [
            ("open", NODE_2, "serve"),
            ("sealed", NODE_1, "serve"),
            ("shut", NODE_1, "serve"),
            ("flip", NODE_1, "serve"),
            ("deaf", NODE_1, "pause"),
        ] {
            objects.push(object::pod(&server, name, node, &[role]));
            objects.push(object::service(&server, name, name, &json!(8080)));
        }
        objects.push(closed(&server, "closed", &["sealed", "shut"]));
        scene.deploy(&objects).await?;
        let observer = Observer::of(scene.checks());
        let [open, sealed, shut, flip, deaf] =
            ["open", "sealed", "shut", "flip", "deaf"].map(|name| to_service(&server, name));
        let sealed = denied(sealed);
        let more = MORE.iter().zip([&open, &sealed, &shut, &deaf].into_iter().cycle());
        let more = more.map(|(name, target)| object::check(&client, name, std::slice::from_ref(target)));
        let more: Vec<Value> = more.collect();
        scene
            .apply(&[
                object::check(&client, "good", &[open, sealed]),
                object::check(&client, "bad", &[shut]),
                object::check(&client, "refused", &[deaf]),
                object::check(&client, "flips", &[flip]),
            ])
            .await?;
        scene.apply(&more).await?;
        let client = scene.pods(CLIENT).get("client").await?;
        let flip = closed(&server, "flip", &["flip"]);
        let steady = Self { scene, observer, client, flip };
        steady.expect_usual();
        steady.right(FIRST_WITHIN).await?;
        Ok(steady)
    }

    /// From now on, what is true while nothing is changed.
    pub fn expect_usual(&self) {
        for (check, of, truths) in usual() {
            self.observer.expect(check, of, truths);
        }
    }

    /// From now on this may as well be told of these servers: of Ready, and of the target.
    pub fn expect_also(&self, of_server: impl Fn(&str) -> bool, ready: &[Truth], target: &[Truth]) {
        let usual = usual();
        let of_ready = |check: &str| {
            usual
                .iter()
                .find(|(other, of, _)| *other == check && *of == "Ready")
                .map(|(_, _, truths)| *truths)
        };
        let targets = usual.iter().filter(|(_, of, _)| !matches!(*of, "Ready" | "Covered") && of_server(of));
        for (check, of, truths) in targets {
            self.observer.expect(check, "Ready", &[of_ready(check).unwrap_or_default(), ready].concat());
            self.observer.expect(check, of, &[truths, target].concat());
        }
    }

    /// From now on it may as well be told that sources do not report.
    pub fn expect_silence(&self) {
        for (check, _, _) in usual().into_iter().filter(|(_, of, _)| *of == "Covered") {
            let silent = [COVERED[0], ("False", "NotReporting")];
            self.observer.expect(check, "Covered", &silent);
        }
    }

    /// Waits until everything is as usual.
    pub async fn right(&self, within: Duration) -> Result<Duration> {
        self.observer.say(&usual(), within).await
    }

    /// The uid of the source pod.
    pub fn uid(&self) -> Result<&str> {
        self.client.metadata.uid.as_deref().context("a pod has a uid")
    }

    /// Closes the server that a policy closes now and then, and waits until that is told. Meanwhile both is true.
    pub async fn close(&self, within: Duration) -> Result<()> {
        self.flips_either_way();
        self.scene.apply(std::slice::from_ref(&self.flip)).await?;
        self.observer.say(&[("flips", "Ready", &CLOSED)], within).await?;
        self.flips(&CLOSED, &DENIED);
        Ok(())
    }

    /// Opens it again, and waits likewise.
    pub async fn open(&self, within: Duration) -> Result<()> {
        self.flips_either_way();
        self.scene.delete(&self.flip).await?;
        self.observer.say(&[("flips", "Ready", &OPEN)], within).await?;
        self.flips(&OPEN, &REACHABLE);
        Ok(())
    }

    /// Closes and opens, and gives how long it took until both were told.
    pub async fn flip_once(&self) -> Result<Duration> {
        let begun = Instant::now();
        self.close(FLIP_WITHIN).await?;
        self.open(FLIP_WITHIN).await?;
        Ok(begun.elapsed())
    }

    fn flips_either_way(&self) {
        let [ready, target]: [[&[Truth]; 3]; 2] =
            [[&OPEN, &CLOSED, &CHANGES], [&REACHABLE, &DENIED, &CHANGES]];
        self.flips(&ready.concat(), &target.concat());
    }

    fn flips(&self, ready: &[Truth], target: &[Truth]) {
        self.observer.expect("flips", "Ready", ready);
        self.observer.expect("flips", "flip", target);
    }
}

/// A policy that lets nobody in.
fn closed(namespace: &str, name: &str, servers: &[&str]) -> Value {
    let selector = json!({ "matchExpressions": [{ "key": "app", "operator": "In", "values": servers }] });
    object::policy(namespace, name, &json!({ "podSelector": selector, "policyTypes": ["Ingress"] }))
}
