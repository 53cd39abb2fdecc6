//! Whom to dial: from the plan and what the name resolved to. Pure.

use std::net::{IpAddr, SocketAddr};

use peerwalk_model::evidence::DialPurpose;
use peerwalk_model::plan::{ServiceTarget, TargetKind};

use super::families;
use crate::rules::DialRules;

/// Endpoints dialled in one walk, however many the plan names.
const ENDPOINTS: usize = 16;

/// An address and why it is dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Want {
    pub(crate) purpose: DialPurpose,
    pub(crate) remote: SocketAddr,
}

/// Whom one walk dials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    /// At once.
    pub(crate) first: Vec<Want>,
    /// In a diagnosis.
    pub(crate) rest: Vec<Want>,
    /// Never: addresses the name led to that are not the target's.
    pub(crate) refused: Vec<SocketAddr>,
    /// The purpose of the connection an application would use.
    pub(crate) speaks: DialPurpose,
}

impl Choice {
    /// `turn` moves on with every walk, so that each endpoint is dialled in turn, one that was silent before
    /// the others; `all` dials every endpoint at once, as after an event.
    pub(crate) fn new(
        kind: &TargetKind,
        port: u16,
        resolved: &[IpAddr],
        rules: DialRules,
        (turn, all): (usize, bool),
        was_silent: impl Fn(SocketAddr) -> bool,
    ) -> Self {
        match kind {
            TargetKind::Service(service) => {
                of_service(service, resolved, rules, kind, (turn, all), was_silent)
            }
            TargetKind::Url(_) | TargetKind::Dns(_) => of_addresses(kind, port, resolved, rules),
        }
    }
}

fn of_service(
    service: &ServiceTarget,
    resolved: &[IpAddr],
    rules: DialRules,
    kind: &TargetKind,
    (turn, all): (usize, bool),
    was_silent: impl Fn(SocketAddr) -> bool,
) -> Choice {
    let headless = service.addresses.is_empty();
    let (mut first, mut refused, mut own) = (Vec::new(), Vec::new(), Vec::new());
    for ip in resolved.iter().map(IpAddr::to_canonical) {
        let remote = SocketAddr::new(ip, service.port);
        let is_endpoint = |e: &SocketAddr| e.ip() == ip && rules.permitted(*e, kind);
        if service.addresses.contains(&ip) && rules.permitted(remote, kind) {
            first.push(Want { purpose: DialPurpose::ServiceAddress, remote });
            own.push(ip);
        } else if service.endpoints.iter().any(is_endpoint) {
            own.push(ip);
        } else {
            refused.push(remote);
        }
    }
    // Endpoints of the families in which the name led to the target.
    let [v4, v6] = families(&own);
    let mut rest = Vec::new();
    for family in [true, false] {
        let mut endpoints: Vec<Want> = service
            .endpoints
            .iter()
            .filter(|e| e.is_ipv4() == family && ((family && v4) || (!family && v6)))
            .filter(|e| rules.permitted(**e, kind))
            .map(|e| Want { purpose: DialPurpose::Endpoint, remote: *e })
            .collect();
        if !endpoints.is_empty() {
            let begin = turn % endpoints.len();
            endpoints.rotate_left(begin);
        }
        endpoints.sort_by_key(|want| !was_silent(want.remote));
        endpoints.truncate(ENDPOINTS / 2 * if v4 && v6 { 1 } else { 2 });
        let at_once = if all { endpoints.len() } else { endpoints.len().min(1) };
        first.extend(endpoints.drain(..at_once));
        rest.extend(endpoints);
    }
    let speaks = if headless { DialPurpose::Endpoint } else { DialPurpose::ServiceAddress };
    Choice { first, rest, refused, speaks }
}

/// The first address of each family at once, as a client with "happy eyeballs" would, the others in a
/// diagnosis.
fn of_addresses(kind: &TargetKind, port: u16, resolved: &[IpAddr], rules: DialRules) -> Choice {
    let (mut first, mut rest, mut refused): (Vec<Want>, Vec<Want>, _) = (Vec::new(), Vec::new(), Vec::new());
    for ip in resolved {
        let remote = SocketAddr::new(*ip, port);
        let want = Want { purpose: DialPurpose::Address, remote };
        if !rules.permitted(remote, kind) {
            refused.push(remote);
        } else if first.iter().all(|other| other.remote.is_ipv4() != remote.is_ipv4()) {
            first.push(want);
        } else {
            rest.push(want);
        }
    }
    rest.truncate(ENDPOINTS);
    Choice { first, rest, refused, speaks: DialPurpose::Address }
}

#[cfg(test)]
mod tests {
    use peerwalk_model::plan::{DialScope, UrlTarget};

    use super::*;

    fn service(addresses: &[&str], endpoints: &[&str]) -> TargetKind {
        TargetKind::Service(ServiceTarget {
            hostname: "db.shop.svc".into(),
            port: 80,
            addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
            endpoints: endpoints.iter().map(|a| a.parse().unwrap()).collect(),
        })
    }

    fn choose(kind: &TargetKind, resolved: &[&str], turn: usize, all: bool) -> Choice {
        let resolved: Vec<IpAddr> = resolved.iter().map(|ip| ip.parse().unwrap()).collect();
        Choice::new(kind, 443, &resolved, DialRules::Plan, (turn, all), |_| false)
    }

    fn remotes(wants: &[Want]) -> Vec<String> {
        wants.iter().map(|want| want.remote.to_string()).collect()
    }

    #[test]
    fn the_service_address_and_one_endpoint_in_turn() {
        let kind = service(&["10.96.0.1"], &["10.244.0.1:8080", "10.244.0.2:8080"]);
        for (turn, endpoint) in [(0, "10.244.0.1:8080"), (1, "10.244.0.2:8080"), (2, "10.244.0.1:8080")] {
            let choice = choose(&kind, &["10.96.0.1"], turn, false);
            assert_eq!(remotes(&choice.first), ["10.96.0.1:80", endpoint], "turn {turn}");
            assert_eq!(choice.rest.len(), 1, "the other is for a diagnosis");
        }
        assert_eq!(choose(&kind, &["10.96.0.1"], 0, true).first.len(), 3, "after an event all are dialled");
    }

    #[test]
    fn each_family_is_dialled() {
        let kind = service(&["10.96.0.1", "fd00:96::1"], &["10.244.0.1:8080", "[fd00::1]:8080"]);
        let both = choose(&kind, &["10.96.0.1", "fd00:96::1"], 0, false);
        assert_eq!(both.first.len(), 4, "two service addresses, two endpoints");
        let one = choose(&kind, &["fd00:96::1"], 0, false);
        assert_eq!(remotes(&one.first), ["[fd00:96::1]:80", "[fd00::1]:8080"], "only what the name led to");
    }

    #[test]
    fn a_headless_service_is_its_endpoints() {
        let kind = service(&[], &["10.244.0.1:8080"]);
        let choice = choose(&kind, &["10.244.0.1"], 0, false);
        assert_eq!(remotes(&choice.first), ["10.244.0.1:8080"], "at the target port");
        assert_eq!(choice.speaks, DialPurpose::Endpoint);
    }

    #[test]
    fn a_service_without_endpoints_is_still_dialled() {
        let choice = choose(&service(&["10.96.0.1"], &[]), &["10.96.0.1"], 7, true);
        assert_eq!(remotes(&choice.first), ["10.96.0.1:80"]);
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_not_followed() {
        let kind = service(&["10.96.0.1"], &["10.244.0.1:8080"]);
        let choice = choose(&kind, &["192.0.2.1"], 0, false);
        assert_eq!((choice.first.len(), remotes_of(&choice.refused)), (0, vec!["192.0.2.1:80".to_owned()]));
        let scope = DialScope { networks: vec!["192.0.2.0/24".parse().unwrap()], any_address: false };
        let url = TargetKind::Url(UrlTarget { url: "https://x.test/".into(), roots_pem: None, scope });
        let choice = choose(&url, &["192.0.2.1", "192.0.2.2", "169.254.169.254"], 0, false);
        assert_eq!(remotes(&choice.first), ["192.0.2.1:443"]);
        assert_eq!(remotes(&choice.rest), ["192.0.2.2:443"]);
        assert_eq!(remotes_of(&choice.refused), ["169.254.169.254:443"]);
    }

    fn remotes_of(addresses: &[SocketAddr]) -> Vec<String> {
        addresses.iter().map(ToString::to_string).collect()
    }
}
