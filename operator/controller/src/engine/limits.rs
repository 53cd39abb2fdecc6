//! How much a plan may hold. The hub refuses a plan that breaks a limit of the protocol, and then the pod
//! would keep the one it has: so what does not fit is left out here, in an order that stays.

use std::collections::{BTreeMap, BTreeSet};

use peerwalk_model::plan::{Control, PlannedTarget, TargetKind};
use peerwalk_model::verdict::Topic;
use peerwalk_model::{Because, Reason, Stage, TargetKey, Verdict};

/// Targets of one pod.
pub const TARGETS: usize = 512;
/// Endpoints whose path one control proves.
pub const PROVES: usize = 64;
/// Bytes of a whole plan. A message may have a little more: a delta names the targets that are gone too.
const PLAN_BYTES: usize = 4 * 1024 * 1024 - 256 * 1024;

/// The targets that fit, by check and name, and those that do not.
pub fn fit(
    targets: BTreeMap<TargetKey, PlannedTarget>,
) -> (BTreeMap<TargetKey, PlannedTarget>, BTreeSet<TargetKey>) {
    let (mut fitting, mut surplus, mut bytes) = (BTreeMap::new(), BTreeSet::new(), 0);
    for (key, target) in targets {
        let size = encoded(&key, &target);
        if fitting.len() < TARGETS && bytes + size <= PLAN_BYTES {
            bytes += size;
            fitting.insert(key, target);
        } else {
            surplus.insert(key);
        }
    }
    (fitting, surplus)
}

/// What is said of a target that does not fit.
pub fn not_walked() -> Verdict {
    let text = format!(
        "the source pod has more targets than one pod walks ({TARGETS}, or what fits in {} KiB), and this one is \
         not walked: give the pod fewer checks, or the checks fewer targets",
        PLAN_BYTES / 1024
    );
    Verdict::unknown(Reason::NotProven, Stage::Resolve, vec![Because::new(Topic::Missing, text)])
}

/// How many bytes a target takes at most, encoded.
fn encoded(key: &TargetKey, target: &PlannedTarget) -> usize {
    /// Numbers, timeouts, and the framing of the parts.
    const FIXED: usize = 160;
    /// An address of 16 bytes with port or prefix length, and its framing.
    const ADDRESS: usize = 28;
    let kind = match &target.kind {
        TargetKind::Service(service) => {
            let roots = service.tls.as_ref().and_then(|tls| tls.roots_pem.as_ref()).map_or(0, String::len);
            service.hostname.len() + roots + ADDRESS * (service.addresses.len() + service.endpoints.len())
        }
        TargetKind::Url(url) => {
            let roots = url.roots_pem.as_ref().map_or(0, String::len);
            url.url.len() + roots + ADDRESS * url.scope.networks.len()
        }
        TargetKind::Dns(dns) => dns.name.len(),
    };
    let control = |control: &Control| control.pod.len() + ADDRESS * (2 + control.proves.len());
    let controls: usize = target.controls.iter().map(control).sum();
    let path = target.http.as_ref().map_or(0, |http| http.path.len());
    FIXED + key.check.len() + key.target.len() + kind + controls + path
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv6Addr, SocketAddr};
    use std::time::Duration;

    use ipnet::IpNet;
    use peerwalk_model::plan::{
        DialScope, HttpMethod, HttpRequest, Plan, Retries, ServiceTarget, ServiceTls, UrlTarget,
    };
    use peerwalk_wire::{FromHub, PlanDelta, limits};

    use super::*;
    use crate::settings::{Allow, ROOTS_BYTES};

    fn ip(n: usize) -> IpAddr {
        IpAddr::V6(Ipv6Addr::from(u128::MAX - n as u128))
    }

    fn key(n: usize) -> TargetKey {
        TargetKey { check: format!("{:a<253}", n / 64), target: format!("{:b<63}", n % 64) }
    }

    /// As large as the API and the protocol let a target be.
    fn largest(kind: TargetKind, path: usize, proves: usize) -> PlannedTarget {
        let long = Duration::from_hours(1);
        PlannedTarget {
            kind,
            http: Some(HttpRequest { method: HttpMethod::Get, path: "/".repeat(path), status_below: 600 }),
            connect_timeout: long,
            total_timeout: long,
            interval: long,
            retries: Retries { attempts: u32::MAX, backoff: long, max_backoff: long },
            controls: (0..4)
                .map(|n| Control {
                    pod: "p".repeat(317),
                    address: SocketAddr::new(ip(n), u16::MAX),
                    proves: (0..proves).map(ip).collect(),
                })
                .collect(),
        }
    }

    fn service(roots: Option<usize>) -> PlannedTarget {
        let service = ServiceTarget {
            hostname: "h".repeat(253),
            port: u16::MAX,
            addresses: vec![ip(0), ip(1)],
            endpoints: (0..16).map(|n| SocketAddr::new(ip(n), u16::MAX)).collect(),
            tls: roots.map(|roots| ServiceTls { roots_pem: Some("r".repeat(roots)) }),
        };
        // Each of its endpoints is proven by one control.
        largest(TargetKind::Service(service), 1024, 16 / 4)
    }

    fn url(roots: usize) -> PlannedTarget {
        let networks = (0..Allow::MOST).map(|n| IpNet::from(ip(n))).collect();
        let url = UrlTarget {
            url: format!("https://{}", "u".repeat(2040)),
            roots_pem: Some("r".repeat(roots)),
            scope: DialScope { networks, any_address: true },
        };
        largest(TargetKind::Url(url), 2048, PROVES)
    }

    fn encode(targets: BTreeMap<TargetKey, PlannedTarget>) -> usize {
        let plan = Plan { generation: u64::MAX, targets };
        let frame = FromHub::PlanDelta(PlanDelta::whole(&plan)).encode();
        frame.expect("the plan breaks no limit").len()
    }

    #[test]
    fn the_largest_plans_are_within_the_limits_of_the_protocol() {
        for (about, target, fits) in [
            ("Services, limited by their number", service(None), TARGETS),
            ("Services with roots, limited by their bytes", service(Some(ROOTS_BYTES)), 40),
            ("URLs without roots, limited by their bytes", url(0), 190),
            ("URLs with roots, limited by their bytes", url(ROOTS_BYTES), 40),
        ] {
            let targets = (0..600).map(|n| (key(n), target.clone())).collect();
            let (fitting, surplus) = fit(targets);
            assert_eq!(fitting.len() + surplus.len(), 600, "{about}: none is forgotten");
            assert!(fitting.len() >= fits, "{about}: {} fit", fitting.len());
            encode(fitting);
        }
    }

    #[test]
    fn a_target_is_never_larger_than_estimated() {
        for target in [service(None), service(Some(ROOTS_BYTES)), url(0), url(ROOTS_BYTES)] {
            let real = encode(BTreeMap::from([(key(0), target.clone())]));
            let estimated = encoded(&key(0), &target);
            assert!(real <= estimated, "{real} bytes, estimated {estimated}");
        }
    }

    #[test]
    fn the_limits_are_those_of_the_protocol() {
        assert_eq!(TARGETS, limits::TARGETS);
        assert_eq!(PROVES, limits::ENDPOINTS);
        assert_eq!(Allow::MOST, limits::NETWORKS);
        assert_eq!(ROOTS_BYTES, limits::ROOTS_BYTES);
        assert_eq!(PLAN_BYTES, limits::HUB_FRAME_BYTES - 256 * 1024);
    }
}
