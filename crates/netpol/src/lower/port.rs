//! Items of `ports`.

use k8s_openapi::api::networking::v1::NetworkPolicyPort;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use peerwalk_model::Protocol;

use super::{Errors, Problem};
use crate::policy::{Ports, RulePort};

pub(super) fn port(errors: &mut Errors, path: &str, given: &NetworkPolicyPort) -> Option<RulePort> {
    let protocol = match given.protocol.as_deref() {
        None | Some("TCP") => Some(Protocol::Tcp),
        Some("UDP") => Some(Protocol::Udp),
        Some("SCTP") => Some(Protocol::Sctp),
        Some(other) => {
            errors.add(format!("{path}.protocol"), Problem::Protocol(other.to_owned()));
            None
        }
    };
    let ports = ports(errors, path, given);
    Some(RulePort { protocol: protocol?, ports: ports? })
}

fn ports(errors: &mut Errors, path: &str, given: &NetworkPolicyPort) -> Option<Ports> {
    let end_field = format!("{path}.endPort");
    match (&given.port, given.end_port) {
        (None, None) => Some(Ports::All),
        (None, Some(_)) => {
            errors.add(end_field, Problem::EndPortAlone);
            None
        }
        (Some(IntOrString::String(name)), end) => {
            if end.is_some() {
                errors.add(end_field, Problem::EndPortAfterName(name.clone()));
            }
            if !is_port_name(name) {
                errors.add(format!("{path}.port"), Problem::PortName(name.clone()));
            }
            Some(Ports::Named(name.clone()))
        }
        (Some(IntOrString::Int(number)), end) => {
            let Some(start) = port_number(*number) else {
                errors.add(format!("{path}.port"), Problem::PortNumber(*number));
                return None;
            };
            let Some(end) = end else { return Some(Ports::Numbers(start..=start)) };
            let problem = match port_number(end) {
                Some(last) if last >= start => return Some(Ports::Numbers(start..=last)),
                None if end > i32::from(start) => Problem::PortNumber(end),
                _ => Problem::EndPortBelow { start, end },
            };
            errors.add(end_field, problem);
            None
        }
    }
}

fn port_number(number: i32) -> Option<u16> {
    u16::try_from(number).ok().filter(|number| *number != 0)
}

/// `IsValidPortName` of `k8s.io/apimachinery/pkg/util/validation`.
fn is_port_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    name.len() <= 15
        && name.bytes().all(allowed)
        && name.bytes().any(|byte| byte.is_ascii_lowercase())
        && !name.contains("--")
        && !name.starts_with('-')
        && !name.ends_with('-')
}
