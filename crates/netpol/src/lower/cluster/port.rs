//! Items of `protocols` of ClusterNetworkPolicy, and of `ports` of the kinds before it.

use peerwalk_model::Protocol;
use serde_json::Value;

use super::Shape;
use crate::cluster_policy::ClusterPort;
use crate::lower::object::Object;
use crate::lower::{Errors, Problem};
use crate::policy::{PolicyKind, Ports, RulePort};

/// Ports that a packet can have.
const NUMBERS: std::ops::RangeInclusive<u16> = 1..=u16::MAX;

pub(super) fn port(errors: &mut Errors, path: String, value: &Value, shape: &Shape) -> Option<ClusterPort> {
    let item = Object::new(errors, path, value)?;
    let of_cluster = shape.kind == PolicyKind::ClusterNetworkPolicy;
    let set = item.names();
    let [field] = set.as_slice() else {
        let fields = if of_cluster {
            "tcp, udp, sctp and destinationNamedPort"
        } else {
            "portNumber, portRange and namedPort"
        };
        errors.add(item.path(), Problem::OneOf { given: set.len(), fields });
        return None;
    };
    match (of_cluster, *field) {
        (true, "tcp") => protocol(errors, &item, field, Protocol::Tcp),
        (true, "udp") => protocol(errors, &item, field, Protocol::Udp),
        (true, "sctp") => protocol(errors, &item, field, Protocol::Sctp),
        (true, "destinationNamedPort") | (false, "namedPort") => named(errors, &item, field),
        (false, "portNumber") => {
            let given = item.object(errors, field)?;
            given.only(errors, &["protocol", "port"]);
            let protocol = protocol_of(errors, &given);
            given.required(errors, "port", "use a number from 1 to 65535");
            let number = given.number(errors, "port", NUMBERS);
            Some(ClusterPort::Numbers(RulePort::number(protocol?, number?)))
        }
        (false, "portRange") => {
            let given = item.object(errors, field)?;
            given.only(errors, &["protocol", "start", "end"]);
            let protocol = protocol_of(errors, &given);
            let ports = range(errors, &given);
            Some(ClusterPort::Numbers(RulePort { protocol: protocol?, ports: ports? }))
        }
        (_, unknown) => Some(ClusterPort::Unknown(vec![unknown.to_owned()])),
    }
}

/// `tcp`, `udp` or `sctp`.
fn protocol(errors: &mut Errors, item: &Object<'_>, field: &str, protocol: Protocol) -> Option<ClusterPort> {
    let given = item.object(errors, field)?;
    let unknown = given.unknown(&["destinationPort"]);
    if !unknown.is_empty() {
        return Some(ClusterPort::Unknown(unknown.iter().map(|name| format!("{field}.{name}")).collect()));
    }
    given.required(errors, "destinationPort", "set its number or range");
    let port = given.object(errors, "destinationPort")?;
    let set = port.names();
    let ports = match set.as_slice() {
        ["number"] => port.number(errors, "number", NUMBERS).map(|number| Ports::Numbers(number..=number)),
        ["range"] => {
            let given = port.object(errors, "range")?;
            given.only(errors, &["start", "end"]);
            range(errors, &given)
        }
        [other] => {
            return Some(ClusterPort::Unknown(vec![format!("{field}.destinationPort.{other}")]));
        }
        _ => {
            errors.add(port.path(), Problem::OneOf { given: set.len(), fields: "number and range" });
            None
        }
    };
    Some(ClusterPort::Numbers(RulePort { protocol, ports: ports? }))
}

fn named(errors: &mut Errors, item: &Object<'_>, field: &str) -> Option<ClusterPort> {
    let name = item.text(errors, field)?;
    if name.is_empty() {
        errors.add(item.at(field), Problem::PortName(String::new()));
    }
    Some(ClusterPort::Named(name.to_owned()))
}

fn range(errors: &mut Errors, given: &Object<'_>) -> Option<Ports> {
    for name in ["start", "end"] {
        given.required(errors, name, "use a number from 1 to 65535");
    }
    let start = given.number(errors, "start", NUMBERS);
    let end = given.number(errors, "end", NUMBERS);
    let (start, end) = (start?, end?);
    if start >= end {
        errors.add(given.at("end"), Problem::RangeEnd { start, end });
    }
    Some(Ports::Numbers(start..=end))
}

fn protocol_of(errors: &mut Errors, given: &Object<'_>) -> Option<Protocol> {
    if !given.has("protocol") {
        return Some(Protocol::Tcp);
    }
    match given.text(errors, "protocol")? {
        "TCP" => Some(Protocol::Tcp),
        "UDP" => Some(Protocol::Udp),
        "SCTP" => Some(Protocol::Sctp),
        other => {
            errors.add(given.at("protocol"), Problem::Protocol(other.to_owned()));
            None
        }
    }
}
