//! Limits of time that lie within what a target takes to answer. Health first, latency second: nothing here speaks
//! where a filter, a policy or a target that is gone would look the same.

use std::time::Duration;

use peerwalk_model::evidence::{AfterConnect, DialOutcome, DialPurpose, RequestOutcome, TlsOutcome};
use peerwalk_model::verdict::Topic;
use peerwalk_model::{Because, Confidence, Reason, Stage, Verdict};

use super::connect::{self, interceptor, unasked};
use super::{after, unreachable};
use crate::address::{Address, Answer};
use crate::facts::{Latency, Quantiles};
use crate::life::{Life, life};
use crate::view::View;

/// So many walks that passed tell how long a target takes.
const SAMPLES: usize = 20;
/// So many failures in a row may be slowness. After that a target has stopped to answer, whatever it took before.
const IN_A_ROW: u32 = 10;
/// What texts round times up to, so that they say the same while a target takes about the same. In milliseconds.
const STEPS: [u64; 11] = [100, 250, 500, 1000, 2000, 5000, 10_000, 20_000, 30_000, 60_000, 120_000];
/// The longest time that one walk may be given.
const LONGEST: u64 = 60_000;

/// A limit, and what was measured of the time that it limits.
#[derive(Clone, Copy)]
struct Limited {
    /// Its name in a check.
    field: &'static str,
    /// What it limits, in words.
    what: &'static str,
    limit: Duration,
    took: Quantiles,
}

/// A connection that got no answer in time, from a target that lives and whose connections take long. Eight ports
/// without an answer are silence, however slow the target was before.
pub(super) fn connecting(view: &View) -> Option<Verdict> {
    let limited = reached(connections(known(view)?))?;
    let failing = connect::failing(view);
    let alive = |address: &&Address| matches!(life(view, address), Life::Heard(_));
    // What the Service's own address answers is the endpoints' too, whichever of them tell what failed.
    let only_late = |address: &Address| address.answer == Answer::Silent && !address.silence.is_complete();
    let late = view.tried().chain(view.service_addresses()).all(only_late);
    if failing.is_empty() || !failing.iter().all(alive) || !late || !may_be_slow(view) || something_came(view)
    {
        return None;
    }
    let mut verdict = connect::silent(view)?;
    if !matches!(verdict.reason, Some(Reason::ConnectTimeout | Reason::Dropped)) {
        // There is another explanation of the silence.
        return None;
    }
    verdict.reason = Some(Reason::SlowResponse);
    verdict.confidence = verdict.confidence.min(Confidence::Likely);
    verdict.because.extend(measured(view, limited));
    Some(verdict)
}

/// Whether any dial got an answer or an ICMP error, even one that ends no attempt.
fn something_came(view: &View) -> bool {
    let mut dials = view.walk.connect.iter().flat_map(|connect| &connect.dials);
    dials.any(|dial| match &dial.outcome {
        DialOutcome::Failed { queue, .. } => dial.purpose != DialPurpose::Control && !queue.is_empty(),
        DialOutcome::Connected { .. } | DialOutcome::Answered { .. } => dial.purpose != DialPurpose::Control,
        DialOutcome::Silent | DialOutcome::NotAllowed | DialOutcome::Skipped => false,
    })
}

/// A connection that was made, and no answer over it in time, from a target whose answers take long.
pub(super) fn answering(view: &View) -> Option<Verdict> {
    let stage = late(view)?;
    let limited = reached(walks(known(view)?))?;
    if !view.connects() || interceptor(view).is_some() || unasked(view).is_some() || !may_be_slow(view) {
        return None;
    }
    // What the network does to segments is not the target's slowness, and whatever else the connection tells goes first.
    if view.walk.after.as_ref().is_some_and(is_stuck) || after::tells(view) {
        return None;
    }
    Some(unreachable(Reason::SlowResponse, stage, Confidence::Likely, measured(view, limited)))
}

/// What is said of an answer that did not come where it came late before, and slowness is no explanation any more.
pub(super) fn stopped(view: &View) -> Option<Because> {
    late(view)?;
    reached(walks(known(view)?))?;
    if view.pair.consecutive <= IN_A_ROW {
        return None;
    }
    let text = "its answers have taken much of the time that one walk may take, and none has come for many walks: \
                whether it still answers, a longer timeouts.total would tell";
    Some(Because::new(Topic::Missing, text))
}

/// A limit that a target has kept so far, and not by much.
pub(super) fn warning(view: &View) -> Option<Because> {
    let latency = known(view)?;
    let limited = reached(walks(latency)).or_else(|| reached(connections(latency)))?;
    let text = format!("{}: slower ones fail, {}", taken(view, limited)?, advice(limited));
    Some(Because::new(Topic::Missing, text))
}

/// The stage that ran out of time; `None` where none did.
pub(super) fn late(view: &View) -> Option<Stage> {
    if view.walk.interim {
        return None;
    }
    let tls = view.walk.tls.as_ref().map(|tls| &tls.outcome);
    let request = view.walk.request.as_ref().map(|request| &request.outcome);
    match (tls, request) {
        (Some(TlsOutcome::Timeout), _) => Some(Stage::Tls),
        (None | Some(TlsOutcome::Established), Some(RequestOutcome::NoResponse)) => Some(Stage::Request),
        _ => None,
    }
}

/// Whether nothing known explains the failure otherwise: the prober's own trouble, a policy, a change of the Service,
/// and a target that has not answered for long.
fn may_be_slow(view: &View) -> bool {
    !view.walk.interim
        && view.walk.strain.is_none()
        && view.pair.consecutive <= IN_A_ROW
        && view.decisions().all(peerwalk_netpol::Decision::is_allowed)
        && !view.service_changed()
}

/// Data that was not acknowledged or that the peer does not take, and an answer over small segments.
fn is_stuck(after: &AfterConnect) -> bool {
    after.connection.retransmits > 0
        || after.connection.peer_window == Some(0)
        || after.small_segments.is_some_and(|small| small.answered)
}

fn known<'a>(view: &View<'a>) -> Option<&'a Latency> {
    view.facts.latency.as_ref().filter(|latency| latency.samples >= SAMPLES)
}

fn connections(latency: &Latency) -> Limited {
    let (limit, took) = (latency.connect_limit, latency.connect);
    Limited { field: "timeouts.connect", what: "connections", limit, took }
}

fn walks(latency: &Latency) -> Limited {
    let (limit, took) = (latency.whole_limit, latency.whole);
    Limited { field: "timeouts.total", what: "walks", limit, took }
}

/// The limit, where one in a hundred takes half of it or more: what is slower still was never measured.
fn reached(limited: Limited) -> Option<Limited> {
    (limited.took.p99 * 2 >= limited.limit).then_some(limited)
}

/// The measured times and what to set, in the words of a check.
fn measured(view: &View, limited: Limited) -> Vec<Because> {
    let Some(taken) = taken(view, limited) else { return Vec::new() };
    let mut lines = vec![Because::new(Topic::Request, format!("no answer in time; {taken}"))];
    lines.push(Because::new(Topic::Fix, advice(limited)));
    lines
}

fn taken(view: &View, limited: Limited) -> Option<String> {
    let Limited { what, field, limit, took } = limited;
    let of =
        [500, 200, 100, 50, SAMPLES].into_iter().find(|of| known(view).is_some_and(|l| l.samples >= *of))?;
    let (half, most) = (step(took.p50), step(took.p99));
    Some(format!(
        "of at least {of} {what} that passed, half took up to {half} and 99 of 100 up to {most}, and {field} is {}",
        written(millis(limit))
    ))
}

/// What would be long enough for twice of what nearly all take.
fn advice(limited: Limited) -> String {
    let Limited { field, limit, took, .. } = limited;
    let (enough, limit) = (millis(took.p99).saturating_mul(2), millis(limit));
    match STEPS.into_iter().find(|step| *step >= enough && *step > limit && *step <= LONGEST) {
        Some(step) => {
            format!("give it more time with {field} of at least {}, or make the target faster", written(step))
        }
        None => format!("{field} cannot be much longer: make the target faster"),
    }
}

/// A time rounded up to a step, in the words of a check.
fn step(time: Duration) -> String {
    let time = millis(time);
    written(STEPS.into_iter().find(|step| *step >= time).unwrap_or(time))
}

fn written(ms: u64) -> String {
    if ms > 0 && ms.is_multiple_of(1000) { format!("{}s", ms / 1000) } else { format!("{ms}ms") }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(p99: u64, limit: u64) -> Limited {
        let took = Quantiles { p50: Duration::from_millis(10), p99: Duration::from_millis(p99) };
        let latency =
            Latency { whole: took, whole_limit: Duration::from_millis(limit), ..Latency::default() };
        walks(&latency)
    }

    #[test]
    fn half_of_a_limit_is_within_what_a_target_takes() {
        for (p99, limit, expected) in [
            (1500, 3000, true),
            (1499, 3000, false),
            (2900, 3000, true),
            (0, 3000, false),
            (5000, 3000, true),
        ] {
            assert_eq!(reached(total(p99, limit)).is_some(), expected, "{p99} of {limit}");
        }
    }

    #[test]
    fn what_is_advised_is_longer_than_the_limit_and_admitted() {
        for (p99, limit, expected) in [
            (1500, 3000, Some("5s")),
            (2600, 3000, Some("10s")),
            (1000, 2000, Some("5s")),
            (60, 100, Some("250ms")),
            (9000, 10_000, Some("20s")),
            (16_000, 30_000, Some("60s")),
            (30_000, 60_000, None),
            (55_000, 60_000, None),
        ] {
            let said = advice(total(p99, limit));
            let named =
                expected.is_none_or(|step| said.contains(&format!("timeouts.total of at least {step},")));
            assert!(
                named && said.contains("cannot be much longer") == expected.is_none(),
                "{p99} of {limit}: {said}"
            );
        }
    }

    #[test]
    fn what_the_network_does_to_segments_is_not_slowness() {
        use peerwalk_model::evidence::{Connection, SmallSegments};
        let after = |connection| AfterConnect { connection, small_segments: None };
        let small = |answered| AfterConnect {
            small_segments: Some(SmallSegments { mss: 536, answered }),
            ..after(Connection::default())
        };
        for (about, after, stuck) in [
            ("all is acknowledged", after(Connection::default()), false),
            ("data is sent again", after(Connection { retransmits: 2, ..Connection::default() }), true),
            (
                "the peer does not read",
                after(Connection { peer_window: Some(0), ..Connection::default() }),
                true,
            ),
            ("small segments pass", small(true), true),
            ("small segments do not pass either", small(false), false),
        ] {
            assert_eq!(is_stuck(&after), stuck, "{about}");
        }
    }

    #[test]
    fn times_are_rounded_up() {
        for (ms, expected) in
            [(0, "100ms"), (101, "250ms"), (501, "1s"), (2000, "2s"), (61_000, "120s"), (200_500, "200500ms")]
        {
            assert_eq!(step(Duration::from_millis(ms)), expected);
        }
    }
}
