//! The connect stage: the service address and endpoints in the same window, a diagnosis when one is silent,
//! and what refusals are known.

mod breaker;
mod choice;
mod diagnosis;
mod hops;
mod learn;
mod recent;
mod refusals;
mod series;
mod silences;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use peerwalk_model::TargetKey;
use peerwalk_model::evidence::{Connect, Dial, DialOutcome, DialPurpose, LocalTrouble, Neighbour};
use peerwalk_model::plan::{Control, PlannedTarget};
use tokio::time::Instant;

use crate::budget::{Allowance, Gate, IN_FLIGHT, Pace};
use crate::rules::DialRules;
use crate::socket::{Attempt, Locals, neighbour};
use crate::strain::Watch;
use crate::witness::Witness;
use breaker::Breakers;
pub(crate) use choice::{Choice, Order, Want};
use hops::Hops;
use recent::Recent;
use refusals::Refusals;
pub(crate) use series::{Series, Spoken};
use silences::Silences;

/// Silence is suspected after this many of the usual round trips, and not before [`LEAST_WAIT`].
const ROUND_TRIPS: u32 = 20;
const LEAST_WAIT: Duration = Duration::from_millis(50);
/// Addresses whose usual time is remembered.
const REMEMBERED: usize = 1024;
/// Dials kept as evidence.
const KEPT_DIALS: usize = 128;
/// Addresses that may not be dialled, kept as evidence.
const KEPT_REFUSED: usize = 16;
/// Neighbours kept as evidence.
const KEPT_NEIGHBOURS: usize = 16;
/// Addresses that one walk dials at the same time: half of [`IN_FLIGHT`], so that two walks get on.
const AT_ONCE: usize = IN_FLIGHT / 2;
/// Between a reset and the dial that repeats it.
const REPEAT_AFTER: Duration = Duration::from_millis(100);

/// What is remembered from one walk to the next: refusals and usual connect times.
#[derive(Debug, Default)]
pub(crate) struct Connector {
    recent: Recent,
    refusals: Refusals,
    silences: Silences,
    breakers: Breakers,
    hops: Hops,
    times: Mutex<HashMap<SocketAddr, Duration>>,
}

/// What the connect stage of one walk works with.
pub(crate) struct Dialling<'a> {
    pub(crate) connector: &'a Connector,
    pub(crate) gate: &'a Gate,
    pub(crate) allowance: &'a Allowance,
    pub(crate) key: &'a TargetKey,
    pub(crate) target: &'a PlannedTarget,
    pub(crate) rules: DialRules,
    pub(crate) locals: &'a Locals,
    pub(crate) witness: Option<&'a dyn Witness>,
    /// What is sent to a UDP target; none for TCP.
    pub(crate) datagram: Option<Arc<[u8]>>,
    /// How the prober itself fares: what it finds silent while it is starved is nobody's knowledge.
    pub(crate) watch: &'a Watch<'a>,
    /// An event walk keeps no distance to earlier dials of the same address.
    pub(crate) pace: Pace,
}

/// What the stage leaves.
#[derive(Debug, Default)]
pub(crate) struct Connected {
    pub(crate) evidence: Connect,
    /// The connection an application would use, when it was made.
    pub(crate) stream: Option<Spoken>,
    pub(crate) local: Option<LocalTrouble>,
}

impl Dialling<'_> {
    /// Dials what was chosen. `interim` is called with the dials so far, during a diagnosis.
    pub(crate) async fn run(&self, choice: &Choice, interim: &mut (dyn FnMut(Connect) + Send)) -> Connected {
        let mut series = Series::new(self.locals.clone(), self.gate.census().clone())
            .marking(self.marked(choice))
            .with_datagram(self.datagram.clone());
        let firsts = choice.first.iter().map(|want| want.remote);
        if self.is_event() {
            let wanted = choice.first.iter().chain(&choice.rest).map(|want| want.remote);
            self.connector.refusals.doubt(wanted, Instant::now());
        }
        series.ahead = self.is_event() || self.connector.breakers.is_due(firsts, Instant::now());
        let local = self.dial(choice, &mut series, interim).await.err();
        hops::after_time_exceeded(self, &mut series).await;
        self.ask(&mut series).await;
        // Last, and few: a name with hundreds of addresses must not push out what was dialled.
        for remote in choice.refused.iter().take(KEPT_REFUSED) {
            series.push_done(not_dialled(DialPurpose::Address, *remote, DialOutcome::NotAllowed));
        }
        self.finish(choice, series, local)
    }

    async fn dial(
        &self,
        choice: &Choice,
        series: &mut Series,
        interim: &mut (dyn FnMut(Connect) + Send),
    ) -> Result<(), LocalTrouble> {
        self.steady(choice, series).await?;
        if series.live().next().is_none() {
            return self.repeat_resets(series).await;
        }
        let controls = self.controls(series);
        diagnosis::run(self, choice, &controls, series, interim).await
    }

    /// What is dialled and not spoken over. Addresses of URLs may be anybody's: they are marked only for a witness.
    fn marked(&self, choice: &Choice) -> Vec<DialPurpose> {
        let mut marked = vec![DialPurpose::ServiceAddress, DialPurpose::Endpoint];
        if self.witness.is_some() {
            marked.push(DialPurpose::Address);
        }
        marked.retain(|purpose| *purpose != choice.speaks || !self.target.speaks());
        marked
    }

    /// Has the witness ask about the dials so far, while their sockets are open.
    async fn ask(&self, series: &mut Series) {
        let Some(witness) = self.witness else { return };
        let mut dials: Vec<Dial> = series.attempts().map(Attempt::dial).collect();
        dials.retain(|dial| !matches!(dial.purpose, DialPurpose::Control | DialPurpose::Proxy));
        if !dials.is_empty() {
            series.during(witness.ask(dials)).await;
        }
    }

    /// One dial of each chosen address, a few at a time, until all have an outcome or one is silent for longer
    /// than is usual for it.
    async fn steady(&self, choice: &Choice, series: &mut Series) -> Result<(), LocalTrouble> {
        for some in choice.first.chunks(AT_ONCE) {
            let mut dialled = Vec::new();
            for want in some {
                if let Some(dials) = self.known(choice, *want, series.ahead) {
                    series.recall(dials);
                } else if !series.during(self.gate.connect(want.remote, self.pace, self.allowance)).await {
                    series.push_done(not_dialled(want.purpose, want.remote, DialOutcome::Skipped));
                } else if self.may_dial(choice, *want, series) {
                    // No other walk has begun to while this one waited for the budget.
                    dialled.push(*want);
                }
            }
            self.dial_few(&dialled, series).await?;
        }
        Ok(())
    }

    /// Dials at most [`AT_ONCE`] addresses whose budget is granted, until all have an outcome or one is silent for
    /// longer than is usual for it: then it gives the places in flight back.
    pub(crate) async fn dial_few(&self, wants: &[Want], series: &mut Series) -> Result<(), LocalTrouble> {
        // All places at once, and only when nothing else has to be waited for: a walk that kept some while it
        // waits for more would stand in the way of itself and of others that do the same.
        let places = series.during(self.gate.in_flight(wants.len(), self.allowance)).await;
        if places.is_none() {
            let skipped = wants.iter().map(|w| not_dialled(w.purpose, w.remote, DialOutcome::Skipped));
            skipped.for_each(|dial| series.push_done(dial));
            return Ok(());
        }
        for want in wants {
            series.begin(want.purpose, want.remote, None)?;
        }
        let Some(longest) = wants.iter().map(|want| self.usual_wait(want.remote)).max() else {
            return Ok(());
        };
        series.drive(self.allowance.deadline().min(Instant::now() + longest)).await;
        Ok(())
    }

    /// The same, and goes on until all have an outcome or the time for a connect is over.
    pub(crate) async fn dial_out(&self, wants: &[Want], series: &mut Series) -> Result<(), LocalTrouble> {
        self.dial_few(wants, series).await?;
        let begun = series.live().map(Attempt::begun).max();
        let Some(until) = begun.map(|begun| begun + self.target.connect_timeout) else { return Ok(()) };
        series.drive(self.allowance.deadline().min(until)).await;
        Ok(())
    }

    /// What stands for a dial of the address: a refusal of a moment ago, except after an event, when it is what is
    /// in question; or what another target's walk has just found there.
    fn known(&self, choice: &Choice, want: Want, ahead: bool) -> Option<Vec<Dial>> {
        if let Some(dials) = self.connector.breakers.stands(want.remote, Instant::now(), ahead) {
            return Some(self.own(choice, dials));
        }
        if self.is_event() {
            return None;
        }
        let refusal = self.connector.refusals.stands(want.remote, Instant::now());
        match refusal {
            Some(dial) => Some(vec![Dial { purpose: want.purpose, ..dial }]),
            None => self.recent(choice, want),
        }
    }

    fn is_event(&self) -> bool {
        self.pace == Pace::Immediate
    }

    /// Whether the breaker of an address lets this walk dial it; if not, what was found there is reported.
    fn may_dial(&self, choice: &Choice, want: Want, series: &mut Series) -> bool {
        let (now, breakers) = (Instant::now(), &self.connector.breakers);
        if let Some(grant) = breakers.begin(want.remote, now, series.ahead) {
            series.grants.push(grant);
            return true;
        }
        let found = breakers.stands(want.remote, now, series.ahead).unwrap_or_default();
        series.recall(self.own(choice, found));
        false
    }

    /// What another target's walk found at the address a moment ago, where it may not be dialled again yet and
    /// nothing is to be said over the connection. Waiting for its turn would cost the target its walk as soon
    /// as more than a few of a pod share an address.
    fn recent(&self, choice: &Choice, want: Want) -> Option<Vec<Dial>> {
        let speaks = want.purpose == choice.speaks && self.target.speaks();
        if speaks || self.gate.may_connect(want.remote, self.pace) {
            return None;
        }
        let now = Instant::now();
        let mut dials = self.connector.recent.of((want.purpose, want.remote), self.key, now)?;
        if dials.iter().any(|dial| dial.outcome == DialOutcome::Silent) {
            let proof = self.connector.silences.recall(&[want.remote], now, self.pace).unwrap_or_default();
            for dial in self.own(choice, proof) {
                if !dials.iter().any(|known| known.local == dial.local && known.started == dial.started) {
                    dials.push(dial);
                }
            }
        }
        Some(dials)
    }

    /// What a proof of silence says of this target, whichever target it was made for: dials of the addresses that
    /// it leads to, as what they are to it, and of its controls.
    fn own(&self, choice: &Choice, proof: Vec<Dial>) -> Vec<Dial> {
        let wanted = |remote| choice.first.iter().chain(&choice.rest).find(|want| want.remote == remote);
        let is_control = |remote| self.target.controls.iter().any(|control| control.address == remote);
        proof
            .into_iter()
            .filter_map(|dial| match dial.purpose {
                DialPurpose::Control => is_control(dial.remote).then_some(dial),
                _ => wanted(dial.remote).map(|want| Dial { purpose: want.purpose, ..dial }),
            })
            .collect()
    }

    /// Dials once more what answered with a reset, at endpoints and plain addresses: a listener that just
    /// restarts is not worth a verdict. ICMP refusals are not repeated; they are rate limited, and certain.
    async fn repeat_resets(&self, series: &mut Series) -> Result<(), LocalTrouble> {
        let again: Vec<Want> = series
            .attempts()
            .map(Attempt::dial)
            .filter(|dial| matches!(&dial.outcome, DialOutcome::Failed { queue, immediate: false, .. } if queue.is_empty()))
            .filter(|dial| matches!(dial.purpose, DialPurpose::Endpoint | DialPurpose::Address))
            .map(|dial| Want { purpose: dial.purpose, remote: dial.remote })
            .collect();
        if again.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(REPEAT_AFTER.min(self.allowance.left())).await;
        for some in again.chunks(AT_ONCE) {
            let granted = |want: &&Want| self.gate.try_connect(want.remote, Pace::Immediate).is_ok();
            let granted: Vec<Want> = some.iter().filter(granted).copied().collect();
            self.dial_out(&granted, series).await?;
        }
        Ok(())
    }

    /// Connects once more, for another attempt at the request.
    pub(crate) async fn again(&self, remote: SocketAddr) -> Result<Option<Spoken>, LocalTrouble> {
        if !self.gate.connect(remote, Pace::Immediate, self.allowance).await {
            return Ok(None);
        }
        let mut series = Series::new(self.locals.clone(), self.gate.census().clone());
        let want = Want { purpose: DialPurpose::Address, remote };
        self.dial_out(&[want], &mut series).await?;
        Ok(series.take_stream(DialPurpose::Address))
    }

    /// The controls of the families that are silent.
    fn controls(&self, series: &Series) -> Vec<Control> {
        let silent: Vec<bool> = series.live().map(|attempt| attempt.remote().is_ipv4()).collect();
        self.target
            .controls
            .iter()
            .filter(|control| silent.contains(&control.address.is_ipv4()))
            .filter(|control| self.rules.permitted_control(control))
            .cloned()
            .collect()
    }

    fn usual_wait(&self, remote: SocketAddr) -> Duration {
        let times = self.connector.times.lock().unwrap_or_else(PoisonError::into_inner);
        let usual = times.get(&remote).copied().unwrap_or_default();
        (usual * ROUND_TRIPS).max(LEAST_WAIT).min(self.target.connect_timeout)
    }

    /// The evidence by now, with what is remembered in its place.
    pub(crate) fn evidence(&self, series: &Series) -> Connect {
        let mut dials = series.dials();
        self.connector.learn(self.key, &mut dials, self.watch);
        dials.truncate(KEPT_DIALS);
        Connect { dials, ..Connect::default() }
    }

    /// Takes the connection to speak over and closes the rest.
    fn finish(&self, choice: &Choice, mut series: Series, local: Option<LocalTrouble>) -> Connected {
        let mut evidence = self.evidence(&series);
        evidence.neighbours = neighbours(&evidence.dials);
        (evidence.hops, evidence.hop_limits) = self.connector.hops.told(&evidence.dials, Instant::now());
        if local.is_none() {
            self.learn_failures(&series, &evidence.dials);
        }
        evidence.breakers = self.breakers(choice, &series);
        // One that nothing is said over is closed as it is: a stream of it is registered anew.
        let kept = local.is_none() && self.target.speaks();
        let stream = if kept { series.take_stream(choice.speaks) } else { None };
        Connected { evidence, stream, local }
    }
}

/// Whom the packets are sent to for each address of the target that stayed silent, or whose host is said to be
/// unreachable.
fn neighbours(dials: &[Dial]) -> Vec<Neighbour> {
    let failed = |outcome: &DialOutcome| match outcome {
        DialOutcome::Silent => true,
        DialOutcome::Failed { errno, .. } => *errno == libc::EHOSTUNREACH,
        _ => false,
    };
    let target = dials.iter().filter(|dial| dial.purpose != DialPurpose::Control && failed(&dial.outcome));
    let mut asked: Vec<IpAddr> = Vec::new();
    let mut found: Vec<Neighbour> = Vec::new();
    for ip in target.map(|dial| dial.remote.ip()) {
        if asked.contains(&ip) || asked.len() >= KEPT_NEIGHBOURS {
            continue;
        }
        asked.push(ip);
        found.extend(neighbour(ip).filter(|neighbour| !found.contains(neighbour)));
    }
    found
}

/// Evidence of an address that was not dialled.
pub(crate) fn not_dialled(purpose: DialPurpose, remote: SocketAddr, outcome: DialOutcome) -> Dial {
    Dial {
        protocol: peerwalk_model::Protocol::Tcp,
        mss: None,
        purpose,
        remote,
        local: None,
        started: crate::clock::now(),
        elapsed: Duration::ZERO,
        retransmits: 0,
        outcome,
    }
}

/// Whether any of the addresses is IPv4, any IPv6.
pub(crate) fn families(addresses: &[IpAddr]) -> [bool; 2] {
    [addresses.iter().any(IpAddr::is_ipv4), addresses.iter().any(IpAddr::is_ipv6)]
}

#[cfg(test)]
mod tests;
