//! How ends are written.

use super::*;

fn object(kind: Option<&str>, namespace: Option<&str>, name: &str) -> End {
    End::Object {
        kind: kind.map(str::to_owned),
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
    }
}

#[test]
fn ends_are_read_as_people_write_them() {
    let address = |text: &str| End::Address(text.parse().unwrap());
    let host = |text: &str| End::Host(text.to_owned());
    let number = |number| Some(Port::Number(number));
    let table = [
        ("web", object(None, None, "web"), None, None),
        ("shop/web", object(None, Some("shop"), "web"), None, None),
        ("deploy/shop/web", object(Some("Deployment"), Some("shop"), "web"), None, None),
        ("node/n1:10250", object(Some("Node"), None, "n1"), number(10250), None),
        (
            "ledger/postgres:5432/TCP",
            object(None, Some("ledger"), "postgres"),
            number(5432),
            Some(Protocol::Tcp),
        ),
        (
            "kube-system/kube-dns:53/udp",
            object(None, Some("kube-system"), "kube-dns"),
            number(53),
            Some(Protocol::Udp),
        ),
        ("shop/web:http", object(None, Some("shop"), "web"), Some(Port::Name("http".into())), None),
        ("10.0.0.1", address("10.0.0.1"), None, None),
        ("10.0.0.1:443/TCP", address("10.0.0.1"), number(443), Some(Protocol::Tcp)),
        ("fd00::1", address("fd00::1"), None, None),
        ("[fd00::1]:53/UDP", address("fd00::1"), number(53), Some(Protocol::Udp)),
        ("postgres.ledger.svc:5432", host("postgres.ledger.svc"), number(5432), None),
        ("https://api.example.com/v1?x=y", host("api.example.com"), number(443), Some(Protocol::Tcp)),
        ("http://user:secret@web:8080", host("web"), number(8080), Some(Protocol::Tcp)),
        ("udp://10.0.0.1:53", address("10.0.0.1"), number(53), Some(Protocol::Udp)),
        ("https://[fd00::1]/", address("fd00::1"), number(443), Some(Protocol::Tcp)),
    ];
    for (text, end, port, protocol) in table {
        assert_eq!(to(text), Ok(To { end, port, protocol }), "{text}");
    }
}

#[test]
fn what_is_no_end_is_refused_with_the_remedy() {
    let table = [
        ("", Malformed::Empty),
        ("shop/", Malformed::Empty),
        ("a/b/c/d", Malformed::Parts("a/b/c/d".into())),
        ("ingress/shop/web", Malformed::Kind("ingress".into())),
        ("shop/web:0", Malformed::Port("0".into())),
        ("shop/web:70000", Malformed::Port("70000".into())),
        ("10.0.0.1:", Malformed::Port(String::new())),
        ("https://", Malformed::NoHost),
        ("gopher://web", Malformed::Scheme("gopher".into())),
    ];
    for (text, expected) in table {
        assert_eq!(to(text), Err(expected), "{text:?}");
    }
}
