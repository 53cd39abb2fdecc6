//! The words that a signature is made of. They are part of what versions of the program agree on: change none.

use std::fmt::Display;

use super::super::{
    AfterConnect, DialPurpose, IcmpError, ProxyUse, QueryOutcome, RequestOutcome, ResolveSource, TlsOutcome,
};
use crate::plan::RecordType;

/// Items in brackets. None gives `[]`.
pub(super) fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    format!("[{}]", items.join(", "))
}

/// Text that is not ours, with its length in bytes.
pub(super) fn of(text: &str) -> String {
    format!("{}:{text}", text.len())
}

pub(super) fn purpose(purpose: DialPurpose) -> &'static str {
    match purpose {
        DialPurpose::ServiceAddress => "service",
        DialPurpose::Endpoint => "endpoint",
        DialPurpose::Address => "address",
        DialPurpose::Control => "control",
        DialPurpose::Proxy => "proxy",
    }
}

pub(super) fn source(source: ResolveSource) -> &'static str {
    match source {
        ResolveSource::HostsFile => "hosts",
        ResolveSource::Dns => "dns",
    }
}

pub(super) fn record(record: RecordType) -> &'static str {
    match record {
        RecordType::A => "A",
        RecordType::Aaaa => "AAAA",
    }
}

pub(super) fn query(outcome: &QueryOutcome) -> String {
    match outcome {
        QueryOutcome::Addresses(addresses) => format!("addresses {}", list(addresses)),
        QueryOutcome::NoData => "no data".into(),
        QueryOutcome::NameNotFound => "name not found".into(),
        QueryOutcome::ServerFailure => "server failure".into(),
        QueryOutcome::Refused => "refused".into(),
        QueryOutcome::OtherCode(code) => format!("code {code}"),
        QueryOutcome::Truncated => "truncated".into(),
        QueryOutcome::Timeout => "timeout".into(),
        QueryOutcome::Unreachable { errno, icmp: error } => {
            format!("unreachable {errno} {}", list(error.as_ref().map(icmp)))
        }
        QueryOutcome::Malformed => "malformed".into(),
    }
}

pub(super) fn used(used: &ProxyUse) -> String {
    let texts = |texts: &[String]| list(texts.iter().map(|text| of(text)));
    let exceptions =
        used.exceptions.as_ref().map(|(variable, value)| format!("{} {}", of(variable), of(value)));
    format!(
        "{} {} {} {} credentials {} {} {} {} {}",
        of(&used.container),
        of(&used.variable),
        of(&used.scheme),
        of(&used.proxy),
        used.credentials,
        list(exceptions),
        texts(&used.clients),
        texts(&used.direct_clients),
        of(&used.entry)
    )
}

pub(super) fn tls(outcome: &TlsOutcome) -> String {
    match outcome {
        TlsOutcome::Established => "established".into(),
        TlsOutcome::UntrustedIssuer => "untrusted issuer".into(),
        TlsOutcome::Failed(words) => format!("failed {}", of(words)),
        TlsOutcome::Reset => "reset".into(),
        TlsOutcome::Timeout => "timeout".into(),
    }
}

pub(super) fn request(outcome: &RequestOutcome) -> String {
    match outcome {
        RequestOutcome::Status(status) => format!("status {status}"),
        RequestOutcome::Reset => "reset".into(),
        RequestOutcome::NoResponse => "no response".into(),
        RequestOutcome::Malformed(words) => format!("malformed {}", of(words)),
    }
}

pub(super) fn icmp(error: &IcmpError) -> String {
    format!("{}/{} v6 {} from {}", error.kind, error.code, error.v6, list(error.offender))
}

/// What matters to judging, and no counts: they differ from walk to walk.
pub(super) fn after(after: &AfterConnect) -> String {
    let connection = &after.connection;
    format!(
        "lost {} received {} full {} shut {} small {} {} {}",
        connection.is_unacknowledged(),
        connection.bytes_received > 0,
        connection.is_peer_full(),
        connection.was_never_open(),
        list(after.small_segments.map(|small| small.answered)),
        list(connection.queue.iter().map(icmp)),
        list(connection.errno)
    )
}
