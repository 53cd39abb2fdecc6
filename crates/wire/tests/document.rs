//! docs/protocol.md describes this very .proto file and these very limits.

use sha2::{Digest as _, Sha256};

use peerwalk_wire::limits;

const PROTO: &[u8] = include_bytes!("../proto/peerwalk/v1/hub.proto");
/// Names all limits there are.
const SOURCE: &str = include_str!("../src/limits.rs");
const DOCUMENT: &str = include_str!("../../../docs/protocol.md");

#[test]
fn the_document_was_read_again_after_the_last_change_of_the_protocol() {
    let digest = format!("{:x}", Sha256::digest(PROTO));
    assert!(
        DOCUMENT.contains(&format!("hub.proto sha256 {digest}")),
        "hub.proto has changed: bring docs/protocol.md up to date, then put this line into it:\n\
         hub.proto sha256 {digest}"
    );
}

#[test]
fn every_message_is_described() {
    let proto = std::str::from_utf8(PROTO).expect("the file is text");
    for direction in ["message FromSidecar", "message FromHub"] {
        let block = proto.split(direction).nth(1).and_then(|rest| rest.split("\n}\n").next());
        for line in block.expect("the direction's messages").lines() {
            if let Some((field, _)) = line.split_once(" = ") {
                let name = field.split_whitespace().last().expect("a field has a name");
                assert!(DOCUMENT.contains(&format!("| `{name}` ")), "{name} has no row in docs/protocol.md");
            }
        }
    }
}

#[test]
fn the_limits_are_the_documented_ones() {
    let rows = [
        ("TARGETS_PER_CHECK", "targets of one check", limits::TARGETS_PER_CHECK),
        ("TARGETS", "targets of one pod", limits::TARGETS),
        ("ENDPOINTS", "endpoints of a target", limits::ENDPOINTS),
        ("SERVICE_ADDRESSES", "addresses of a Service", limits::SERVICE_ADDRESSES),
        ("CONTROLS", "controls of a target", limits::CONTROLS),
        ("NETWORKS", "networks of a URL target", limits::NETWORKS),
        ("QUERIES", "DNS queries of a walk", limits::QUERIES),
        ("ADDRESSES", "addresses of a DNS answer, and of a name", limits::ADDRESSES),
        ("DIALS", "dials of a walk, directly and again by proxy", limits::DIALS),
        ("NEIGHBOURS", "neighbours of a walk", limits::NEIGHBOURS),
        ("HOPS", "hops of a walk", limits::HOPS),
        ("TUPLES", "dials of one question", limits::TUPLES),
        ("ICMP_ERRORS", "entries of a socket's error queue", limits::ICMP_ERRORS),
        ("CONTAINERS", "containers of a pod", limits::CONTAINERS),
        ("CLIENTS", "kinds of HTTP client", limits::CLIENTS),
        ("TRANSITIONS", "transitions of a message, and of the ring", limits::TRANSITIONS),
        ("STRING_BYTES", "bytes of a string", limits::STRING_BYTES),
        ("URL_BYTES", "bytes of a URL or path", limits::URL_BYTES),
        ("ROOTS_BYTES", "bytes of trusted roots", limits::ROOTS_BYTES),
        ("TOKEN_BYTES", "bytes of a token", limits::TOKEN_BYTES),
        ("EXCEPTIONS_BYTES", "bytes of a variable's proxy exceptions", limits::EXCEPTIONS_BYTES),
        ("HELLO_FRAME_BYTES", "bytes of the first message", limits::HELLO_FRAME_BYTES),
        ("SIDECAR_FRAME_BYTES", "bytes of a message from a sidecar", limits::SIDECAR_FRAME_BYTES),
        ("HUB_FRAME_BYTES", "bytes of a message from the hub", limits::HUB_FRAME_BYTES),
    ];
    let names = SOURCE.lines().filter_map(|line| line.strip_prefix("pub const ")?.split(':').next());
    for name in names {
        assert!(rows.iter().any(|(of, ..)| *of == name), "limits::{name} has no row in docs/protocol.md");
    }
    for (_, name, limit) in rows {
        let row = format!("| {name} | {limit} |");
        assert!(DOCUMENT.contains(&row), "docs/protocol.md has no row {row:?}");
    }
}
