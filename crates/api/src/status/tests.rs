//! The status stays within its size, whatever is put into it.

use k8s_openapi::jiff::Timestamp;

use super::*;
use crate::condition::{ConditionStatus, READY};

fn row(name: String, message: &str, samples: &[&str]) -> TargetStatus {
    TargetStatus {
        name,
        outcome: Outcome::Failed,
        observed: Observed::Unreachable,
        reason: Some("PolicyDenied".into()),
        stage: Some(Stage::Connect),
        confidence: Some(Confidence::Confirmed),
        since: None,
        pods: PodCounts::default(),
        policy: None,
        message: message.into(),
        samples: samples.iter().map(|s| (*s).into()).collect(),
    }
}

fn status(rows: usize, message: &str, samples: &[&str]) -> ConnectivityCheckStatus {
    ConnectivityCheckStatus {
        conditions: vec![Condition::new(
            READY,
            ConditionStatus::False,
            "PolicyDenied",
            &message.repeat(10),
            Timestamp::UNIX_EPOCH,
        )],
        targets: (0..rows).map(|i| row(format!("target-{i}"), message, samples)).collect(),
        ..ConnectivityCheckStatus::default()
    }
}

fn size(status: &ConnectivityCheckStatus) -> usize {
    serde_json::to_vec(status).expect("JSON").len()
}

#[test]
fn a_small_status_is_left_alone() {
    let small = status(3, "short", &["a", "b"]);
    assert_eq!(small.clone().clamped(), small);
}

#[test]
fn texts_are_cut_to_their_own_limits() {
    let long = "é".repeat(400);
    let clamped = status(8, &long, &[&long, &long, &long]).clamped();
    assert!(clamped.targets.iter().all(|r| r.message.len() <= MAX_ROW_MESSAGE), "messages of rows");
    let samples: Vec<_> = clamped.targets.iter().flat_map(|r| &r.samples).collect();
    assert_eq!(samples.len(), MAX_SAMPLES, "samples are for the first rows, the worst ones");
    assert!(samples.iter().all(|s| s.len() <= MAX_SAMPLE), "samples");
    assert!(clamped.conditions[0].message.len() <= 1024, "the condition's message");
}

#[test]
fn a_status_names_so_many_templates_and_no_more() {
    let mut many = status(1, "short", &[]);
    many.observed_templates = (0..1000).map(|n| format!("{n:08x}")).collect();
    assert_eq!(many.clamped().observed_templates.len(), MAX_TEMPLATES);
}

#[test]
fn samples_go_first_then_messages_then_rows() {
    let message = "m".repeat(MAX_ROW_MESSAGE);
    let sample = "s".repeat(MAX_SAMPLE);

    let without_samples = status(66, &message, &[&sample]).clamped();
    assert!(without_samples.targets.iter().all(|r| r.samples.is_empty() && !r.message.is_empty()));
    assert_eq!((without_samples.targets.len(), without_samples.omitted), (66, None));

    let without_messages = status(120, &message, &[&sample]).clamped();
    assert!(without_messages.targets.iter().all(|r| r.message.is_empty()));
    assert_eq!((without_messages.targets.len(), without_messages.omitted), (120, None));

    let without_rows = status(1000, &message, &[&sample]).clamped();
    assert!(without_rows.omitted.is_some_and(|n| n as usize + without_rows.targets.len() == 1000));
    assert_eq!(without_rows.targets[0].name, "target-0", "the first rows stay");
    for clamped in [without_samples, without_messages, without_rows] {
        assert!(size(&clamped) <= MAX_STATUS, "{} bytes", size(&clamped));
    }
}

#[test]
fn nothing_is_written_as_null() {
    let json = serde_json::to_string(&status(1, "", &[])).expect("JSON");
    assert!(!json.contains("null"), "a null in an apply would be owned: {json}");
}
