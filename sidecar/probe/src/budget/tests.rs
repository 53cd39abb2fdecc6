//! No sequence of requests gets more than the budget.

use proptest::prelude::*;

use super::*;

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], 80))
}

#[test]
fn a_burst_passes_and_the_next_waits() {
    let (mut budget, now) = (Budget::default(), Instant::now());
    for n in 0..CONNECT_BURST {
        let remote = address(u8::try_from(n).unwrap());
        assert_eq!(budget.connect(now, remote, Pace::Spaced), Ok(()), "connect {n} of the burst");
    }
    let wait = budget.connect(now, address(200), Pace::Spaced).unwrap_err();
    assert_eq!(wait, Duration::from_millis(250), "one token comes every 250 ms");
    assert_eq!(
        budget.connect(now + wait, address(200), Pace::Spaced),
        Ok(()),
        "after the wait it is granted"
    );
}

#[test]
fn the_same_address_is_spaced_outside_a_diagnosis() {
    let (mut budget, now) = (Budget::default(), Instant::now());
    budget.connect(now, address(1), Pace::Spaced).unwrap();
    assert_eq!(budget.connect(now, address(1), Pace::Spaced), Err(SPACING), "five seconds apart");
    assert_eq!(budget.connect(now, address(1), Pace::Immediate), Ok(()), "a diagnosis needs no distance");
    let later = now + SPACING;
    assert_eq!(budget.connect(later, address(1), Pace::Spaced), Ok(()), "after the distance it is granted");
}

proptest! {
    #[test]
    fn no_plan_exceeds_the_budget(
        requests in prop::collection::vec((0u64..400, 0u8..6, any::<bool>()), 1..600),
    ) {
        let start = Instant::now();
        let (mut budget, mut now) = (Budget::default(), start);
        let mut granted: Vec<(Instant, SocketAddr, bool)> = Vec::new();
        for (pause, host, spaced) in requests {
            now += Duration::from_millis(pause);
            let pace = if spaced { Pace::Spaced } else { Pace::Immediate };
            if budget.connect(now, address(host), pace).is_ok() {
                granted.push((now, address(host), spaced));
            }
        }
        for (first, (begin, ..)) in granted.iter().enumerate() {
            for (last, (end, ..)) in granted.iter().enumerate().skip(first) {
                let most = f64::from(CONNECT_BURST) + (*end - *begin).as_secs_f64() * f64::from(CONNECTS_PER_SECOND);
                #[allow(clippy::cast_precision_loss)]
                let count = (last - first + 1) as f64;
                prop_assert!(count <= most + 1e-6, "{count} connects where at most {most} may be");
            }
        }
        for (n, (at, remote, spaced)) in granted.iter().enumerate() {
            let before = granted[..n].iter().rev().find(|(_, other, _)| other == remote);
            if let (true, Some((earlier, ..))) = (spaced, before) {
                prop_assert!(*at - *earlier >= SPACING, "{remote} was dialled twice within {SPACING:?}");
            }
        }
    }

    #[test]
    fn queries_keep_their_rate(pauses in prop::collection::vec(0u64..300, 1..400)) {
        let (mut budget, mut now, mut granted) = (Budget::default(), Instant::now(), Vec::new());
        for pause in pauses {
            now += Duration::from_millis(pause);
            if budget.query(now).is_ok() {
                granted.push(now);
            }
        }
        for (n, end) in granted.iter().enumerate() {
            let most = f64::from(QUERY_BURST) + (*end - granted[0]).as_secs_f64() * f64::from(QUERIES_PER_SECOND);
            #[allow(clippy::cast_precision_loss)]
            let count = (n + 1) as f64;
            prop_assert!(count <= most + 1e-6, "{count} queries where at most {most} may be");
        }
    }
}
