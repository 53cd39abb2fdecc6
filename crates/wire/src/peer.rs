//! Conversion of what destination pods are asked about dials to them, and of their answers.

use std::time::Duration;

use peerwalk_model::peer::{Listener, PeerSocket, Saw, Seen, Tuple};

use crate::error::WireError;
use crate::field::{list, micros, required, small, socket, socket_message};
use crate::limits;
use crate::proto::{self, seen};

pub(crate) fn tuples_message(tuples: &[Tuple]) -> Vec<proto::Tuple> {
    tuples.iter().map(tuple_message).collect()
}

pub(crate) fn tuples(messages: Vec<proto::Tuple>) -> Result<Vec<Tuple>, WireError> {
    list("look.tuples", messages, limits::TUPLES, tuple)
}

fn tuple_message(tuple: &Tuple) -> proto::Tuple {
    proto::Tuple {
        source: Some(socket_message(tuple.source)),
        destination: Some(socket_message(tuple.destination)),
        mss: tuple.mss.map(u32::from),
    }
}

fn tuple(message: proto::Tuple) -> Result<Tuple, WireError> {
    Ok(Tuple {
        source: socket("tuple.source", message.source)?,
        destination: socket("tuple.destination", message.destination)?,
        mss: message.mss.map(|mss| small("tuple.mss", mss, "an MSS, at most 65535")).transpose()?,
    })
}

pub(crate) fn saw_message(id: u64, saw: &Saw) -> proto::Saw {
    proto::Saw {
        id,
        seen: saw.seen.iter().map(seen_message).collect(),
        listen_overflows: saw.listen_overflows,
        syn_cookies: saw.syn_cookies,
        always_cookies: saw.always_cookies,
    }
}

pub(crate) fn saw(message: proto::Saw) -> Result<(u64, Saw), WireError> {
    let saw = Saw {
        seen: list("saw.seen", message.seen, limits::TUPLES, seen)?,
        listen_overflows: message.listen_overflows,
        syn_cookies: message.syn_cookies,
        always_cookies: message.always_cookies,
    };
    Ok((message.id, saw))
}

fn seen_message(seen: &Seen) -> proto::Seen {
    proto::Seen {
        tuple: Some(tuple_message(&seen.tuple)),
        socket: seen.socket.as_ref().map(|socket| proto::PeerSocket {
            source: Some(socket_message(socket.source)),
            state: u32::from(socket.state),
            closed: socket.closed,
            unread: socket.unread,
            retransmits: socket.retransmits,
            quiet_us: micros(socket.quiet),
        }),
        listener: Some(match seen.listener {
            Listener::Listens { queue, backlog } => {
                seen::Listener::Listens(proto::Listens { queue, backlog })
            }
            Listener::Absent { elsewhere } => {
                seen::Listener::Absent(proto::Absent { elsewhere: elsewhere.map(socket_message) })
            }
            Listener::Unknown => seen::Listener::Unknown(proto::Empty {}),
        }),
    }
}

fn seen(message: proto::Seen) -> Result<Seen, WireError> {
    let peer = |found: proto::PeerSocket| {
        Ok(PeerSocket {
            source: socket("seen.socket.source", found.source)?,
            state: small("seen.socket.state", found.state, "a TCP state, at most 255")?,
            closed: found.closed,
            unread: found.unread,
            retransmits: found.retransmits,
            quiet: Duration::from_micros(found.quiet_us),
        })
    };
    let elsewhere = |address| socket("seen.absent.elsewhere", Some(address));
    Ok(Seen {
        tuple: tuple(required("seen.tuple", message.tuple)?)?,
        socket: message.socket.map(peer).transpose()?,
        listener: match required("seen.listener", message.listener)? {
            seen::Listener::Listens(found) => {
                Listener::Listens { queue: found.queue, backlog: found.backlog }
            }
            seen::Listener::Absent(found) => {
                Listener::Absent { elsewhere: found.elsewhere.map(elsewhere).transpose()? }
            }
            seen::Listener::Unknown(_) => Listener::Unknown,
        },
    })
}
