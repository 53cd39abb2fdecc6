//! Conversion of name resolutions.

use std::time::Duration;

use peerwalk_model::evidence::{Query, QueryOutcome, Resolve, ResolveSource, Transport};

use super::connect::{icmp, icmp_message};
use crate::error::WireError;
use crate::field::{
    ips, ips_bytes, list, micros, required, small, socket, socket_message, text, unknown_enum,
};
use crate::limits;
use crate::plan::{record, record_value};
use crate::proto::{self, query::Outcome};

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
    })
}

fn query_message(query: &Query) -> proto::Query {
    let nothing = proto::Empty {};
    let outcome = match &query.outcome {
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
    };
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
        outcome: Some(outcome),
    }
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
