//! Why no rule of a policy matches.

use super::*;
use crate::fixture::*;

#[test]
fn mismatches() {
    let mut db = pod("ledger", "db", "10.244.2.8");
    db.named_ports = vec![named_port("db", 5433, false)];
    let flow = flow(at(pod("shop", "web", "10.244.1.7")), at(db));
    let web = || pods(Some("shop"), "web");
    let table = [
        (vec![], Some(Mismatch::NoRules)),
        (vec![rule([pods(None, "web")], [])], Some(Mismatch::Peer)),
        (vec![rule([pods(None, "web")], [tcp(80)])], Some(Mismatch::Peer)),
        (vec![rule([web()], [tcp(80)]), rule([pods(None, "web")], [])], Some(Mismatch::Port)),
        (vec![rule([web()], [named("db")]), rule([], [named("http")])], Some(Mismatch::NamedPort)),
        (vec![rule([web()], [named("db"), tcp(80)])], Some(Mismatch::Port)),
        (vec![rule([web()], [named("db")]), rule([web()], [])], None),
    ];
    for (rules, expected) in table {
        let decision = decide([policy("ledger", "db", Some(rules.clone()), None)], &flow);
        assert_eq!(decision.ingress.steps[0].mismatch(), expected, "{rules:?}");
    }
}
