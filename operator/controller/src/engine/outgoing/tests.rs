//! When a write is due after another.

use super::*;

fn write(version: &str, generation: i64) -> StatusWrite {
    let status = ConnectivityCheckStatus {
        observed_generation: Some(generation),
        ..ConnectivityCheckStatus::default()
    };
    StatusWrite { resource_version: version.into(), status, event: None }
}

#[test]
fn a_write_is_due_when_the_one_before_it_cannot_do() {
    use WriteResult::{Conflict, Failed, Gone, Refused, Stored, Timeout};
    let (first, other, next) = (write("1", 1), write("1", 2), write("2", 1));
    // What became of the first, and after how many seconds the same, another status and another version
    // are due.
    for (result, same_due, other_due, next_due) in [
        (None, Some(15), Some(0), Some(0)),
        (Some(Stored), None, Some(15), Some(0)),
        (Some(Conflict), Some(15), Some(15), Some(0)),
        (Some(Gone), Some(15), Some(15), Some(0)),
        (Some(Refused), Some(15), Some(15), Some(0)),
        (Some(Timeout), Some(10), Some(10), Some(0)),
        (Some(Failed), Some(10), Some(10), Some(0)),
    ] {
        for (what, write, expected) in
            [("same", &first, same_due), ("other", &other, other_due), ("next", &next, next_due)]
        {
            let due = (0..100).find(|seconds| {
                let mut outgoing = Outgoing::default();
                let now = Timestamp::default();
                assert!(outgoing.take(&first, now), "the first is due");
                if let Some(result) = result {
                    outgoing.ended(&first, result, now);
                }
                outgoing.take(write, now.plus(Duration::from_secs(*seconds)))
            });
            assert_eq!(due, expected, "{what} after {result:?}");
        }
    }
}

#[test]
fn what_comes_of_an_overtaken_write_says_nothing_of_the_other() {
    let mut outgoing = Outgoing::default();
    let (first, other, now) = (write("1", 1), write("1", 2), Timestamp::default());
    assert!(outgoing.take(&first, now) && outgoing.take(&other, now));
    outgoing.ended(&first, WriteResult::Stored, now);
    assert_eq!(outgoing.pending("1"), Some(&other.status), "the other is under way");
    assert_eq!(outgoing.pending("2"), None, "of another version nothing is");
    outgoing.ended(&other, WriteResult::Conflict, now);
    assert_eq!(outgoing.pending("1"), None, "nor of one that conflicts");
}
