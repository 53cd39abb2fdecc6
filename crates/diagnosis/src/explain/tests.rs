//! The shape of an explanation.

use std::time::Duration;

use peerwalk_model::evidence::{Connect, Dial, DialOutcome, DialPurpose, Resolve, ResolveSource, Trigger};
use peerwalk_model::{Because, Confidence, Observed, Reason, Stage, TargetKey, Timestamp};

use super::*;

fn walk() -> Walk {
    let key = TargetKey { check: "shop".into(), target: "db".into() };
    let mut walk = Walk::begin(key, 1, Trigger::Interval, Timestamp::from_millis(0));
    walk.resolve = Some(Resolve {
        name: "postgres.ledger.svc".into(),
        source: ResolveSource::Dns,
        answered: None,
        addresses: vec!["10.96.3.7".parse().unwrap()],
        queries: Vec::new(),
        elapsed: Duration::from_micros(2_100),
        spent: false,
        pair: None,
    });
    walk.connect = Some(Connect {
        dials: vec![Dial {
            protocol: peerwalk_model::Protocol::Tcp,
            mss: None,
            purpose: DialPurpose::Endpoint,
            remote: "10.244.1.8:5432".parse().unwrap(),
            local: None,
            started: Timestamp::from_millis(0),
            elapsed: Duration::from_millis(1_240),
            retransmits: 1,
            outcome: DialOutcome::Silent,
        }],
        ..Connect::default()
    });
    walk
}

#[test]
fn a_verdict_prints_as_a_walk() {
    let verdict = Verdict {
        observed: Observed::Denied,
        reason: Some(Reason::PolicyDenied),
        stage: Stage::Connect,
        confidence: Confidence::Confirmed,
        policy: None,
        because: vec![
            Because::new(Topic::Resolve, "postgres.ledger.svc → 10.96.3.7"),
            Because::new(Topic::Connect, "10.96.3.7:5432 and 10.244.1.8:5432: no answer from 8 source ports"),
            Because::new(Topic::Connect, "10.244.1.9:5432: connected"),
            Because::new(
                Topic::Policy,
                "ingress to ledger/postgres-0 is isolated by NetworkPolicy ledger/default-deny",
            ),
        ],
    };
    let text = explain("shop/web-7c9", "ledger/postgres:5432", &verdict, Some(&walk()));
    assert_eq!(
        text,
        "shop/web-7c9 → ledger/postgres:5432   PolicyDenied (confirmed)\n  \
         resolve   postgres.ledger.svc → 10.96.3.7                                           2 ms\n  \
         connect   10.96.3.7:5432 and 10.244.1.8:5432: no answer from 8 source ports         1.2 s\n  \
         connect   10.244.1.9:5432: connected\n  \
         policy    ingress to ledger/postgres-0 is isolated by NetworkPolicy ledger/default-deny\n"
    );
}

#[test]
fn without_a_reason_the_observation_is_the_word() {
    let verdict = Verdict {
        observed: Observed::Reachable,
        reason: None,
        confidence: Confidence::Confirmed,
        ..Verdict::unknown(Reason::Probing, Stage::Connect, Vec::new())
    };
    assert_eq!(explain("a/b", "c", &verdict, None), "a/b → c   Reachable (confirmed)\n");
}

#[test]
fn times_are_short() {
    for (micros, expected) in [(300, "0.3 ms"), (2_900, "2 ms"), (1_240_000, "1.2 s")] {
        assert_eq!(human(Duration::from_micros(micros)), expected);
    }
}
