//! Conversion of name resolutions.

use std::time::Duration;

use peerwalk_model::evidence::{Pair, Query, QueryOutcome, Resolve, ResolveSource, Transport};

use super::connect::{icmp, icmp_message};
use crate::error::WireError;
use crate::field::{
    ips, ips_bytes, list, micros, required, small, socket, socket_message, text, unknown_enum,
};
use crate::limits;
use crate::plan::{record, record_value};
use crate::proto::{self, query::Outcome, query_outcome::Outcome as Other};

pub(super) fn message(resolve: &Resolve) -> proto::Resolve {
    proto::Resolve {
        name: resolve.name.clone(),
        source: match resolve.source {
            ResolveSource::HostsFile => proto::ResolveSource::HostsFile,
            ResolveSource::Dns => proto::ResolveSource::Dns,
        }
        .into(),
        answered: resolve.answered.clone(),
        addresses: ips_bytes(&resolve.addresses),
        queries: resolve.queries.iter().map(query_message).collect(),
        elapsed_us: micros(resolve.elapsed),
        spent: resolve.spent,
        pair: resolve.pair.as_ref().map(pair_message),
    }
}

pub(super) fn model(message: proto::Resolve) -> Result<Resolve, WireError> {
    let source = match proto::ResolveSource::try_from(message.source) {
        Ok(proto::ResolveSource::HostsFile) => ResolveSource::HostsFile,
        Ok(proto::ResolveSource::Dns) => ResolveSource::Dns,
        Ok(proto::ResolveSource::Unspecified) | Err(_) => {
            return Err(unknown_enum("resolve.source", message.source));
        }
    };
    Ok(Resolve {
        name: text("resolve.name", message.name)?,
        source,
        answered: message.answered.map(|name| text("resolve.answered", name)).transpose()?,
        addresses: ips("resolve.addresses", message.addresses, limits::ADDRESSES)?,
        queries: list("resolve.queries", message.queries, limits::QUERIES, query)?,
        elapsed: Duration::from_micros(message.elapsed_us),
        spent: message.spent,
        pair: message.pair.map(pair).transpose()?,
    })
}

fn pair_message(pair: &Pair) -> proto::Pair {
    proto::Pair {
        server: Some(socket_message(pair.server)),
        name: pair.name.clone(),
        tries: pair.tries,
        a: Some(other_message(&pair.a)),
        aaaa: Some(other_message(&pair.aaaa)),
    }
}

fn pair(message: proto::Pair) -> Result<Pair, WireError> {
    Ok(Pair {
        server: socket("pair.server", message.server)?,
        name: text("pair.name", message.name)?,
        tries: message.tries,
        a: other("pair.a", message.a)?,
        aaaa: other("pair.aaaa", message.aaaa)?,
    })
}

fn query_message(query: &Query) -> proto::Query {
    proto::Query {
        server: Some(socket_message(query.server)),
        transport: match query.transport {
            Transport::Udp => proto::Transport::Udp,
            Transport::Tcp => proto::Transport::Tcp,
        }
        .into(),
        name: query.name.clone(),
        record: record_value(query.record),
        elapsed_us: micros(query.elapsed),
        outcome: Some(outcome_message(&query.outcome)),
        late: query.late.as_ref().map(other_message),
    }
}

fn outcome_message(outcome: &QueryOutcome) -> Outcome {
    let nothing = proto::Empty {};
    match outcome {
        QueryOutcome::Addresses(addresses) => {
            Outcome::Addresses(proto::Addresses { addresses: ips_bytes(addresses) })
        }
        QueryOutcome::NoData => Outcome::NoData(nothing),
        QueryOutcome::NameNotFound => Outcome::NameNotFound(nothing),
        QueryOutcome::ServerFailure => Outcome::ServerFailure(nothing),
        QueryOutcome::Refused => Outcome::Refused(nothing),
        QueryOutcome::OtherCode(code) => Outcome::OtherCode(u32::from(*code)),
        QueryOutcome::Truncated => Outcome::Truncated(nothing),
        QueryOutcome::Timeout => Outcome::Timeout(nothing),
        QueryOutcome::Unreachable { errno, icmp } => {
            Outcome::Unreachable(proto::Unreachable { errno: *errno, icmp: icmp.as_ref().map(icmp_message) })
        }
        QueryOutcome::Malformed => Outcome::Malformed(nothing),
    }
}

/// An outcome outside a query, which has its own message: the fields of both have the same numbers.
fn other_message(outcome: &QueryOutcome) -> proto::QueryOutcome {
    let outcome = match outcome_message(outcome) {
        Outcome::Addresses(list) => Other::Addresses(list),
        Outcome::NoData(nothing) => Other::NoData(nothing),
        Outcome::NameNotFound(nothing) => Other::NameNotFound(nothing),
        Outcome::ServerFailure(nothing) => Other::ServerFailure(nothing),
        Outcome::Refused(nothing) => Other::Refused(nothing),
        Outcome::OtherCode(code) => Other::OtherCode(code),
        Outcome::Truncated(nothing) => Other::Truncated(nothing),
        Outcome::Timeout(nothing) => Other::Timeout(nothing),
        Outcome::Unreachable(unreachable) => Other::Unreachable(unreachable),
        Outcome::Malformed(nothing) => Other::Malformed(nothing),
    };
    proto::QueryOutcome { outcome: Some(outcome) }
}

fn other(field: &'static str, message: Option<proto::QueryOutcome>) -> Result<QueryOutcome, WireError> {
    let message = required(field, message)?;
    outcome(match required(field, message.outcome)? {
        Other::Addresses(list) => Outcome::Addresses(list),
        Other::NoData(nothing) => Outcome::NoData(nothing),
        Other::NameNotFound(nothing) => Outcome::NameNotFound(nothing),
        Other::ServerFailure(nothing) => Outcome::ServerFailure(nothing),
        Other::Refused(nothing) => Outcome::Refused(nothing),
        Other::OtherCode(code) => Outcome::OtherCode(code),
        Other::Truncated(nothing) => Outcome::Truncated(nothing),
        Other::Timeout(nothing) => Outcome::Timeout(nothing),
        Other::Unreachable(unreachable) => Outcome::Unreachable(unreachable),
        Other::Malformed(nothing) => Outcome::Malformed(nothing),
    })
}

fn query(message: proto::Query) -> Result<Query, WireError> {
    let transport = match proto::Transport::try_from(message.transport) {
        Ok(proto::Transport::Udp) => Transport::Udp,
        Ok(proto::Transport::Tcp) => Transport::Tcp,
        Ok(proto::Transport::Unspecified) | Err(_) => {
            return Err(unknown_enum("query.transport", message.transport));
        }
    };
    Ok(Query {
        server: socket("query.server", message.server)?,
        transport,
        name: text("query.name", message.name)?,
        record: record("query.record", message.record)?,
        outcome: outcome(required("query.outcome", message.outcome)?)?,
        elapsed: Duration::from_micros(message.elapsed_us),
        late: message.late.map(|late| other("query.late", Some(late))).transpose()?,
    })
}

fn outcome(message: Outcome) -> Result<QueryOutcome, WireError> {
    Ok(match message {
        Outcome::Addresses(list) => {
            QueryOutcome::Addresses(ips("query.addresses", list.addresses, limits::ADDRESSES)?)
        }
        Outcome::NoData(_) => QueryOutcome::NoData,
        Outcome::NameNotFound(_) => QueryOutcome::NameNotFound,
        Outcome::ServerFailure(_) => QueryOutcome::ServerFailure,
        Outcome::Refused(_) => QueryOutcome::Refused,
        Outcome::OtherCode(code) => {
            QueryOutcome::OtherCode(small("query.other_code", code, "a DNS response code")?)
        }
        Outcome::Truncated(_) => QueryOutcome::Truncated,
        Outcome::Timeout(_) => QueryOutcome::Timeout,
        Outcome::Unreachable(unreachable) => QueryOutcome::Unreachable {
            errno: unreachable.errno,
            icmp: unreachable.icmp.map(|error| icmp(&error)).transpose()?,
        },
        Outcome::Malformed(_) => QueryOutcome::Malformed,
    })
}
