//! The measured tables, and what a container's variables make of a target.

use super::*;
use crate::url::Scheme;

/// The hosts of the measurement, one for each character of a cell.
const HOSTS: [&str; 20] = [
    "catalog",
    "catalog:8080",
    "catalog.shop",
    "catalog.shop.svc",
    "catalog.shop.svc.cluster.local",
    "catalog.shop.svc.cluster.local.",
    "CATALOG.SHOP.SVC",
    "example.com",
    "notexample.com",
    "api.example.com",
    "sub.api.example.com:8080",
    "10.96.0.10",
    "10.96.0.10:8080",
    "10.97.1.1",
    "[fd00:96::10]",
    "localhost",
    "127.0.0.1",
    "127.0.0.5",
    "[::1]",
    "192.168.5.7",
];

/// `http_proxy` set in lower case, `no_proxy` as in the first column; one cell for each client. `P` to the
/// proxy, `C` to the proxy by CONNECT, `d` direct.
const MEASURED: &str = include_str!("measured.txt");

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn url(text: &str) -> TargetUrl {
    TargetUrl::parse(text).unwrap()
}

#[test]
fn every_measured_cell_is_reproduced() {
    let mut rows = 0;
    for line in MEASURED.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> =
            line.trim_matches('|').split('|').map(|c| c.trim().trim_matches('`')).collect();
        let mut set = variables(&[("http_proxy", "http://proxy:3128")]);
        if cells[0] != "(unset)" {
            set.extend(variables(&[("no_proxy", cells[0])]));
        }
        for (dialect, cell) in Dialect::ALL.iter().zip(&cells[1..]) {
            let ours: String = HOSTS
                .iter()
                .map(|host| {
                    let proxied = proxy_for(&url(&format!("http://{host}/")), *dialect, &set).is_some();
                    match (proxied, *dialect) {
                        (false, _) => 'd',
                        (true, Dialect::Undici) => 'C',
                        (true, _) => 'P',
                    }
                })
                .collect();
            assert_eq!(&ours, cell, "no_proxy={:?} with {}", cells[0], dialect.name());
        }
        rows += 1;
    }
    assert_eq!(rows, 13, "every row of the table was read");
}

/// The clients that would use the proxy.
fn users(pairs: &[(&str, &str)], scheme: &str) -> Vec<&'static str> {
    let set = variables(pairs);
    let url = url(&format!("{scheme}://catalog.shop.svc/"));
    Dialect::ALL.iter().filter(|d| proxy_for(&url, **d, &set).is_some()).map(|d| d.name()).collect()
}

#[test]
fn upper_case_alone_is_no_proxy_for_curl_and_wget() {
    let users = users(&[("HTTP_PROXY", "http://p:1")], "http");
    let expected = ["go", "python-requests", "urllib", "httpx", "aiohttp", "axios", "undici", "reqwest"];
    assert_eq!(users, expected);
}

#[test]
fn all_proxy_counts_for_some() {
    let users = users(&[("ALL_PROXY", "http://p:1")], "http");
    assert_eq!(users, ["curl", "libcurl", "python-requests", "httpx", "axios", "reqwest"]);
}

#[test]
fn an_empty_lower_case_variable_switches_off_python_and_undici() {
    let users = users(&[("http_proxy", ""), ("HTTP_PROXY", "http://p:1")], "http");
    assert_eq!(users, ["go", "axios", "reqwest"]);
}

#[test]
fn the_case_that_wins_differs() {
    let set = variables(&[("http_proxy", "http://low:1"), ("HTTP_PROXY", "http://up:1")]);
    for dialect in Dialect::ALL {
        let expected =
            if matches!(dialect, Dialect::Go | Dialect::Reqwest) { "HTTP_PROXY" } else { "http_proxy" };
        let found = proxy_for(&url("http://catalog/"), *dialect, &set);
        assert_eq!(found.map(|(name, _)| name), Some(expected), "{}", dialect.name());
    }
}

#[test]
fn a_cgi_program_does_not_trust_the_upper_case_name() {
    let users = users(&[("REQUEST_METHOD", "GET"), ("HTTP_PROXY", "http://p:1")], "http");
    assert_eq!(users, ["axios", "undici"]);
}

#[test]
fn the_scheme_chooses_the_variable() {
    assert_eq!(users(&[("http_proxy", "http://p:1")], "https"), Vec::<&str>::new());
    assert_eq!(users(&[("https_proxy", "http://p:1")], "https").len(), Dialect::ALL.len());
    let tcp = TargetUrl { scheme: Scheme::Tcp, ..url("http://db:5432/") };
    assert_eq!(proxy_for(&tcp, Dialect::Curl, &variables(&[("all_proxy", "http://p:1")])), None);
}

#[test]
fn a_route_names_variable_proxy_clients_and_entry() {
    let containers = [
        ContainerEnv {
            name: "web".into(),
            variables: variables(&[
                ("HTTP_PROXY", "http://user:secret@proxy.corp:3128/"),
                ("NO_PROXY", "*.svc"),
            ]),
            ..ContainerEnv::default()
        },
        ContainerEnv { name: "agent".into(), not_visible: true, ..ContainerEnv::default() },
    ];
    let route = route(&url("http://catalog.shop.svc/healthz"), &containers);
    assert_eq!(route.not_visible, ["web", "agent"], "web's image may set http_proxy and no_proxy");
    let [found] = &route.proxied[..] else { panic!("one container uses a proxy: {route:?}") };
    assert_eq!((found.container.as_str(), found.variable.as_str()), ("web", "HTTP_PROXY"));
    assert_eq!(found.proxy, "proxy.corp:3128", "no user information");
    assert_eq!((found.scheme.as_str(), found.credentials), ("http", true), "a sign of it");
    assert_eq!(found.exceptions, Some(("NO_PROXY".into(), "*.svc".into())));
    assert_eq!(found.clients, ["python-requests", "urllib", "httpx", "aiohttp", "reqwest"]);
    assert_eq!(found.direct_clients, ["curl", "libcurl", "wget", "go", "axios", "undici"]);
    assert_eq!(found.entry, ".svc");
}

#[test]
fn the_entry_to_add_makes_every_client_go_direct() {
    for (host, expected) in [
        ("catalog.shop.svc", ".svc"),
        ("catalog.shop.svc.cluster.local", ".svc.cluster.local"),
        ("catalog.shop.svc.example.test", "catalog.shop.svc.example.test"),
        ("catalog.shop", "catalog.shop"),
        ("Catalog", "catalog"),
        ("api.example.com", "api.example.com"),
        ("10.96.0.10", "10.96.0.10"),
    ] {
        let target = url(&format!("http://{host}/"));
        assert_eq!(entry(&target.host), expected, "{host}");
        let set = variables(&[("http_proxy", "http://p:1"), ("no_proxy", expected)]);
        for dialect in Dialect::ALL {
            assert_eq!(proxy_for(&target, *dialect, &set), None, "{} goes direct to {host}", dialect.name());
        }
    }
}

/// What a container with these variables makes of the URL.
fn route_of(url_text: &str, pairs: &[(&str, &str)]) -> Route {
    let container =
        ContainerEnv { name: "web".into(), variables: variables(pairs), ..ContainerEnv::default() };
    route(&url(url_text), &[container])
}

#[test]
fn a_scheme_that_is_not_spoken_stays_with_its_proxy() {
    for (value, scheme, proxy, walkable) in [
        ("http://p:1", "http", "p:1", true),
        ("p:1", "http", "p:1", true),
        ("https://p", "https", "p:443", false),
        ("socks5://p", "socks5", "p:1080", false),
    ] {
        let route = route_of("https://example.com/", &[("ALL_PROXY", value)]);
        let [used] = &route.proxied[..] else { panic!("one proxy for {value}: {route:?}") };
        assert_eq!((used.scheme.as_str(), used.proxy.as_str()), (scheme, proxy), "{value}");
        assert_eq!(used.is_walkable(), walkable, "{value}");
    }
}

#[test]
fn clients_that_use_different_proxies_are_told_apart() {
    let set = [("http_proxy", "http://low:1"), ("HTTP_PROXY", "socks5://u:p@up:1"), ("no_proxy", ".svc")];
    let route = route_of("http://example.com/", &set);
    let [low, up] = &route.proxied[..] else { panic!("two proxies: {route:?}") };
    assert_eq!((low.variable.as_str(), low.proxy.as_str(), low.credentials), ("http_proxy", "low:1", false));
    assert_eq!((up.variable.as_str(), up.proxy.as_str(), up.credentials), ("HTTP_PROXY", "up:1", true));
    assert_eq!(up.clients, ["go", "reqwest"]);
    assert_eq!(low.clients.len() + up.clients.len(), Dialect::ALL.len());

    let same = route_of("http://example.com/", &[("http_proxy", "p:1"), ("HTTP_PROXY", "http://u:p@p:1/")]);
    let [one] = &same.proxied[..] else { panic!("one proxy, written in two ways: {same:?}") };
    assert!(one.credentials, "some client has them");
}

#[test]
fn an_image_may_set_what_the_pod_leaves_unset() {
    const PROXY: [(&str, &str); 2] = [("http_proxy", "p:1"), ("HTTP_PROXY", "p:1")];
    const NONE: [(&str, &str); 2] = [("no_proxy", ""), ("NO_PROXY", "localhost")];
    let both = [PROXY, NONE].concat();
    for (target, set, visible) in [
        ("http://catalog.shop.svc/", &both[..], true),
        ("http://catalog.shop.svc/", &both[..3], false),
        ("http://catalog.shop.svc/", &both[1..], false),
        ("https://catalog.shop.svc/", &both[..], true),
        ("http://catalog.shop.svc/", &NONE[..], true),
        ("http://catalog.shop.svc/", &[("all_proxy", "p:1"), NONE[0], NONE[1]], false),
    ] {
        let route = route_of(target, set);
        assert_eq!(route.not_visible.is_empty(), visible, "{target} with {set:?}: {route:?}");
    }
    let own = ContainerEnv { variables: variables(&PROXY), complete: true, ..ContainerEnv::default() };
    let route = route(&url("http://catalog.shop.svc/"), &[own]);
    assert_eq!(route.proxied.len(), 1);
    assert_eq!(route.not_visible, Vec::<String>::new(), "a process sees its own variables");
}
