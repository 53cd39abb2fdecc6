//! What a witness is asked, and which dials bear a mark that a peer may know them by.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt as _};
use peerwalk_model::peer::{Saw, Tuple};
use peerwalk_probe::{Peer, Witness};

use super::*;

/// Looks in the probe's own namespace for the sockets of the dials it is asked about.
#[derive(Debug, Default)]
struct Looking(Mutex<Vec<(Vec<Dial>, Saw)>>);

impl Witness for Looking {
    fn ask(&self, dials: Vec<Dial>) -> BoxFuture<'_, ()> {
        let own = |dial: &Dial| Tuple { source: dial.remote, destination: dial.local.unwrap(), mss: None };
        let tuples: Vec<Tuple> = dials.iter().map(own).collect();
        let saw = Peer::new(vec![]).look(&tuples).unwrap();
        self.0.lock().unwrap().push((dials, saw));
        async {}.boxed()
    }
}

fn asked(lab: &Lab, target: &PlannedTarget) -> (Walk, Vec<(Vec<Dial>, Saw)>) {
    let witness = Arc::new(Looking::default());
    let prober = Prober::new(Environment::default()).with_witness(Arc::clone(&witness) as _);
    let walk = walks(lab, &prober, target).pop().unwrap();
    let asked = std::mem::take(&mut *witness.0.lock().unwrap());
    (walk, asked)
}

fn states(saw: &Saw) -> Vec<Option<u8>> {
    saw.seen.iter().map(|seen| seen.socket.as_ref().map(|socket| socket.state)).collect()
}

#[test]
fn a_witness_is_asked_while_the_sockets_are_open() {
    let Some(lab) = Lab::new() else { return };
    let _listeners = lab.listen(At::Server, &[80, 81]);
    lab.forward("tcp dport 81 drop");
    for server in SERVER {
        let (_, asked) = asked(&lab, &tcp(at(server, 80)));
        assert_eq!(asked.len(), 1, "at the end of the stage: {asked:?}");
        assert_eq!(states(&asked[0].1), [Some(1)], "ESTABLISHED");
    }
    for server in SERVER {
        let silent = with_control(tcp(at(server, 81)), at(server, 80));
        let (_, asked) = asked(&lab, &silent);
        assert_eq!(asked.len(), 2, "at the suspicion, and at the end: {asked:?}");
        for (dials, saw) in &asked {
            assert!(dials.len() >= 3 && dials.iter().all(|dial| dial.purpose == DialPurpose::Address));
            assert!(states(saw).iter().all(|state| *state == Some(2)), "SYN_SENT: {saw:?}");
        }
        assert_eq!(asked[1].0.len(), 8);
    }
}

#[test]
fn bare_dials_of_services_bear_a_mark_and_those_that_are_spoken_over_do_not() {
    let Some(lab) = Lab::new() else { return };
    let _listeners = lab.listen(At::Server, &[80]);
    let hosts = hosts_file("10.9.2.2 db.ledger.svc\n");
    let environment = Environment { hosts: hosts.path().to_owned(), ..Environment::default() };
    let service = ServiceTarget {
        hostname: "db.ledger.svc".into(),
        port: 80,
        addresses: vec![ip("10.9.2.2")],
        endpoints: vec![at("10.9.2.2", 80)],
        tls: None,
    };
    let http = HttpRequest { method: HttpMethod::Get, path: "/".into(), status_below: 400 };
    for (http, expected) in [(None, [true, true]), (Some(http), [false, true])] {
        let target = PlannedTarget { http, ..target(TargetKind::Service(service.clone())) };
        let walk = walks(&lab, &Prober::new(environment.clone()), &target).pop().unwrap();
        let marked = [DialPurpose::ServiceAddress, DialPurpose::Endpoint].map(|purpose| {
            let found = dials(&walk, purpose);
            assert!(!found.is_empty(), "{purpose:?} is dialled");
            found.iter().all(|dial| dial.mss.is_some_and(|mss| (1000..=1400).contains(&mss)))
        });
        assert_eq!(marked, expected, "with a request: {}", target.speaks());
    }
    let plain = dialled(&lab, &tcp(at(SERVER[0], 80)));
    assert!(plain.iter().all(|dial| dial.mss.is_none()), "nobody is asked about a URL: {plain:?}");
    let (walk, _) = asked(&lab, &tcp(at(SERVER[1], 80)));
    let marked = dials(&walk, DialPurpose::Address);
    assert!(marked.iter().all(|dial| dial.mss.is_some_and(|mss| (1000..=1200).contains(&mss))), "{marked:?}");
}
