//! What a target says of itself, read as YAML.

use super::*;

fn target(yaml: &str) -> Target {
    serde_saphyr::from_str(&format!("name: t\n{yaml}")).expect("a target")
}

#[test]
fn the_kind_is_the_one_given() {
    let service = target("service: { name: web, port: http }\nhostname: web.shop");
    assert!(matches!(service.kind(), Some(TargetKind::Service(s, Some("web.shop"))) if s.name == "web"));
    let url = target("url: https://example.com");
    assert_eq!(url.kind(), Some(TargetKind::Url("https://example.com", None)));
    let dns = target("dns: { name: example.com, type: AAAA }");
    assert!(matches!(dns.kind(), Some(TargetKind::Dns(d)) if d.record_type == RecordType::Aaaa));
    assert_eq!(target("expect: Denied").kind(), None, "no kind is given");
    assert_eq!(target("url: http://a\ndns: { name: a }").kind(), None, "two kinds are given");
}

#[test]
fn a_service_is_of_the_checks_namespace_unless_it_says_otherwise() {
    let own = target("service: { name: web, port: 80 }").service.expect("a service");
    assert_eq!((own.namespace_or("shop"), own.default_hostname("shop").as_str()), ("shop", "web.shop.svc"));
    let other = target("service: { name: db, namespace: ledger, port: 80 }").service.expect("a service");
    assert_eq!(
        (other.namespace_or("shop"), other.default_hostname("shop").as_str()),
        ("ledger", "db.ledger.svc")
    );
}

#[test]
fn a_url_implies_a_request_and_a_service_does_not() {
    use plan::HttpMethod::{Get, Head};
    for (yaml, expected) in [
        ("service: { name: web, port: 80 }", None),
        ("dns: { name: web }", None),
        ("service: { name: web, port: 80 }\nhttp: {}", Some((Head, "/", 500))),
        (
            "service: { name: web, port: 80 }\nhttp: { path: /healthz, method: GET, statusBelow: 300 }",
            Some((Get, "/healthz", 300)),
        ),
        ("url: http://example.com", Some((Head, "/", 500))),
        ("url: http://example.com?a=b", Some((Head, "/?a=b", 500))),
        ("url: http://[::1]:80/x?y=/z\nhttp: { method: GET }", Some((Get, "/x?y=/z", 500))),
    ] {
        let request = target(yaml).http_request();
        let got = request.as_ref().map(|r| (r.method, r.path.as_str(), r.status_below));
        assert_eq!(got, expected, "the request of {yaml}");
    }
}
