//! Conversion of single fields, with their limits.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use peerwalk_model::{PodRef, Stage, TargetKey, Timestamp};

use crate::error::WireError;
use crate::limits;
use crate::proto;

pub(crate) fn text(field: &'static str, value: String) -> Result<String, WireError> {
    text_within(field, value, limits::STRING_BYTES)
}

pub(crate) fn text_within(field: &'static str, value: String, limit: usize) -> Result<String, WireError> {
    if value.len() > limit {
        return Err(WireError::TooLong { field, bytes: value.len(), limit });
    }
    Ok(value)
}

/// A string that says something.
pub(crate) fn name(field: &'static str, value: String) -> Result<String, WireError> {
    if value.is_empty() {
        return Err(WireError::Missing { field });
    }
    text(field, value)
}

pub(crate) fn list<P, M>(
    field: &'static str,
    items: Vec<P>,
    limit: usize,
    convert: impl FnMut(P) -> Result<M, WireError>,
) -> Result<Vec<M>, WireError> {
    if items.len() > limit {
        return Err(WireError::TooMany { field, count: items.len(), limit });
    }
    items.into_iter().map(convert).collect()
}

pub(crate) fn required<T>(field: &'static str, value: Option<T>) -> Result<T, WireError> {
    value.ok_or(WireError::Missing { field })
}

pub(crate) fn small<T: TryFrom<u32>>(
    field: &'static str,
    value: u32,
    expected: &'static str,
) -> Result<T, WireError> {
    T::try_from(value).map_err(|_| WireError::Invalid { field, value: value.to_string(), expected })
}

pub(crate) fn port(field: &'static str, value: u32) -> Result<u16, WireError> {
    small(field, value, "a port, at most 65535")
}

pub(crate) fn status(field: &'static str, value: u32) -> Result<u16, WireError> {
    small(field, value, "an HTTP status code")
}

/// An enum value this version does not know, or none at all.
pub(crate) fn unknown_enum(field: &'static str, value: i32) -> WireError {
    WireError::Invalid { field, value: value.to_string(), expected: "a value that this version knows" }
}

pub(crate) fn ip(field: &'static str, bytes: &[u8]) -> Result<IpAddr, WireError> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Ok(Ipv4Addr::from(four).into());
    }
    <[u8; 16]>::try_from(bytes).map(|sixteen| Ipv6Addr::from(sixteen).into()).map_err(|_| {
        WireError::Invalid { field, value: format!("{} bytes", bytes.len()), expected: "4 or 16 bytes" }
    })
}

pub(crate) fn ips(field: &'static str, items: Vec<Vec<u8>>, limit: usize) -> Result<Vec<IpAddr>, WireError> {
    list(field, items, limit, |bytes| ip(field, &bytes))
}

pub(crate) fn ip_bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

pub(crate) fn ips_bytes(addresses: &[IpAddr]) -> Vec<Vec<u8>> {
    addresses.iter().copied().map(ip_bytes).collect()
}

pub(crate) fn socket(
    field: &'static str,
    value: Option<proto::SocketAddress>,
) -> Result<SocketAddr, WireError> {
    let value = required(field, value)?;
    Ok(SocketAddr::new(ip(field, &value.ip)?, port(field, value.port)?))
}

pub(crate) fn socket_message(address: SocketAddr) -> proto::SocketAddress {
    proto::SocketAddress { ip: ip_bytes(address.ip()), port: u32::from(address.port()) }
}

pub(crate) fn key(field: &'static str, value: Option<proto::TargetKey>) -> Result<TargetKey, WireError> {
    let value = required(field, value)?;
    Ok(TargetKey { check: name(field, value.check)?, target: name(field, value.target)? })
}

pub(crate) fn key_message(key: &TargetKey) -> proto::TargetKey {
    proto::TargetKey { check: key.check.clone(), target: key.target.clone() }
}

pub(crate) fn pod(value: Option<proto::Pod>) -> Result<PodRef, WireError> {
    let value = required("hello.pod", value)?;
    Ok(PodRef {
        namespace: name("hello.pod.namespace", value.namespace)?,
        name: name("hello.pod.name", value.name)?,
        uid: name("hello.pod.uid", value.uid)?,
    })
}

pub(crate) fn pod_message(pod: &PodRef) -> proto::Pod {
    proto::Pod { namespace: pod.namespace.clone(), name: pod.name.clone(), uid: pod.uid.clone() }
}

pub(crate) fn stage(field: &'static str, value: i32) -> Result<Stage, WireError> {
    match proto::Stage::try_from(value) {
        Ok(proto::Stage::Resolve) => Ok(Stage::Resolve),
        Ok(proto::Stage::Route) => Ok(Stage::Route),
        Ok(proto::Stage::Connect) => Ok(Stage::Connect),
        Ok(proto::Stage::Tls) => Ok(Stage::Tls),
        Ok(proto::Stage::Request) => Ok(Stage::Request),
        Ok(proto::Stage::Unspecified) | Err(_) => Err(unknown_enum(field, value)),
    }
}

pub(crate) fn stage_value(stage: Stage) -> i32 {
    match stage {
        Stage::Resolve => proto::Stage::Resolve,
        Stage::Route => proto::Stage::Route,
        Stage::Connect => proto::Stage::Connect,
        Stage::Tls => proto::Stage::Tls,
        Stage::Request => proto::Stage::Request,
    }
    .into()
}

/// Microseconds; saturates after half a million years.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Milliseconds, likewise.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How long before sending `moment` was. A moment after it counts as now: the clock was set back.
pub(crate) fn age(sent_at: Timestamp, moment: Timestamp) -> u64 {
    millis(sent_at.since(moment))
}

/// The moment on the receiver's clock.
pub(crate) fn moment(received_at: Timestamp, age_ms: u64) -> Timestamp {
    received_at.minus(Duration::from_millis(age_ms))
}

pub(crate) fn within_targets(field: &'static str, count: usize) -> Result<(), WireError> {
    if count > limits::TARGETS {
        return Err(WireError::TooMany { field, count, limit: limits::TARGETS });
    }
    Ok(())
}
