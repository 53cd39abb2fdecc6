//! Conversion of what became of a connection after it was made, and of how the prober fared.

use std::time::Duration;

use peerwalk_model::evidence::{AfterConnect, Connection, SmallSegments, Strain};

use super::connect::{icmp, icmp_message};
use crate::error::WireError;
use crate::field::{list, micros, required, small};
use crate::{limits, proto};

pub(super) fn message(after: &AfterConnect) -> proto::AfterConnect {
    let connection = &after.connection;
    proto::AfterConnect {
        connection: Some(proto::Connection {
            unacked: connection.unacked,
            retransmits: connection.retransmits,
            total_retransmits: connection.total_retransmits,
            bytes_acked: connection.bytes_acked,
            bytes_received: connection.bytes_received,
            not_sent: connection.not_sent,
            peer_window: connection.peer_window,
            queue: connection.queue.iter().map(icmp_message).collect(),
            errno: connection.errno,
        }),
        small_segments: after
            .small_segments
            .map(|small| proto::SmallSegments { mss: u32::from(small.mss), answered: small.answered }),
    }
}

pub(super) fn model(message: proto::AfterConnect) -> Result<AfterConnect, WireError> {
    let connection = required("after.connection", message.connection)?;
    let small_segments = |found: proto::SmallSegments| {
        let mss = small("after.small_segments.mss", found.mss, "an MSS, at most 65535")?;
        Ok(SmallSegments { mss, answered: found.answered })
    };
    Ok(AfterConnect {
        connection: Connection {
            unacked: connection.unacked,
            retransmits: connection.retransmits,
            total_retransmits: connection.total_retransmits,
            bytes_acked: connection.bytes_acked,
            bytes_received: connection.bytes_received,
            not_sent: connection.not_sent,
            peer_window: connection.peer_window,
            queue: list("after.queue", connection.queue, limits::ICMP_ERRORS, |error| icmp(&error))?,
            errno: connection.errno,
        },
        small_segments: message.small_segments.map(small_segments).transpose()?,
    })
}

pub(super) fn strain_message(strain: &Strain) -> proto::Strain {
    proto::Strain {
        throttled_us: micros(strain.throttled),
        run_delay_us: micros(strain.run_delay),
        timer_delay_us: micros(strain.timer_delay),
        descriptors: strain.descriptors,
        descriptors_limit: strain.descriptors_limit,
        time_wait: strain.time_wait,
        ports: strain.ports,
    }
}

pub(super) fn strain(message: &proto::Strain) -> Strain {
    Strain {
        throttled: Duration::from_micros(message.throttled_us),
        run_delay: Duration::from_micros(message.run_delay_us),
        timer_delay: Duration::from_micros(message.timer_delay_us),
        descriptors: message.descriptors,
        descriptors_limit: message.descriptors_limit,
        time_wait: message.time_wait,
        ports: message.ports,
    }
}
