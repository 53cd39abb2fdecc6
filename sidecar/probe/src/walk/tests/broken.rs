//! Walks past addresses that fail for long: their breakers, over whole walks on a clock that stands still.

use std::collections::BTreeSet;

use peerwalk_model::evidence::{Breaker, finding};

use super::*;

async fn steady(prober: &Prober, target: &PlannedTarget) -> Walk {
    prober.walk(key(), target, 1, Trigger::Interval, |_| {}).await
}

fn breakers(walk: &Walk) -> Vec<Breaker> {
    walk.connect.as_ref().unwrap().breakers.clone()
}

/// The source ports of the dials of an address: the same ones are dials of before.
fn ports(walk: &Walk, remote: SocketAddr) -> BTreeSet<u16> {
    let dials = walk.connect.iter().flat_map(|connect| &connect.dials);
    dials
        .filter(|dial| dial.remote == remote)
        .filter_map(|dial| dial.local)
        .map(|local| local.port())
        .collect()
}

async fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn an_address_that_fails_for_long_is_dialled_less_and_told_as_before() {
    let closed = closed_port().await;
    let (prober, _file) = prober("", vec![], DialRules::Anything);
    let target = target(url(format!("tcp://{closed}"), None), None);
    tokio::time::pause();
    let mut last = steady(&prober, &target).await;
    for n in 2..=5 {
        let walk = steady(&prober, &target).await;
        assert!(ports(&walk, closed).is_disjoint(&ports(&last, closed)), "walk {n} dials");
        last = walk;
    }
    let breaker = |open, failures| vec![Breaker { remote: closed, open, failures }];
    assert_eq!(breakers(&last), breaker(false, 5), "the fifth opens it");
    assert_eq!(prober.sockets().breakers, 1);
    let open = steady(&prober, &target).await;
    assert_eq!(open.connect.as_ref().unwrap().dials, last.connect.as_ref().unwrap().dials, "told as before");
    assert_eq!(breakers(&open), breaker(true, 5));
    assert_eq!(finding(&open), finding(&last), "of the same run");
    // Half-open after the back-off, and open again for longer.
    for (wait, failures) in [(10, 6), (20, 7), (50, 8), (50, 9)] {
        tokio::time::advance(Duration::from_secs(wait)).await;
        let walk = steady(&prober, &target).await;
        assert!(ports(&walk, closed).is_disjoint(&ports(&last, closed)), "dialled after {wait} s");
        assert_eq!(breakers(&walk), breaker(false, failures));
        last = walk;
    }
    assert_eq!(ports(&steady(&prober, &target).await, closed), ports(&last, closed), "and open again");
    // It recovers: an event notices at once.
    let _listener = TcpListener::bind(closed).await.unwrap();
    let walk = walk(&prober, &target).await;
    assert_eq!(outcomes(&walk)[0].2, CONNECTED);
    assert_eq!(
        (breakers(&walk), prober.sockets()),
        (vec![], Sockets::default()),
        "closed, and nothing is left"
    );
}

#[tokio::test]
async fn a_recovery_is_noticed_within_the_longest_back_off() {
    let closed = closed_port().await;
    let (prober, _file) = prober("", vec![], DialRules::Anything);
    let target = target(url(format!("tcp://{closed}"), None), None);
    tokio::time::pause();
    for _ in 0..5 {
        steady(&prober, &target).await;
    }
    for _ in 0..3 {
        tokio::time::advance(Duration::from_secs(50)).await;
        steady(&prober, &target).await;
    }
    let _listener = TcpListener::bind(closed).await.unwrap();
    assert_ne!(outcomes(&steady(&prober, &target).await)[0].2, CONNECTED, "open");
    tokio::time::advance(Duration::from_secs(50)).await;
    let walk = steady(&prober, &target).await;
    assert_eq!((outcomes(&walk)[0].2.clone(), breakers(&walk)), (CONNECTED, vec![]));
}

#[tokio::test]
async fn walks_go_on_with_the_endpoints_that_are_left() {
    let server = http_server(&[200]).await;
    let (one, other) = (closed_port().await, closed_port().await);
    let (prober, _file) = prober("127.0.0.1 catalog.shop.svc\n", vec![], DialRules::Anything);
    let service = ServiceTarget {
        hostname: "catalog.shop.svc".into(),
        port: server.port(),
        addresses: vec![server.ip()],
        endpoints: vec![one, other, server],
        tls: None,
    };
    let target = target(TargetKind::Service(service), Some("/"));
    tokio::time::pause();
    let mut dialled = [one, other].map(|_| BTreeSet::new());
    for n in 0..40 {
        let walk = steady(&prober, &target).await;
        assert_eq!(status(&walk), Some(RequestOutcome::Status(200)), "walk {n} goes on");
        for (remote, dialled) in [one, other].into_iter().zip(&mut dialled) {
            dialled.extend(ports(&walk, remote));
        }
        tokio::time::advance(Duration::from_secs(10)).await;
    }
    assert_eq!(prober.sockets().breakers, 2);
    for dialled in dialled {
        // Each of 40 walks would take two ports: a reset is repeated.
        assert!((10..=44).contains(&dialled.len()), "dialled, and less: {}", dialled.len());
    }
}
