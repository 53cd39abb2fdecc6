//! Every combination.

use super::*;
use crate::caveat::Caveat;
use crate::fixture::*;

#[test]
fn combinations() {
    let flow = flow(at(pod("shop", "web", "10.244.1.7")), at(pod("ledger", "db", "10.244.2.8")));
    let allowed = decide([], &flow);
    let denied = decide([policy("ledger", "deny", Some(vec![]), None)], &flow);
    let mut undecided = denied.clone();
    undecided.caveats.insert(Caveat::DomainNames);
    let mut doubtful = denied.clone();
    doubtful.caveats.insert(Caveat::EndPort);
    let table: [(&[&Decision], Option<RollUp>); 9] = [
        (&[], None),
        (&[&allowed, &allowed], Some(RollUp::Allowed)),
        (&[&denied], Some(RollUp::Denied)),
        (&[&denied, &doubtful], Some(RollUp::Denied)),
        (&[&allowed, &denied], Some(RollUp::Partial)),
        (&[&undecided], Some(RollUp::Undecided)),
        (&[&undecided, &allowed], Some(RollUp::Undecided)),
        (&[&denied, &undecided], Some(RollUp::Undecided)),
        (&[&denied, &undecided, &allowed], Some(RollUp::Partial)),
    ];
    for (decisions, expected) in table {
        assert_eq!(RollUp::of(decisions.iter().copied()), expected, "{} decisions", decisions.len());
    }
}
