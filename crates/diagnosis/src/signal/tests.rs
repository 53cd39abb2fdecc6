//! The measured table of what each denial looks like, row by row.

use std::time::Duration;

use peerwalk_model::Timestamp;
use peerwalk_model::evidence::DialPurpose;

use super::*;

fn dial(outcome: DialOutcome) -> Dial {
    Dial {
        protocol: peerwalk_model::Protocol::Tcp,
        mss: None,
        purpose: DialPurpose::Endpoint,
        remote: "10.244.1.8:5432".parse().unwrap(),
        local: None,
        started: Timestamp::from_millis(0),
        elapsed: Duration::ZERO,
        retransmits: 0,
        outcome,
    }
}

fn name(signal: Signal<'_>) -> &'static str {
    match signal {
        Signal::Connected(_) => "connected",
        Signal::ResetAfterAccept => "reset after accept",
        Signal::Silent => "silent",
        Signal::Reset => "reset",
        Signal::Refused(_) => "refused",
        Signal::HostUnreachable(_) => "host unreachable",
        Signal::NetworkUnreachable(_) => "network unreachable",
        Signal::RoutingLoop(_) => "routing loop",
        Signal::Forbidden => "forbidden",
        Signal::Resources(_) => "resources",
        Signal::Unexplained(_) => "unexplained",
        Signal::NotAllowed => "not allowed",
        Signal::Skipped => "skipped",
    }
}

#[test]
fn the_error_queue_decides_and_not_the_error_number() {
    // One row a cause: (IPv6, type, code, error number), as measured, and what it is.
    for (v6, kind, code, errno, expected) in [
        (false, 3, 3, 111, "refused"),
        (true, 1, 4, 111, "refused"),
        (false, 3, 13, 113, "refused"),
        (true, 1, 1, 13, "refused"),
        (false, 3, 10, 113, "refused"),
        (false, 3, 9, 101, "refused"),
        (false, 3, 2, 92, "refused"),
        (true, 1, 5, 13, "refused"),
        (true, 1, 6, 13, "refused"),
        (false, 3, 1, 113, "host unreachable"),
        (true, 1, 3, 113, "host unreachable"),
        (false, 3, 0, 101, "network unreachable"),
        (true, 1, 0, 101, "network unreachable"),
        (false, 11, 0, 113, "routing loop"),
        (true, 3, 0, 113, "routing loop"),
    ] {
        let queue = vec![IcmpError { v6, kind, code, offender: None }];
        let dial = dial(DialOutcome::Failed { errno, immediate: false, queue });
        assert_eq!(name(classify(&dial)), expected, "ICMP {kind}/{code}, v6 {v6}");
    }
}

#[test]
fn without_a_queue_only_certain_errors_count() {
    for (errno, immediate, expected) in [
        (111, false, "reset"),
        (111, true, "reset"),
        (104, false, "reset after accept"),
        (110, false, "silent"),
        (110, true, "unexplained"),
        (101, true, "network unreachable"),
        (113, true, "network unreachable"),
        (22, true, "network unreachable"),
        (97, true, "network unreachable"),
        (13, true, "forbidden"),
        (1, true, "forbidden"),
        (24, true, "resources"),
        (99, true, "resources"),
        (113, false, "unexplained"),
        (101, false, "unexplained"),
        (13, false, "unexplained"),
        (97, false, "unexplained"),
        (5, false, "unexplained"),
    ] {
        let dial = dial(DialOutcome::Failed { errno, immediate, queue: Vec::new() });
        assert_eq!(name(classify(&dial)), expected, "errno {errno}, immediate {immediate}");
    }
}

#[test]
fn packet_too_big_does_not_end_an_attempt() {
    let queue = vec![IcmpError { v6: false, kind: 3, code: 4, offender: None }];
    let dial = dial(DialOutcome::Failed { errno: 111, immediate: false, queue });
    assert_eq!(name(classify(&dial)), "reset");
}

#[test]
fn what_ends_no_attempt_leaves_the_entry_before_it() {
    let entry = |(v6, kind, code)| IcmpError { v6, kind, code, offender: None };
    let (port, host, fragments, reassembly) = ((false, 3, 3), (false, 3, 1), (false, 11, 1), (true, 3, 1));
    for (queue, expected) in [
        ([port, reassembly], "refused"),
        ([port, fragments], "refused"),
        ([host, reassembly], "host unreachable"),
        ([port, host], "host unreachable"),
        ([fragments, reassembly], "reset"),
    ] {
        let entries = queue.map(entry).to_vec();
        let dial = dial(DialOutcome::Failed { errno: 111, immediate: false, queue: entries });
        assert_eq!(name(classify(&dial)), expected, "{queue:?}");
    }
}
