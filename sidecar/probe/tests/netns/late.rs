//! Answers that come later than a walk hopes for. A path that drops for a moment is as good as a long one: the SYN
//! that is sent again after a second gets through.

use std::io::{Read as _, Write as _};

use super::*;

/// Until a path that drops is opened: later than a walk without patience gives up, and well before the SYN is sent
/// again.
const CLOSED: Duration = Duration::from_millis(600);

/// When a SYN has been sent again (after a second, RFC 6298) and was answered.
const RESENT: Duration = Duration::from_millis(1100);

/// Walks a target while the path is closed, and opened a little later.
fn walked_while_opening(lab: &Lab, prober: &Prober, target: &PlannedTarget) -> Walk {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(CLOSED);
            lab.forward("");
        });
        walks(lab, prober, target).pop().unwrap()
    })
}

fn connects(dial: &Dial) -> bool {
    matches!(dial.outcome, DialOutcome::Connected { .. })
}

#[test]
fn a_slow_answer_ends_a_remembered_refusal() {
    let Some(lab) = Lab::new() else { return };
    let _listeners = lab.listen(At::Server, &[82]);
    let (prober, target) = (Prober::new(Environment::default()), tcp(at(SERVER[0], 82)));
    lab.forward("tcp dport 82 reject with icmpx admin-prohibited");
    let refusal = refused(Some((3, 13, NODE[0])), 113);
    assert_eq!(dials(&walks(&lab, &prober, &target)[0], DialPurpose::Address)[0].outcome, refusal);
    lab.forward("tcp dport 82 drop");
    let found = dials(&walked_while_opening(&lab, &prober, &target), DialPurpose::Address);
    // Of those that began last the SYN is sent again as the walk ends: whoever waits for the answer has it.
    let in_time = |dial: &Dial| connects(dial) || dial.elapsed < RESENT;
    assert!(connects(&found[0]) && found.iter().all(in_time), "not within 50 ms, but it connects: {found:?}");
    assert!(found.iter().all(|dial| dial.outcome != refusal), "the refusal is over: {found:?}");
}

#[test]
fn a_slow_answer_ends_proven_silence() {
    let Some(lab) = Lab::new() else { return };
    let _listeners = lab.listen(At::Server, &[80, 81]);
    lab.forward("tcp dport 81 drop");
    let target = with_control(tcp(at(SERVER[0], 81)), at(SERVER[0], 80));
    let prober = Prober::new(Environment::default());
    let silent = dials(walks(&lab, &prober, &target).last().unwrap(), DialPurpose::Address);
    assert_eq!(silent.len(), 8, "a proof of silence: {silent:?}");
    let walk = walked_while_opening(&lab, &prober, &target);
    let found = dials(&walk, DialPurpose::Address);
    assert!(found.iter().any(connects), "it connects, though not within 300 ms: {found:?}");
    assert!(found.iter().all(|dial| dial.started >= walk.started), "the proof is over: {found:?}");
}

#[test]
fn an_answer_that_comes_while_a_diagnosis_is_waited_for_is_seen_when_it_comes() {
    let Some(lab) = Lab::new() else { return };
    let _listeners = lab.listen(At::Server, &[81]);
    lab.forward("tcp dport {81, 82} drop");
    let prober = Prober::new(Environment::default());
    // Nothing proves the path of the first: it is diagnosed for as long as that takes.
    let (silent, slow) = (tcp(at(SERVER[0], 82)), tcp(at(SERVER[0], 81)));
    let (diagnosed, waited) = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(CLOSED);
            lab.forward("tcp dport 82 drop");
        });
        in_client(&lab, async {
            // An interim report tells that the diagnosis is under way.
            let under_way = tokio::sync::Notify::new();
            let waiting = async {
                under_way.notified().await;
                prober.walk(key("slow"), &slow, 1, Trigger::Event, |_| {}).await
            };
            let report = |_| under_way.notify_one();
            tokio::join!(prober.walk(key("silent"), &silent, 1, Trigger::Event, report), waiting)
        })
    });
    let found = dials(&waited, DialPurpose::Address);
    let [answered] = &found[..] else { panic!("no diagnosis of its own: {found:?}") };
    assert!(connects(answered), "{answered:?}");
    let after = answered.started.since(diagnosed.started) + answered.elapsed;
    let diagnosis = diagnosed.ended.since(diagnosed.started);
    assert!(after < diagnosis, "after {after:?}, while the other's {diagnosis:?} were not over");
}

#[test]
fn a_request_has_its_time_after_a_diagnosis() {
    let Some(lab) = Lab::new() else { return };
    let listener = lab.listen(At::Server, &[80]).pop().unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut head = [0; 1024];
            if stream.read(&mut head).is_ok_and(|length| length > 0) {
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
            }
        }
    });
    // Of the two families one is silent, and diagnosed for longer than the walk has time in all.
    lab.forward("meta nfproto ipv6 tcp dport 80 drop");
    let hosts = hosts_file(&format!("{} db.test\n{} db.test\n", SERVER[0], SERVER[1]));
    let environment = Environment { hosts: hosts.path().to_owned(), ..Environment::default() };
    let scope = DialScope { networks: vec![], any_address: true };
    let kind = TargetKind::Url(UrlTarget { url: "http://db.test/".into(), roots_pem: None, scope });
    let http = HttpRequest { method: HttpMethod::Head, path: "/".into(), status_below: 500 };
    let target =
        PlannedTarget { http: Some(http), total_timeout: Duration::from_millis(500), ..target(kind) };
    let walk = walks(&lab, &Prober::new(environment), &target).pop().unwrap();
    let silent = dials(&walk, DialPurpose::Address).into_iter().filter(|dial| !connects(dial)).count();
    assert_eq!(silent, 8, "there was a diagnosis: {walk:#?}");
    assert_eq!(walk.request.unwrap().outcome, RequestOutcome::Status(204));
}
