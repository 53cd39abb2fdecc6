//! Conversion of dials.

use std::time::Duration;

use peerwalk_model::Protocol;
use peerwalk_model::Timestamp;
use peerwalk_model::evidence::{Breaker, Connect, Dial, DialOutcome, DialPurpose, IcmpError, LocalPeer};

use super::place;
use crate::error::WireError;
use crate::field::{
    age, ip, ip_bytes, list, micros, moment, required, small, socket, socket_message, unknown_enum,
};
use crate::limits;
use crate::proto::{self, dial::Outcome};

pub(super) fn message(connect: &Connect, sent_at: Timestamp) -> proto::Connect {
    proto::Connect {
        dials: dials_message(&connect.dials, sent_at),
        neighbours: connect.neighbours.iter().map(place::neighbour_message).collect(),
        hops: connect.hops.iter().map(place::hop_message).collect(),
        breakers: connect.breakers.iter().map(breaker_message).collect(),
        hop_limit_v4: connect.hop_limits.v4.map_or(0, u32::from),
        hop_limit_v6: connect.hop_limits.v6.map_or(0, u32::from),
    }
}

pub(super) fn model(message: proto::Connect, received_at: Timestamp) -> Result<Connect, WireError> {
    let hop = |hop| place::hop(&hop);
    Ok(Connect {
        hop_limits: place::hop_limits(&message)?,
        dials: dials("evidence.connect.dials", message.dials, received_at)?,
        neighbours: list("connect.neighbours", message.neighbours, limits::NEIGHBOURS, |neighbour| {
            place::neighbour(&neighbour)
        })?,
        hops: list("connect.hops", message.hops, limits::HOPS, hop)?,
        breakers: list("connect.breakers", message.breakers, limits::DIALS, breaker)?,
    })
}

fn breaker_message(breaker: &Breaker) -> proto::Breaker {
    proto::Breaker {
        remote: Some(socket_message(breaker.remote)),
        open: breaker.open,
        failures: breaker.failures,
    }
}

fn breaker(message: proto::Breaker) -> Result<Breaker, WireError> {
    let remote = socket("connect.breakers.remote", message.remote)?;
    Ok(Breaker { remote, open: message.open, failures: message.failures })
}

pub(super) fn dials_message(dials: &[Dial], sent_at: Timestamp) -> Vec<proto::Dial> {
    dials.iter().map(|dial| dial_message(dial, sent_at)).collect()
}

pub(super) fn dials(
    field: &'static str,
    messages: Vec<proto::Dial>,
    received_at: Timestamp,
) -> Result<Vec<Dial>, WireError> {
    list(field, messages, limits::DIALS, |message| dial(message, received_at))
}

fn dial_message(dial: &Dial, sent_at: Timestamp) -> proto::Dial {
    let outcome = match &dial.outcome {
        DialOutcome::Connected { local_peer } => Outcome::Connected(connected_message(local_peer.as_ref())),
        DialOutcome::Answered { bytes } => Outcome::Answered(*bytes),
        DialOutcome::Silent => Outcome::Silent(proto::Empty {}),
        DialOutcome::Failed { errno, immediate, queue } => Outcome::Failed(proto::Failed {
            errno: *errno,
            immediate: *immediate,
            queue: queue.iter().map(icmp_message).collect(),
        }),
        DialOutcome::NotAllowed => Outcome::NotAllowed(proto::Empty {}),
        DialOutcome::Skipped => Outcome::Skipped(proto::Empty {}),
    };
    proto::Dial {
        purpose: purpose_value(dial.purpose),
        remote: Some(socket_message(dial.remote)),
        local: dial.local.map(socket_message),
        started_age_ms: age(sent_at, dial.started),
        elapsed_us: micros(dial.elapsed),
        retransmits: dial.retransmits,
        outcome: Some(outcome),
        protocol: match dial.protocol {
            Protocol::Udp => proto::Protocol::Udp,
            Protocol::Tcp | Protocol::Sctp => proto::Protocol::Unspecified,
        }
        .into(),
        mss: dial.mss.map(u32::from),
    }
}

fn dial(message: proto::Dial, received_at: Timestamp) -> Result<Dial, WireError> {
    let local = |address| socket("dial.local", Some(address));
    let outcome = match required("dial.outcome", message.outcome)? {
        Outcome::Connected(connected) => DialOutcome::Connected { local_peer: peer(connected)? },
        Outcome::Answered(bytes) => DialOutcome::Answered { bytes },
        Outcome::Silent(_) => DialOutcome::Silent,
        Outcome::Failed(failed) => DialOutcome::Failed {
            errno: failed.errno,
            immediate: failed.immediate,
            queue: list("dial.failed.queue", failed.queue, limits::ICMP_ERRORS, |error| icmp(&error))?,
        },
        Outcome::NotAllowed(_) => DialOutcome::NotAllowed,
        Outcome::Skipped(_) => DialOutcome::Skipped,
    };
    Ok(Dial {
        purpose: purpose(message.purpose)?,
        remote: socket("dial.remote", message.remote)?,
        local: message.local.map(local).transpose()?,
        started: moment(received_at, message.started_age_ms),
        elapsed: Duration::from_micros(message.elapsed_us),
        retransmits: message.retransmits,
        outcome,
        protocol: match proto::Protocol::try_from(message.protocol) {
            Ok(proto::Protocol::Unspecified) => Protocol::Tcp,
            Ok(proto::Protocol::Udp) => Protocol::Udp,
            Err(_) => return Err(unknown_enum("dial.protocol", message.protocol)),
        },
        mss: message.mss.map(|mss| small("dial.mss", mss, "an MSS, at most 65535")).transpose()?,
    })
}

fn connected_message(peer: Option<&LocalPeer>) -> proto::Connected {
    let (local_peer, local_peer_unknown) = match peer {
        None => (None, false),
        Some(LocalPeer::Unknown) => (None, true),
        Some(LocalPeer::Socket { address, uid }) => {
            (Some(proto::LocalPeer { address: Some(socket_message(*address)), uid: *uid }), false)
        }
    };
    proto::Connected { local_peer, local_peer_unknown }
}

fn peer(message: proto::Connected) -> Result<Option<LocalPeer>, WireError> {
    let Some(peer) = message.local_peer else {
        return Ok(message.local_peer_unknown.then_some(LocalPeer::Unknown));
    };
    let address = socket("dial.connected.local_peer.address", peer.address)?;
    Ok(Some(LocalPeer::Socket { address, uid: peer.uid }))
}

pub(super) fn icmp_message(error: &IcmpError) -> proto::IcmpError {
    proto::IcmpError {
        v6: error.v6,
        kind: u32::from(error.kind),
        code: u32::from(error.code),
        offender: error.offender.map(ip_bytes).unwrap_or_default(),
    }
}

pub(super) fn icmp(message: &proto::IcmpError) -> Result<IcmpError, WireError> {
    let offender = match message.offender.as_slice() {
        [] => None,
        bytes => Some(ip("icmp.offender", bytes)?),
    };
    Ok(IcmpError {
        v6: message.v6,
        kind: small("icmp.kind", message.kind, "an ICMP type, at most 255")?,
        code: small("icmp.code", message.code, "an ICMP code, at most 255")?,
        offender,
    })
}

fn purpose_value(purpose: DialPurpose) -> i32 {
    match purpose {
        DialPurpose::ServiceAddress => proto::DialPurpose::ServiceAddress,
        DialPurpose::Endpoint => proto::DialPurpose::Endpoint,
        DialPurpose::Address => proto::DialPurpose::Address,
        DialPurpose::Control => proto::DialPurpose::Control,
        DialPurpose::Proxy => proto::DialPurpose::Proxy,
    }
    .into()
}

fn purpose(value: i32) -> Result<DialPurpose, WireError> {
    match proto::DialPurpose::try_from(value) {
        Ok(proto::DialPurpose::ServiceAddress) => Ok(DialPurpose::ServiceAddress),
        Ok(proto::DialPurpose::Endpoint) => Ok(DialPurpose::Endpoint),
        Ok(proto::DialPurpose::Address) => Ok(DialPurpose::Address),
        Ok(proto::DialPurpose::Control) => Ok(DialPurpose::Control),
        Ok(proto::DialPurpose::Proxy) => Ok(DialPurpose::Proxy),
        Ok(proto::DialPurpose::Unspecified) | Err(_) => Err(unknown_enum("dial.purpose", value)),
    }
}
