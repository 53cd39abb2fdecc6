//! Frames that programs of protocol version 1 sent, as they were recorded: sidecars outlive upgrades of the operator, and
//! what they say is still read.
//!
//! Each line of `recorded/v1.txt` is a direction and a frame as hexadecimal digits. Lines are never changed: a message that
//! gets more fields is recorded once more, at the end.

#![allow(clippy::expect_used)] // the helpers of a test may fail as the test itself may

use peerwalk_model::Timestamp;
use peerwalk_wire::{Frame, FromHub, FromSidecar, SUPPORTED};

const RECORDED: &str = include_str!("recorded/v1.txt");
/// When all of them were sent.
const SENT_AT: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn bytes(hex: &str) -> Vec<u8> {
    let digit =
        |c: &[u8]| u8::from_str_radix(std::str::from_utf8(c).expect("ASCII"), 16).expect("hexadecimal");
    hex.as_bytes().chunks(2).map(digit).collect()
}

fn recorded(direction: &str) -> Vec<Frame> {
    let lines = RECORDED.lines().filter(|line| !line.starts_with('#'));
    let of_it = lines.filter_map(|line| line.strip_prefix(direction)?.strip_prefix(' '));
    of_it.map(|hex| Frame::from(bytes(hex))).collect()
}

#[test]
fn what_sidecars_said_is_read_and_nothing_of_it_is_lost() {
    let frames = recorded("sidecar");
    let mut kinds = std::collections::BTreeSet::new();
    for (n, frame) in frames.iter().enumerate() {
        let message =
            FromSidecar::decode(frame, SENT_AT).unwrap_or_else(|e| panic!("sidecar frame {n}: {e}"));
        let debug = format!("{message:?}");
        kinds.insert(debug.split(['(', ' ']).next().unwrap_or_default().to_owned());
        let again = message.encode(SENT_AT).expect("it is within the limits");
        assert!(again == *frame, "sidecar frame {n} is encoded as another: {debug}");
    }
    assert_eq!(kinds.len(), 6, "one of each kind at least: {kinds:?}");
}

#[test]
fn what_hubs_said_is_read_and_nothing_of_it_is_lost() {
    let frames = recorded("hub");
    let mut kinds = std::collections::BTreeSet::new();
    for (n, frame) in frames.iter().enumerate() {
        let message = FromHub::decode(frame).unwrap_or_else(|e| panic!("hub frame {n}: {e}"));
        let debug = format!("{message:?}");
        kinds.insert(debug.split(['(', ' ']).next().unwrap_or_default().to_owned());
        let again = message.encode().expect("it is within the limits");
        assert!(again == *frame, "hub frame {n} is encoded as another: {debug}");
    }
    assert_eq!(kinds.len(), 12, "one of each kind at least: {kinds:?}");
}

#[test]
fn the_versions_that_are_spoken_are_recorded() {
    // The next version begins a file of its own, and the two before it stay.
    assert_eq!(SUPPORTED, 1..=1);
}
