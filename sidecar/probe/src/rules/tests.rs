//! What may be dialled, and what never, in every form it can be written in.

use std::net::{Ipv4Addr, Ipv6Addr};

use peerwalk_model::plan::{DialScope, ServiceTarget, UrlTarget};

use super::*;

fn service() -> TargetKind {
    TargetKind::Service(ServiceTarget {
        hostname: "catalog.shop.svc".into(),
        port: 80,
        addresses: vec!["10.96.0.10".parse().unwrap(), "127.0.0.1".parse().unwrap()],
        endpoints: vec!["10.244.0.11:8080".parse().unwrap()],
        tls: None,
    })
}

/// The same Service by a hostname of the check's own.
fn called(hostname: &str) -> TargetKind {
    let TargetKind::Service(service) = service() else { panic!("it is a Service") };
    TargetKind::Service(ServiceTarget { hostname: hostname.into(), ..service })
}

fn url(networks: &[&str], any_address: bool) -> TargetKind {
    let networks = networks.iter().map(|n| n.parse().unwrap()).collect();
    let scope = DialScope { networks, any_address };
    TargetKind::Url(UrlTarget { url: "https://example.com/".into(), roots_pem: None, scope })
}

#[test]
fn a_service_is_its_addresses_and_endpoints_only() {
    for (remote, expected) in [
        ("10.96.0.10:80", true),
        ("10.96.0.10:81", false),
        ("[::ffff:10.96.0.10]:80", true),
        ("10.244.0.11:8080", true),
        ("10.244.0.11:80", false),
        ("10.244.0.12:8080", false),
        ("127.0.0.1:80", false),
    ] {
        let permitted = DialRules::Plan.permitted(remote.parse().unwrap(), &service());
        assert_eq!(permitted, expected, "{remote} for a Service");
    }
}

/// What is never dialled, however it is written.
const NEVER_V4: [&str; 11] = [
    "127.0.0.1",
    "127.255.255.254",
    "169.254.0.1",
    "169.254.169.254",
    "224.0.0.1",
    "239.255.255.255",
    "255.255.255.255",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    "127.0.0.53",
];
const NEVER_TOO: [&str; 16] = [
    "0.0.0.0",
    "0.1.2.3",
    "::",
    "::0.1.2.3",
    "::ffff:0.0.0.0",
    "::ffff:0:0.0.0.0",
    "2002::1",
    "64:ff9b::0.0.0.0",
    "64:ff9b:1::0.0.0.0",
    "64:ff9b:1::0.1.2.3",
    "::1",
    "fe80::1",
    "febf::1",
    "ff02::1",
    "fd00:ec2::254",
    "fd20:ce::254",
];
const FINE_V4: [&str; 6] =
    ["10.244.0.11", "192.0.2.7", "8.8.8.8", "168.63.129.17", "100.100.100.100", "223.255.255.255"];

/// Every IPv6 address that leads to an IPv4 one.
fn forms(v4: &str) -> Vec<Ipv6Addr> {
    let [a, b, c, d] = v4.parse::<Ipv4Addr>().unwrap().octets();
    let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let at = |places: [usize; 4]| {
        let mut octets = Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0).octets();
        for (place, octet) in places.into_iter().zip([a, b, c, d]) {
            octets[place] = octet;
        }
        Ipv6Addr::from(octets)
    };
    vec![
        Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low),
        Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
        Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),
        Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
        Ipv6Addr::new(0x2002, high, low, 7, 0xabcd, 1, 2, 3),
        Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
        Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, high, low),
        Ipv6Addr::new(0x64, 0xff9b, 1, 0xfffe, 0, 0, high, low),
        at([6, 7, 9, 10]),
        at([7, 9, 10, 11]),
        at([9, 10, 11, 12]),
    ]
}

fn everywhere() -> TargetKind {
    url(&["0.0.0.0/0", "::/0"], true)
}

fn control(address: SocketAddr) -> Control {
    Control { pod: "shop/ping".into(), address, proves: Vec::new() }
}

#[test]
fn some_addresses_are_never_dialled() {
    let v4: Vec<IpAddr> = NEVER_V4.map(|ip| ip.parse().unwrap()).to_vec();
    let inside: Vec<IpAddr> = NEVER_V4.iter().flat_map(|ip| forms(ip)).map(IpAddr::V6).collect();
    let too: Vec<IpAddr> = NEVER_TOO.map(|ip| ip.parse().unwrap()).to_vec();
    for ip in [v4, inside, too].concat() {
        let remote = SocketAddr::new(ip, 80);
        assert!(never_dialled(ip), "{ip} is never dialled");
        assert!(!DialRules::Plan.permitted(remote, &everywhere()), "{ip} as a target");
        assert!(!DialRules::Plan.permitted_control(&control(remote)), "{ip} as a control");
        assert!(!DialRules::Plan.permitted_proxy(ip), "{ip} as a proxy");
        assert!(DialRules::Anything.permitted(remote, &url(&[], false)), "a person may dial {ip}");
        assert!(DialRules::Anything.permitted_control(&control(remote)), "{ip} as a person's control");
        assert!(DialRules::Anything.permitted_proxy(ip), "{ip} as a person's proxy");
    }
}

#[test]
fn others_are_dialled_in_every_form() {
    let v4: Vec<IpAddr> = FINE_V4.map(|ip| ip.parse().unwrap()).to_vec();
    let inside = FINE_V4.iter().flat_map(|ip| forms(ip)).map(IpAddr::V6).collect();
    let v6: Vec<IpAddr> =
        ["2001:db8::1", "fd00::254", "64:ff9c::7f00:1"].map(|ip| ip.parse().unwrap()).to_vec();
    for ip in [v4, inside, v6].concat() {
        let remote = SocketAddr::new(ip, 80);
        assert!(!never_dialled(ip), "nothing is wrong with {ip}");
        assert!(DialRules::Plan.permitted(remote, &everywhere()), "{ip} as a target");
        assert!(DialRules::Plan.permitted_control(&control(remote)), "{ip} as a control");
        assert!(DialRules::Plan.permitted_proxy(ip), "{ip} as a proxy");
    }
}

#[test]
fn a_url_stays_in_its_scope() {
    let remote = "192.0.2.7:443".parse().unwrap();
    assert!(DialRules::Plan.permitted(remote, &url(&["192.0.2.0/24"], false)), "inside the network");
    assert!(!DialRules::Plan.permitted(remote, &url(&["198.51.100.0/24"], false)), "outside the network");
    assert!(DialRules::Plan.permitted(remote, &url(&[], true)), "the host is allowed by name");
    for (written, inside) in [
        ("::ffff:192.0.2.7", true),
        ("64:ff9b::192.0.2.7", true),
        // Some host behind the router 192.0.2.7.
        ("2002:c000:207::1", false),
    ] {
        let remote = SocketAddr::new(written.parse().unwrap(), 443);
        let permitted = DialRules::Plan.permitted(remote, &url(&["192.0.2.0/24"], false));
        assert_eq!(permitted, inside, "{written} in 192.0.2.0/24");
    }
}

#[test]
fn a_proxy_is_asked_for_what_may_be_reached() {
    let scoped = || url(&["192.0.2.0/24"], false);
    for (kind, addresses, expected, why) in [
        (service(), &["10.9.9.9"][..], true, "a Service is the cluster's own word"),
        (service(), &[], true, "wherever it leads"),
        (service(), &["169.254.169.254"], false, "but for what nothing may lead to"),
        (called("catalog.example.com"), &["10.96.0.10"], true, "a name of the check's own that leads there"),
        (called("catalog.example.com"), &["10.0.0.9", "10.244.0.11"], true, "or to an endpoint"),
        (called("intranet.example.com"), &["10.0.0.9"], false, "or to another host"),
        (called("intranet.example.com"), &[], false, "a host that only the proxy knows"),
        (called("catalog"), &["10.96.0.10"], true, "a short name"),
        (called("intranet"), &[], false, "a short name that only the proxy knows"),
        (called("catalog.shop.svc.cluster.local"), &["10.96.0.10"], true, "the whole name"),
        (called("catalog.shop.svc.example.com"), &[], false, "a name that looks like one"),
        (scoped(), &["192.0.2.7"], true, "within the scope"),
        (scoped(), &["2001:db8::1", "192.0.2.7"], true, "one way is enough"),
        (scoped(), &["10.0.0.1"], false, "an internal host"),
        (scoped(), &[], false, "a name that only the proxy knows"),
        (scoped(), &["192.0.2.7", "169.254.169.254"], false, "the proxy might choose the other"),
        (url(&[], true), &["10.0.0.1"], true, "any address"),
        (url(&[], true), &[], true, "any name"),
        (url(&[], true), &["fd00:ec2::254"], false, "metadata"),
        (url(&[], true), &["::ffff:127.0.0.1"], false, "the proxy's own host, in other words"),
    ] {
        let addresses: Vec<IpAddr> = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
        let permitted = DialRules::Plan.permitted_through(&addresses, 80, &kind);
        assert_eq!(permitted, expected, "{why}: {addresses:?}");
        assert!(DialRules::Anything.permitted_through(&addresses, 80, &kind), "a person may: {why}");
    }
}
