//! Every message survives the way into bytes and back, and bytes that are no message are refused.
// The helpers of a test may fail as the test itself may.
#![allow(clippy::expect_used)]

#[path = "messages/strategies.rs"]
mod strategies;

use std::time::Duration;

use peerwalk_model::evidence::{Connect, Dial, DialOutcome, DialPurpose, Resolve, ResolveSource, Trigger};
use peerwalk_model::report::{Heartbeat, TargetFreshness};
use peerwalk_model::{TargetKey, Timestamp, Walk};
use peerwalk_wire::{Frame, FromHub, FromSidecar, Transitions, WireError, limits};
use proptest::prelude::*;

use strategies::{SENT_AT, from_hub, from_sidecar, key, walk};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_message_of_a_sidecar_comes_back(message in from_sidecar()) {
        let frame = message.encode(SENT_AT).expect("a message within the limits is encoded");
        prop_assert_eq!(FromSidecar::decode(&frame, SENT_AT), Ok(message));
    }

    #[test]
    fn a_message_of_the_hub_comes_back(message in from_hub()) {
        let frame = message.encode().expect("a message within the limits is encoded");
        prop_assert_eq!(FromHub::decode(&frame), Ok(message));
    }

    #[test]
    fn moments_arrive_on_the_receivers_clock(walk in walk(), skew in -1_000_000_i64..1_000_000) {
        let received_at = Timestamp::from_millis(SENT_AT.as_millis() + skew);
        let frame = FromSidecar::Evidence(Box::new(walk.clone())).encode(SENT_AT).expect("encoded");
        let Ok(FromSidecar::Evidence(found)) = FromSidecar::decode(&frame, received_at) else {
            panic!("evidence is decoded as evidence");
        };
        prop_assert_eq!(received_at.since(found.started), SENT_AT.since(walk.started), "the age is kept");
        prop_assert_eq!(received_at.since(found.ended), SENT_AT.since(walk.ended), "the age is kept");
    }

    #[test]
    fn arbitrary_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let frame = Frame::from(bytes);
        let _ = FromSidecar::decode(&frame, SENT_AT);
        let _ = FromHub::decode(&frame);
    }

    #[test]
    fn a_damaged_message_is_decoded_or_refused(
        message in from_sidecar(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
    ) {
        let mut bytes = message.encode(SENT_AT).expect("encoded").as_bytes().to_vec();
        let index = at.index(bytes.len());
        bytes[index] = byte;
        if cut {
            bytes.truncate(index);
        }
        let _ = FromSidecar::decode(&Frame::from(bytes), SENT_AT);
    }
}

fn a_key() -> TargetKey {
    TargetKey { check: "web".to_owned(), target: "catalog".to_owned() }
}

fn a_walk() -> Walk {
    Walk::begin(a_key(), 1, Trigger::Interval, SENT_AT)
}

fn evidence(walk: Walk) -> Result<Frame, WireError> {
    FromSidecar::Evidence(Box::new(walk)).encode(SENT_AT)
}

fn dials(count: usize) -> Walk {
    let dial = Dial {
        protocol: peerwalk_model::Protocol::Tcp,
        mss: None,
        purpose: DialPurpose::Endpoint,
        remote: "10.0.0.1:80".parse().expect("an address"),
        local: None,
        started: SENT_AT,
        elapsed: Duration::ZERO,
        retransmits: 0,
        outcome: DialOutcome::Silent,
    };
    Walk { connect: Some(Connect { dials: vec![dial; count], ..Connect::default() }), ..a_walk() }
}

fn resolved(name: String) -> Walk {
    let resolve = Resolve {
        name,
        source: ResolveSource::HostsFile,
        answered: None,
        addresses: Vec::new(),
        queries: Vec::new(),
        elapsed: Duration::ZERO,
        spent: false,
        pair: None,
    };
    Walk { resolve: Some(resolve), ..a_walk() }
}

#[test]
fn what_is_too_large_is_neither_sent_nor_taken() {
    assert!(evidence(dials(limits::DIALS)).is_ok(), "128 dials are allowed");
    assert_eq!(
        evidence(dials(limits::DIALS + 1)),
        Err(WireError::TooMany { field: "evidence.connect.dials", count: 129, limit: 128 })
    );
    assert!(evidence(resolved("a".repeat(limits::STRING_BYTES))).is_ok(), "1 KiB is allowed");
    assert_eq!(
        evidence(resolved("a".repeat(limits::STRING_BYTES + 1))),
        Err(WireError::TooLong { field: "resolve.name", bytes: 1025, limit: 1024 })
    );
    assert_eq!(
        FromSidecar::Token("t".repeat(limits::TOKEN_BYTES + 1)).encode(SENT_AT),
        Err(WireError::TooLong { field: "token.token", bytes: 8193, limit: 8192 })
    );
    let fresh = TargetFreshness {
        target: a_key(),
        signature: 0,
        started: SENT_AT,
        ended: SENT_AT,
        since: SENT_AT,
        consecutive: 1,
        elapsed: Duration::ZERO,
        took: None,
    };
    let heartbeat = Heartbeat { targets: vec![fresh; limits::TARGETS + 1], ..Heartbeat::default() };
    assert_eq!(
        FromSidecar::Heartbeat(heartbeat).encode(SENT_AT),
        Err(WireError::TooMany { field: "heartbeat.targets", count: 513, limit: 512 })
    );
    assert_eq!(
        FromHub::WalkNow(vec![a_key(); limits::TARGETS + 1]).encode(),
        Err(WireError::TooMany { field: "walk_now.targets", count: 513, limit: 512 })
    );
}

#[test]
fn a_frame_over_the_limit_is_refused_before_it_is_decoded() {
    let bytes = limits::SIDECAR_FRAME_BYTES + 1;
    assert_eq!(
        FromSidecar::decode(&Frame::from(vec![0; bytes]), SENT_AT),
        Err(WireError::FrameTooLarge { bytes, limit: limits::SIDECAR_FRAME_BYTES })
    );
}

#[test]
fn a_message_of_no_known_kind_is_refused() {
    let missing = Err(WireError::Missing { field: "message" });
    assert_eq!(FromSidecar::decode(&Frame::from(Vec::new()), SENT_AT), missing, "an empty frame");
    // Field 15, a message of length 0: a kind that a newer version might add.
    assert_eq!(FromSidecar::decode(&Frame::from(vec![0x7a, 0x00]), SENT_AT), missing, "a newer kind");
}

#[test]
fn errors_name_field_value_and_remedy() {
    let nameless = TargetKey { check: String::new(), ..a_key() };
    let error = FromHub::WalkNow(vec![nameless]).encode().expect_err("a key without a check is refused");
    assert_eq!(error.to_string(), "walk_now.targets is missing or of a kind this version does not know");
    let empty = Transitions { first: 1, transitions: Vec::new() };
    assert!(FromSidecar::Transitions(empty).encode(SENT_AT).is_ok(), "no transitions are no error");
    let error = WireError::Invalid { field: "retries.attempts", value: "0".into(), expected: "at least 1" };
    assert_eq!(error.to_string(), "retries.attempts is 0, expected at least 1");
}

#[test]
fn a_token_is_never_printed() {
    let message = strategies::a_hello("secret-token");
    let frame = message.encode(SENT_AT).expect("encoded");
    let printed = format!("{message:?} {frame:?}");
    assert!(!printed.contains("secret-token"), "{printed}");
}

proptest! {
    #[test]
    fn keys_need_both_names(key in key()) {
        let nameless = TargetKey { target: String::new(), ..key };
        prop_assert!(FromHub::WalkNow(vec![nameless]).encode().is_err());
    }
}
