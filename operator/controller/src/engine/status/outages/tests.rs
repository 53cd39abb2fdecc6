//! Outages after rows, as tables.

use serde_json::{Value, json};

use super::*;

fn check() -> ConnectivityCheck {
    serde_json::from_value(json!({
        "apiVersion": "peerwalk.dev/v1alpha1", "kind": "ConnectivityCheck", "metadata": {"name": "a"},
        "spec": {"source": {"podSelector": {}}, "targets": [{"name": "db", "dns": {"name": "example.com"}}]},
    }))
    .expect("a check")
}

/// Outcome, reason and beginning, in minutes, of a row.
type Row = (&'static str, &'static str, u32);
/// Beginning and end of an outage, in minutes.
type Lasts = (u32, Option<u32>);
/// Its name, the row and the outages before, the row now, and the outages then.
type Case = (&'static str, Option<Row>, &'static [Lasts], Row, &'static [&'static str]);

/// A status with one row, if any, and these outages as (start, end), in minutes.
fn stored(row: Option<Row>, outages: &[Lasts]) -> ConnectivityCheckStatus {
    let outage = |(start, end): &Lasts| {
        let mut outage = json!({"target": "db", "start": minute(*start), "reason": "ConnectTimeout"});
        if let Some(end) = end {
            outage["end"] = json!(minute(*end));
        }
        outage
    };
    let rows: Vec<Value> = row
        .map(|(outcome, reason, since)| {
            json!({
                "name": "db", "outcome": outcome, "observed": "Unreachable", "reason": reason, "since": minute(since),
                "pods": {"asExpected": 0, "failed": 0, "unknown": 0},
            })
        })
        .into_iter()
        .collect();
    let outages: Vec<Value> = outages.iter().map(outage).collect();
    serde_json::from_value(json!({"targets": rows, "outages": outages})).expect("a status")
}

fn minute(minute: u32) -> String {
    format!("2026-11-27T{:02}:{:02}:00Z", minute / 60, minute % 60)
}

fn after(now: Row, before: &ConnectivityCheckStatus, gaps: &Gaps) -> Vec<String> {
    let rows = stored(Some(now), &[]).targets;
    let found = outages(&check(), &rows, gaps, before);
    let word = |outage: &Outage| {
        let time = |time: &Time| time.0.strftime("%H:%M").to_string();
        let end = outage.end.as_ref().map_or_else(String::new, time);
        format!("{}-{end} {}", time(&outage.start), outage.reason.as_deref().unwrap_or("untold"))
    };
    found.iter().map(word).collect()
}

#[test]
fn an_outage_lasts_until_the_target_is_as_expected_again() {
    let (good, bad) = (Some(("AsExpected", "", 0)), Some(("Failed", "ConnectTimeout", 5)));
    let table: [Case; 12] = [
        ("all is well", good, &[], ("AsExpected", "", 0), &[]),
        ("it begins", good, &[], ("Failed", "PolicyDenied", 5), &["00:05- PolicyDenied"]),
        ("what never worked", None, &[], ("Failed", "PolicyDenied", 5), &[]),
        ("what failed all the time", bad, &[], ("Failed", "PolicyDenied", 5), &[]),
        ("the target is gone", good, &[], ("Unknown", "TargetNotFound", 5), &["00:05- TargetNotFound"]),
        ("nobody tells", good, &[], ("Unknown", "NotReporting", 5), &[]),
        ("another cause", bad, &[(5, None)], ("Failed", "PolicyDenied", 5), &["00:05- PolicyDenied"]),
        ("nobody tells of it", bad, &[(5, None)], ("Unknown", "NotReporting", 6), &["00:05- ConnectTimeout"]),
        ("it ends", bad, &[(5, None)], ("AsExpected", "", 9), &["00:05-00:09 ConnectTimeout"]),
        ("the clock was set back", bad, &[(5, None)], ("AsExpected", "", 3), &["00:05-00:05 ConnectTimeout"]),
        ("it stays over", good, &[(5, Some(9))], ("AsExpected", "", 9), &["00:05-00:09 ConnectTimeout"]),
        (
            "the next",
            good,
            &[(5, Some(9))],
            ("Failed", "ConnectTimeout", 20),
            &["00:05-00:09 ConnectTimeout", "00:20- ConnectTimeout"],
        ),
    ];
    for (case, row, before, now, expected) in table {
        assert_eq!(after(now, &stored(row, before), &Gaps::default()), expected, "{case}");
    }
}

#[test]
fn whoever_judged_a_target_good_knows_an_outage_after_a_silence() {
    let mut gaps = Gaps::default();
    gaps.learn(&stored(Some(("AsExpected", "", 0)), &[]).targets);
    let silent = stored(Some(("Unknown", "NotReporting", 3)), &[]);
    assert_eq!(after(("Failed", "PolicyDenied", 5), &silent, &gaps), ["00:05- PolicyDenied"]);
}

#[test]
fn the_last_ten_are_kept() {
    let many: Vec<_> = (0..10).map(|n| (n * 10, Some(n * 10 + 5))).collect();
    let before = stored(Some(("AsExpected", "", 95)), &many);
    let found = after(("Failed", "PolicyDenied", 100), &before, &Gaps::default());
    assert_eq!(found.len(), MAX_OUTAGES);
    assert_eq!((found[0].as_str(), found[9].as_str()), ("00:10-00:15 ConnectTimeout", "01:40- PolicyDenied"));
}

#[test]
fn targets_that_the_check_does_not_have_are_forgotten() {
    let mut before = stored(None, &[(5, Some(9))]);
    before.outages[0].target = "gone".into();
    assert_eq!(outages(&check(), &[], &Gaps::default(), &before), []);
}
