//! Whom to dial: from the plan and what the name resolved to. Pure.

use std::net::{IpAddr, SocketAddr};

use peerwalk_model::evidence::DialPurpose;
use peerwalk_model::plan::{ServiceTarget, TargetKind};

use super::families;
use crate::rules::DialRules;

/// Endpoints dialled in one walk, however many the plan names.
const ENDPOINTS: usize = 16;
/// Addresses of a family, of those that failed in the walk before, that are dialled at once.
const FAILED: usize = 4;

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

/// Which addresses come first.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Order<'a> {
    /// Moves on with every walk that passes, so that each endpoint is dialled in turn.
    pub(crate) turn: usize,
    /// What failed in the walk before, in the order it was dialled. It goes first, so that a target that
    /// fails as before is found to fail as before, and one more goes with it, to tell whether all fail.
    pub(crate) failed: &'a [SocketAddr],
    /// Every endpoint at once, as after an event.
    pub(crate) all: bool,
}

impl Choice {
    pub(crate) fn new(
        kind: &TargetKind,
        port: u16,
        resolved: &[IpAddr],
        rules: DialRules,
        order: Order<'_>,
    ) -> Self {
        match kind {
            TargetKind::Service(service) => of_service(service, resolved, rules, kind, order),
            TargetKind::Url(_) | TargetKind::Dns(_) => of_addresses(kind, port, resolved, rules, order),
        }
    }
}

impl Order<'_> {
    fn sort(&self, wants: &mut [Want]) {
        let place = |want: &Want| self.failed.iter().position(|failed| *failed == want.remote);
        wants.sort_by_key(|want| place(want).unwrap_or(usize::MAX));
    }

    /// How many of the addresses of a family are dialled at once.
    fn at_once(&self, wants: &[Want]) -> usize {
        let failed = wants.iter().filter(|want| self.failed.contains(&want.remote)).count();
        if self.all { wants.len() } else { wants.len().min(failed.min(FAILED) + 1) }
    }
}

fn of_service(
    service: &ServiceTarget,
    resolved: &[IpAddr],
    rules: DialRules,
    kind: &TargetKind,
    order: Order<'_>,
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
            let begin = order.turn % endpoints.len();
            endpoints.rotate_left(begin);
        }
        order.sort(&mut endpoints);
        endpoints.truncate(ENDPOINTS / 2 * if v4 && v6 { 1 } else { 2 });
        let at_once = order.at_once(&endpoints);
        first.extend(endpoints.drain(..at_once));
        rest.extend(endpoints);
    }
    let speaks = if headless { DialPurpose::Endpoint } else { DialPurpose::ServiceAddress };
    Choice { first, rest, refused, speaks }
}

/// The first address of each family at once, as a client with "happy eyeballs" would, the others in a
/// diagnosis; those that failed before the others, in whatever order a name server gives them.
fn of_addresses(
    kind: &TargetKind,
    port: u16,
    resolved: &[IpAddr],
    rules: DialRules,
    order: Order<'_>,
) -> Choice {
    let order = Order { all: false, ..order };
    let (mut wants, mut refused): (Vec<Want>, Vec<_>) = (Vec::new(), Vec::new());
    for ip in resolved {
        let remote = SocketAddr::new(*ip, port);
        if rules.permitted(remote, kind) {
            wants.push(Want { purpose: DialPurpose::Address, remote });
        } else {
            refused.push(remote);
        }
    }
    order.sort(&mut wants);
    let (v4, v6): (Vec<Want>, Vec<Want>) = wants.iter().partition(|want| want.remote.is_ipv4());
    let mut left = [order.at_once(&v6), order.at_once(&v4)];
    let (first, mut rest): (Vec<Want>, Vec<Want>) = wants.into_iter().partition(|want| {
        let left = &mut left[usize::from(want.remote.is_ipv4())];
        let now = *left > 0;
        *left = left.saturating_sub(1);
        now
    });
    rest.truncate(ENDPOINTS);
    Choice { first, rest, refused, speaks: DialPurpose::Address }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use peerwalk_model::plan::{DialScope, UrlTarget};

    use super::*;

    fn service(addresses: &[&str], endpoints: &[&str]) -> TargetKind {
        TargetKind::Service(ServiceTarget {
            hostname: "db.shop.svc".into(),
            port: 80,
            addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
            endpoints: endpoints.iter().map(|a| a.parse().unwrap()).collect(),
            tls: None,
        })
    }

    fn choose(kind: &TargetKind, resolved: &[&str], turn: usize, all: bool) -> Choice {
        let resolved: Vec<IpAddr> = resolved.iter().map(|ip| ip.parse().unwrap()).collect();
        Choice::new(kind, 443, &resolved, DialRules::Plan, Order { turn, all, failed: &[] })
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

    fn after(kind: &TargetKind, resolved: &[&str], failed: &[&str], turn: usize) -> Choice {
        let resolved: Vec<IpAddr> = resolved.iter().map(|ip| ip.parse().unwrap()).collect();
        let failed: Vec<SocketAddr> = failed.iter().map(|remote| remote.parse().unwrap()).collect();
        Choice::new(kind, 443, &resolved, DialRules::Plan, Order { turn, all: false, failed: &failed })
    }

    #[test]
    fn what_failed_goes_first_and_one_more_with_it() {
        let kind = service(&["10.96.0.1"], &["10.244.0.1:80", "10.244.0.2:80", "10.244.0.3:80"]);
        for turn in 0..3 {
            let choice = after(&kind, &["10.96.0.1"], &["10.244.0.3:80"], turn);
            assert_eq!(remotes(&choice.first)[..2], ["10.96.0.1:80", "10.244.0.3:80"], "turn {turn}");
            assert_eq!((choice.first.len(), choice.rest.len()), (3, 1), "one more shows whether all fail");
        }
        let many: Vec<String> = (1..=9).map(|n| format!("10.244.0.{n}:80")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let choice = after(&service(&["10.96.0.1"], &many), &["10.96.0.1"], &many, 0);
        assert_eq!(choice.first.len(), 1 + FAILED + 1, "not all of many");
    }

    #[test]
    fn the_order_of_a_name_servers_answers_changes_nothing_of_a_failure() {
        let scope = DialScope { networks: vec![], any_address: true };
        let url = TargetKind::Url(UrlTarget { url: "https://x.test/".into(), roots_pem: None, scope });
        let (one, two, six) = ("192.0.2.1", "192.0.2.2", "2001:db8::1");
        for resolved in [[one, two, six], [two, six, one], [six, one, two]] {
            let choice = after(&url, &resolved, &["192.0.2.2:443"], 0);
            let expected = BTreeSet::from(["192.0.2.2:443", "192.0.2.1:443", "[2001:db8::1]:443"]);
            assert_eq!(remotes(&choice.first)[0], "192.0.2.2:443", "{resolved:?}");
            let found = remotes(&choice.first);
            assert_eq!(found.iter().map(String::as_str).collect::<BTreeSet<_>>(), expected, "{resolved:?}");
        }
        assert_eq!(
            remotes(&after(&url, &[two, one, six], &[], 0).first),
            ["192.0.2.2:443", "[2001:db8::1]:443"]
        );
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
