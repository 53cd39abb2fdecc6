//! Conversion of neighbours, hops and hop limits.

use peerwalk_model::evidence::{Hop, HopLimits, Neighbour, NeighbourState};

use crate::error::WireError;
use crate::field::{ip, ip_bytes, small, socket, socket_message, unknown_enum};
use crate::proto;

pub(super) fn neighbour_message(neighbour: &Neighbour) -> proto::Neighbour {
    let state = match neighbour.state {
        NeighbourState::Incomplete => proto::NeighbourState::Incomplete,
        NeighbourState::Reachable => proto::NeighbourState::Reachable,
        NeighbourState::Stale => proto::NeighbourState::Stale,
        NeighbourState::Delay => proto::NeighbourState::Delay,
        NeighbourState::Probe => proto::NeighbourState::Probe,
        NeighbourState::Failed => proto::NeighbourState::Failed,
        NeighbourState::Fixed => proto::NeighbourState::Fixed,
        NeighbourState::Absent => proto::NeighbourState::Absent,
    };
    proto::Neighbour { address: ip_bytes(neighbour.address), state: state.into() }
}

pub(super) fn neighbour(message: &proto::Neighbour) -> Result<Neighbour, WireError> {
    let state = match proto::NeighbourState::try_from(message.state) {
        Ok(proto::NeighbourState::Incomplete) => NeighbourState::Incomplete,
        Ok(proto::NeighbourState::Reachable) => NeighbourState::Reachable,
        Ok(proto::NeighbourState::Stale) => NeighbourState::Stale,
        Ok(proto::NeighbourState::Delay) => NeighbourState::Delay,
        Ok(proto::NeighbourState::Probe) => NeighbourState::Probe,
        Ok(proto::NeighbourState::Failed) => NeighbourState::Failed,
        Ok(proto::NeighbourState::Fixed) => NeighbourState::Fixed,
        Ok(proto::NeighbourState::Absent) => NeighbourState::Absent,
        Ok(proto::NeighbourState::Unspecified) | Err(_) => {
            return Err(unknown_enum("connect.neighbours.state", message.state));
        }
    };
    Ok(Neighbour { address: ip("connect.neighbours.address", &message.address)?, state })
}

pub(super) fn hop_message(hop: &Hop) -> proto::Hop {
    proto::Hop {
        remote: Some(socket_message(hop.remote)),
        ttl: u32::from(hop.ttl),
        from: hop.from.map(ip_bytes).unwrap_or_default(),
        reached: hop.reached,
    }
}

pub(super) fn hop(message: &proto::Hop) -> Result<Hop, WireError> {
    let from = match message.from.as_slice() {
        [] => None,
        bytes => Some(ip("connect.hops.from", bytes)?),
    };
    Ok(Hop {
        remote: socket("connect.hops.remote", message.remote.clone())?,
        ttl: small("connect.hops.ttl", message.ttl, "a number of hops, at most 255")?,
        from,
        reached: message.reached,
    })
}

/// The hop limits of a message, 0 for none.
pub(super) fn hop_limits(message: &proto::Connect) -> Result<HopLimits, WireError> {
    let limit = |field, limit| match limit {
        0 => Ok(None),
        limit => small(field, limit, "a number of hops, at most 255").map(Some),
    };
    Ok(HopLimits {
        v4: limit("connect.hop_limit_v4", message.hop_limit_v4)?,
        v6: limit("connect.hop_limit_v6", message.hop_limit_v6)?,
    })
}
