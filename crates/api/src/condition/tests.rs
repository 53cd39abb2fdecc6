//! Conditions: their types, reasons and transitions.

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a moment")
}

fn ready(status: ConditionStatus, reason: &str, second: i64) -> Condition {
    Condition::new(READY, status, reason, "a message", at(second))
}

fn merged_second(previous: &Condition, next: &Condition) -> i64 {
    let merged = merge(std::slice::from_ref(previous), vec![next.clone()]);
    assert_eq!(merged.len(), 1, "one condition stays one");
    assert_eq!(merged[0].reason, next.reason, "everything but the time is the next one's");
    merged[0].last_transition_time.0.as_second()
}

#[test]
fn the_time_changes_only_with_the_status() {
    use ConditionStatus::{False, True, Unknown};
    let old = ready(True, "AsExpected", 100);
    assert_eq!(merged_second(&old, &ready(True, "Another", 200)), 100, "another reason, the same status");
    assert_eq!(merged_second(&old, &ready(False, "PolicyDenied", 200)), 200, "another status");
    let default = ready(Unknown, "Pending", 0);
    assert_eq!(merged_second(&default, &ready(Unknown, "Probing", 200)), 200, "the default happened never");
}

#[test]
fn a_new_type_keeps_its_time_and_a_missing_one_is_gone() {
    let old = ready(ConditionStatus::True, "AsExpected", 100);
    let covered = Condition::new(COVERED, ConditionStatus::True, "AllReporting", "", at(200));
    assert_eq!(merge(&[old], vec![covered.clone()]), vec![covered]);
}

#[test]
fn a_message_is_cut_between_characters() {
    for (text, max, expected) in [
        ("short", 5, "short"),
        ("longer", 5, "lo…"),
        ("ääää", 8, "ääää"),
        ("ääää", 7, "ää…"),
        ("ääää", 6, "ä…"),
        ("ääää", 3, "…"),
        ("ääää", 2, ""),
        ("", 0, ""),
    ] {
        let cut = clamp(text, max);
        assert_eq!(cut, expected, "{text:?} in {max} bytes");
        assert!(cut.len() <= max, "{cut:?} fits into {max} bytes");
    }
}

#[test]
fn a_condition_clamps_its_message() {
    let long = Condition::new(READY, ConditionStatus::True, "AsExpected", &"é".repeat(2000), at(1));
    assert!(long.message.len() <= MAX_MESSAGE && long.message.ends_with('…'), "{}", long.message.len());
}
