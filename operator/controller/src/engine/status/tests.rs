//! The words of conditions within their limits.

use peerwalk_api::condition::MAX_MESSAGE;
use peerwalk_model::{Because, Confidence, Observed, Stage};
use serde_json::json;

use super::*;

fn check(targets: usize) -> ConnectivityCheck {
    let target = |n: usize| json!({"name": format!("t{n}"), "dns": {"name": "example.com"}});
    serde_json::from_value(json!({
        "apiVersion": "peerwalk.dev/v1alpha1", "kind": "ConnectivityCheck", "metadata": {"name": "a"},
        "spec": {"source": {"podSelector": {}}, "targets": (0..targets).map(target).collect::<Vec<_>>()},
    }))
    .expect("a check")
}

fn pod() -> PodRef {
    PodRef { namespace: "shop".into(), name: "web".into(), uid: "1".into() }
}

fn verdict(words: &str) -> Verdict {
    Verdict {
        observed: Observed::Unreachable,
        reason: Some(Reason::DnsTimeout),
        stage: Stage::Resolve,
        confidence: Confidence::Likely,
        policy: None,
        because: vec![Because::new(Topic::Resolve, words)],
    }
}

fn failed<'a>(pod: &'a PodRef, target: usize, shown: &'a Verdict) -> PairView<'a> {
    PairView {
        pod,
        template: "t",
        target,
        reports: true,
        heard: true,
        complete: true,
        young: false,
        outcome: Outcome::Failed,
        shown: std::borrow::Cow::Borrowed(shown),
    }
}

#[test]
fn that_there_are_more_failures_is_told_however_long_the_first_is() {
    let long = "é".repeat(MAX_MESSAGE);
    for (targets, words, end) in [
        (1, "short", "t0: short"),
        (3, "short", "t0: short; and 2 more"),
        (30, long.as_str(), "…; and 29 more"),
    ] {
        let (pod, shown) = (pod(), verdict(words));
        let round = Round {
            selection: &Selection::default(),
            allowed: vec![true; targets],
            roots_missing: vec![],
            paused: None,
            pairs: (0..targets).map(|target| failed(&pod, target, &shown)).collect(),
            gaps: &Gaps::default(),
            set_at: None,
        };
        let before = ConnectivityCheckStatus::default();
        let now = Timestamp::default();
        let said = status(&check(targets), &round, &before, &mut Progress::default(), now);
        let message = &said.condition(READY).expect("Ready is always there").message;
        assert!(message.len() <= MAX_MESSAGE && message.ends_with(end), "{} bytes: {message}", message.len());
    }
}
