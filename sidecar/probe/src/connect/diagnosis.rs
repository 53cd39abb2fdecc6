//! What to do when an address is silent: more source ports, the other endpoints and the controls in the same
//! window, and time for a retransmission.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use peerwalk_model::evidence::{Connect, DialOutcome, DialPurpose, LocalTrouble};
use peerwalk_model::plan::Control;
use tokio::time::{Instant, sleep_until};

use super::hops::{self, Trace};
use super::{Choice, Dialling, Series, Want};
use crate::budget::Pace;
use crate::socket::{Attempt, Parity};

/// Sockets opened in addition, for eight in all: through a half-dead pair of paths all of them are silent
/// with a probability of 0.4 %.
const MORE_SOCKETS: u32 = 7;
/// Sockets in addition when silence was proven a moment ago: three ports in all make a suspicion.
const RECHECK_SOCKETS: u32 = 2;
/// Between two of them.
const APART: Duration = Duration::from_millis(50);
/// From the first SYN to the interim report.
const SUSPECTED: Duration = Duration::from_millis(300);
/// From the first SYN to its retransmission, at the earliest (the initial RTO, RFC 6298, is a second).
const RETRANSMITTED: Duration = Duration::from_millis(1030);
/// From the first SYN until the hops on the way are asked for: after the sockets, which prove more, and early enough to be
/// answered before the retransmission.
const TRACED: Duration = Duration::from_millis(700);
/// Between two looks for the retransmission.
const LOOK: Duration = Duration::from_millis(25);
/// How long a diagnosis lasts at most. A pod that is gone shows after 3.05 to 3.08 s, when the neighbour
/// lookup of its node has failed; with the 50 ms before, no socket lives longer than 3.5 s.
const LIFE: Duration = Duration::from_millis(3430);

/// A dial to be made.
#[derive(Clone, Copy, Debug)]
struct Planned {
    at: Instant,
    want: Want,
    /// Set for more sockets to a silent address.
    parity: Option<Parity>,
}

struct Diagnosis<'a, 'b> {
    dialling: &'a Dialling<'b>,
    series: &'a mut Series,
    suspects: Vec<SocketAddr>,
    planned: VecDeque<Planned>,
    traces: Vec<Trace>,
    trace_at: Instant,
    first: Instant,
    end: Instant,
}

/// Runs until every socket has an outcome, or until silence is proven as far as it can be. What was left of the
/// walk's time before is left after it, for the request.
pub(super) async fn run(
    dialling: &Dialling<'_>,
    choice: &Choice,
    controls: &[Control],
    series: &mut Series,
    interim: &mut (dyn FnMut(Connect) + Send),
) -> Result<(), LocalTrouble> {
    let left = dialling.allowance.left();
    let done = diagnose(dialling, choice, controls, series, interim).await;
    dialling.allowance.keep(left);
    done
}

async fn diagnose(
    dialling: &Dialling<'_>,
    choice: &Choice,
    controls: &[Control],
    series: &mut Series,
    interim: &mut (dyn FnMut(Connect) + Send),
) -> Result<(), LocalTrouble> {
    if recheck(dialling, choice, series).await? {
        return Ok(());
    }
    // Whatever answers meanwhile has answered then, and not when it is looked at.
    let permit = tokio::select! {
        permit = dialling.gate.diagnosis(dialling.allowance) => permit,
        () = series.settled() => return Ok(()),
    };
    // The diagnosis that was waited for may have proven this silence too.
    if recheck(dialling, choice, series).await? {
        return Ok(());
    }
    let now = Instant::now();
    series.drive(now).await;
    let suspects = suspects(dialling, series, now);
    let Some(first) = series.live().map(Attempt::begun).min() else { return Ok(()) };
    series.diagnosed = permit.is_some();
    if permit.is_none() || suspects.is_empty() {
        // Another diagnosis runs, or a refusal is remembered: silence is not news, and an answer is, however slow.
        drop(permit);
        series.drive((first + dialling.target.connect_timeout).min(dialling.allowance.deadline())).await;
        return Ok(());
    }
    let mut planned = plan(choice, controls, series, &suspects, now);
    // What is known to fail is not asked for more than its breaker lets.
    planned.retain(|planned| {
        let asked = planned.parity.is_none() && planned.want.purpose != DialPurpose::Control;
        !asked || dialling.may_dial(choice, planned.want, series)
    });
    let (traces, end) = (Vec::new(), now + LIFE);
    // A diagnosis that had to wait for others may end with its last socket.
    let trace_at = (first + TRACED).max(now + APART * (MORE_SOCKETS - 2));
    let mut diagnosis = Diagnosis { dialling, series, suspects, planned, traces, trace_at, first, end };
    diagnosis.run(interim).await?;
    let Diagnosis { suspects, traces, .. } = diagnosis;
    hops::end(dialling, traces).await;
    if !dialling.watch.is_starved() {
        dialling.connector.silences.keep(&suspects, &series.dials(), Instant::now());
    }
    Ok(())
}

/// An address whose silence was proven a moment ago is asked with three ports only. Silent again, it is
/// reported with the proof of then: a whole diagnosis in every walk would cost more than the budget of the
/// other targets. It gets the time that the proof took to be one, so that a slow answer counts. Whether that
/// settles the stage.
async fn recheck(
    dialling: &Dialling<'_>,
    choice: &Choice,
    series: &mut Series,
) -> Result<bool, LocalTrouble> {
    let now = Instant::now();
    let suspects = suspects(dialling, series, now);
    if dialling.pace == Pace::Spaced && dialling.connector.breakers.may_open(&suspects) {
        // It is reported for the whole of a back-off then, and has to be young at its beginning.
        return Ok(false);
    }
    let Some(proof) = dialling.connector.silences.recall(&suspects, now, dialling.pace) else {
        return Ok(false);
    };
    for n in 0..RECHECK_SOCKETS {
        for suspect in &suspects {
            let Some(first) = series.live().find(|attempt| attempt.remote() == *suspect) else { continue };
            let even = first.local().map_or(Parity::Even, |local| Parity::of(local.port()));
            let parity = if n % 2 == 0 { even.other() } else { even };
            let purpose = first.purpose();
            let granted = dialling.gate.connect(*suspect, Pace::Immediate, dialling.allowance);
            if !series.during(granted).await {
                return Ok(false);
            }
            series.begin(purpose, *suspect, Some(parity))?;
        }
        series.drive(Instant::now() + APART).await;
    }
    series.drive(now + RETRANSMITTED.min(dialling.target.connect_timeout)).await;
    let answered = |remote| series.attempts().any(|a| a.remote() == remote && a.outcome().is_some());
    if suspects.iter().any(|suspect| answered(*suspect)) {
        return Ok(false);
    }
    let own = dialling.own(choice, proof).into_iter();
    let old: Vec<_> = own.filter(|dial| !answered(dial.remote)).collect();
    for dial in old {
        series.push_done(dial);
    }
    series.diagnosed = true;
    Ok(true)
}

/// The silent address of each family that more sockets are opened to: an endpoint rather than the service
/// address, since only a direct dial shows what a policy does.
fn suspects(dialling: &Dialling<'_>, series: &Series, now: Instant) -> Vec<SocketAddr> {
    let mut found: Vec<SocketAddr> = Vec::new();
    for direct in [true, false] {
        for attempt in series.live() {
            let remote = attempt.remote();
            let is_direct = attempt.purpose() != DialPurpose::ServiceAddress;
            let known = dialling.connector.refusals.explains(remote, now);
            let has_one = found.iter().any(|other| other.is_ipv4() == remote.is_ipv4());
            if is_direct == direct && !known && !has_one {
                found.push(remote);
            }
        }
    }
    found
}

fn plan(
    choice: &Choice,
    controls: &[Control],
    series: &Series,
    suspects: &[SocketAddr],
    now: Instant,
) -> VecDeque<Planned> {
    let mut planned = Vec::new();
    for control in controls {
        let want = Want { purpose: DialPurpose::Control, remote: control.address };
        planned.push(Planned { at: now, want, parity: None });
    }
    for suspect in suspects {
        let Some(silent) = series.live().find(|attempt| attempt.remote() == *suspect) else { continue };
        let want = Want { purpose: silent.purpose(), remote: *suspect };
        let mut parity = silent.local().map_or(Parity::Even, |local| Parity::of(local.port()));
        for n in 0..MORE_SOCKETS {
            parity = parity.other();
            planned.push(Planned { at: now + APART * n, want, parity: Some(parity) });
        }
    }
    // Last at the same moment: when the budget is short, eight ports of one endpoint prove more.
    let offset = APART / 2;
    planned.extend(choice.rest.iter().map(|want| Planned { at: now + offset, want: *want, parity: None }));
    planned.sort_by_key(|planned| planned.at);
    planned.into()
}

impl Diagnosis<'_, '_> {
    async fn run(&mut self, interim: &mut (dyn FnMut(Connect) + Send)) -> Result<(), LocalTrouble> {
        let (mut suspected, mut repeated, mut resent, mut traced) = (false, false, false, false);
        loop {
            self.begin_due()?;
            let now = Instant::now();
            if !resent && now >= self.first + RETRANSMITTED {
                resent = true;
                self.series.resend();
                // What is answered now is not silent.
                self.series.drive(now + LOOK).await;
            }
            if !traced && now >= self.trace_at {
                traced = true;
                let silent = |remote: &SocketAddr| !self.answered(*remote);
                let silent: Vec<SocketAddr> = self.suspects.iter().copied().filter(silent).collect();
                self.traces = hops::begin(self.dialling, &silent);
            }
            let repeating = self.retransmitted();
            let settled = self.planned.is_empty() && repeating && self.path_answers();
            if now >= self.end || settled || (self.planned.is_empty() && self.series.live().next().is_none())
            {
                return Ok(());
            }
            if !suspected && now >= self.first + SUSPECTED {
                suspected = true;
                interim(self.dialling.evidence(self.series));
                // Once more at the end: what grows in between is of now.
                self.dialling.ask(self.series).await;
            }
            if !repeated && repeating {
                // Nothing proves the path, so the sockets live on: the pod may be gone.
                repeated = true;
                interim(self.dialling.evidence(self.series));
            }
            let mut next = self.next_look(now, suspected, repeated);
            if !traced {
                next = next.min(self.trace_at).max(now + Duration::from_millis(1));
            }
            if self.series.live().next().is_some() {
                self.series.drive(next).await;
            } else {
                sleep_until(next).await;
            }
        }
    }

    /// Begins the dials whose time has come, as far as the budget goes; the others come later.
    fn begin_due(&mut self) -> Result<(), LocalTrouble> {
        let now = Instant::now();
        let mut later = Vec::new();
        while let Some(mut planned) = self.planned.pop_front_if(|planned| planned.at <= now) {
            let Want { purpose, remote } = planned.want;
            if planned.parity.is_some() && self.answered_late(remote) {
                continue;
            }
            match self.dialling.gate.try_connect(remote, Pace::Immediate) {
                Ok(()) => self.series.begin(purpose, remote, planned.parity)?,
                Err(wait) => {
                    planned.at = now + wait;
                    later.push(planned);
                }
            }
        }
        self.planned.extend(later);
        self.planned.make_contiguous().sort_by_key(|planned| planned.at);
        Ok(())
    }

    /// Whether the first socket to an address has been answered after all: it was slow, not silent.
    fn answered_late(&self, remote: SocketAddr) -> bool {
        let first = self.series.attempts().find(|attempt| attempt.remote() == remote);
        first.is_some_and(|attempt| attempt.outcome().is_some())
    }

    /// Whether any socket to an address has been answered.
    fn answered(&self, remote: SocketAddr) -> bool {
        self.series.attempts().any(|attempt| attempt.remote() == remote && attempt.outcome().is_some())
    }

    /// Whether the oldest silent socket to every address has sent its SYN again: not only the suspects', so
    /// that each diagnosis of the same silence says the same of every address. A retransmission keeps the
    /// tuple and samples no new path; it only shows that a second has passed without an answer.
    fn retransmitted(&self) -> bool {
        let mut seen = BTreeSet::new();
        self.series.live().all(|attempt| !seen.insert(attempt.remote()) || attempt.retransmits() > 0)
    }

    /// Whether anything else answered in the window: a control, another endpoint, another source port.
    fn path_answers(&self) -> bool {
        self.series.attempts().any(|attempt| match attempt.outcome() {
            Some(DialOutcome::Connected { .. } | DialOutcome::Answered { .. }) => true,
            Some(DialOutcome::Failed { queue, immediate, .. }) => !immediate && queue.is_empty(),
            _ => false,
        })
    }

    fn next_look(&self, now: Instant, suspected: bool, repeated: bool) -> Instant {
        let mut next = self.end;
        if let Some(planned) = self.planned.front() {
            next = next.min(planned.at);
        }
        if !suspected {
            next = next.min(self.first + SUSPECTED);
        }
        if !repeated {
            next = next.min((self.first + RETRANSMITTED).max(now + LOOK));
        }
        next.max(now + Duration::from_millis(1))
    }
}
