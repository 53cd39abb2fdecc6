//! The engine judges, plans and asks while this replica leads. Otherwise it follows the cluster and is silent, but for
//! what its own webhook and its own certificates need.

use std::collections::BTreeSet;
use std::mem;
use std::time::Duration;

use peerwalk_model::{PodRef, TargetKey, Timestamp};

use super::{Engine, Output};
use crate::cluster::record::ObjectKey;

/// Sidecars wait no longer for roots that checks name: reading them once takes 5 s at most.
const ROOTS_WITHIN: Duration = Duration::from_secs(10);

/// Whether this replica leads, as far as the engine has been told.
#[derive(Debug, Default)]
pub(super) struct Lead {
    /// The term in which it does.
    term: Option<u64>,
    /// The term in which it did last.
    last: Option<u64>,
    /// Whether all plans of the term have been given.
    planned: bool,
    /// Pods that have a plan of an earlier term.
    before: BTreeSet<PodRef>,
    /// What is walked once more in this term.
    anew: BTreeSet<(PodRef, TargetKey)>,
}

impl Engine {
    /// This replica leads in that term, or does not lead. A new term begins as a start of the operator does: what was
    /// known of sidecars may be of long ago, another has judged since, and its word is in the stored status. The same
    /// term goes on with what is known. In both, sidecars have time to come back. Says whether all has begun anew: what
    /// sidecars tell is for an engine that has settled since.
    pub fn lead(&mut self, term: Option<u64>, now: Timestamp) -> bool {
        if self.lead.term == term {
            return false;
        }
        if self.lead.term.is_some() {
            self.hide_all();
        }
        self.metrics.leading(term.is_some());
        let anew = term.is_some() && self.lead.last != term;
        if anew {
            self.begin_anew(now);
        }
        self.lead.term = term;
        self.lead.last = term.or(self.lead.last);
        if term.is_some() {
            self.seen.leads(now);
            self.touched.all = true;
        }
        anew
    }

    /// The clock was set: moments from before are not comparable with those of now. All is begun anew as after a
    /// restart, injection too; only what has no moments is kept. Sidecars are attached, and send all once they get their
    /// plan anew.
    pub fn clock_set(&mut self, now: Timestamp) {
        let (term, last) = (self.lead.term, self.lead.last);
        self.begin_anew(now);
        self.set_at = Some(now);
        self.forget_pauses();
        for pod in self.index.pods() {
            let key = ObjectKey::new(&pod.id.namespace, &pod.id.name);
            self.injection.pod(Some(pod), &key, &self.settings.sidecar_image, now);
        }
        self.opted_in.clock_set(now);
        self.interrupted.values_mut().for_each(|since| *since = now);
        (self.lead.term, self.lead.last) = (term, last);
        if term.is_some() {
            self.seen.leads(now);
        }
        self.touched.all = true;
    }

    /// Whether this replica leads.
    pub(super) fn leads(&self) -> bool {
        self.lead.term.is_some()
    }

    /// Has a target walked at once, and once a term, whose failure is not proven by what was found before the term: of
    /// dials that are so old no pod can tell what became of them, and those that fail are repeated seldom.
    pub(super) fn walk_anew(
        &mut self,
        pod: &PodRef,
        target: TargetKey,
        found: Timestamp,
        now: Timestamp,
    ) -> Option<Output> {
        let begun = self.seen.since();
        let wanted = now.since(begun) <= self.settings.attach_within && found < begun;
        let is_new = wanted && self.lead.anew.insert((pod.clone(), target.clone()));
        is_new.then(|| Output::WalkNow(pod.clone(), vec![target]))
    }

    /// What a standby says: its webhook injects, and has to know where not to; who leads next has to know at once which
    /// roots pods carry. All else is for the leader to say.
    pub(super) fn stand_by(&mut self, mut outputs: Vec<Output>) -> Vec<Output> {
        outputs.retain(|output| matches!(output, Output::Injection(_) | Output::Made { .. }));
        if mem::take(&mut self.touched).cluster() {
            outputs.extend(self.carried_roots());
        }
        outputs
    }

    /// Keeps what is known of the cluster, of injection in it, of the hub's roots and of those that checks name, and
    /// nothing else.
    fn begin_anew(&mut self, now: Timestamp) {
        let fresh = Self::new(self.settings.clone(), self.metrics.clone(), now);
        let old = mem::replace(self, fresh);
        self.index = old.index;
        self.interrupted = old.interrupted;
        self.policy_kinds = old.policy_kinds;
        self.injection = old.injection;
        self.opted_in = old.opted_in;
        self.hub_roots = old.hub_roots;
        self.roots = old.roots;
        self.roots.begin_anew();
        self.unheard = old.unheard;
        self.set_at = old.set_at;
        self.transitions_lost = old.transitions_lost;
        self.lead = Lead { before: old.lead.before, ..Lead::default() };
        self.lead.before.extend(old.plans.into_keys());
        if self.index.complete() {
            self.seen.completed(now);
        }
    }

    /// All plans have been given once: sidecars may come. Pods that went between two terms are taken from the hub. A plan
    /// without a target whose roots are on their way would have the hub drop what sidecars tell of it.
    pub(super) fn tell_planned(&mut self, now: Timestamp, outputs: &mut Vec<Output>) {
        let Some(term) = self.lead.term.filter(|_| !self.lead.planned) else { return };
        if now.since(self.seen.since()) < ROOTS_WITHIN && self.waits_for_roots() {
            return;
        }
        self.lead.planned = true;
        let mut gone = mem::take(&mut self.lead.before);
        gone.retain(|pod| !self.plans.contains_key(pod));
        self.transitions_lost.retain(|pod, _| !gone.contains(pod));
        outputs.extend(gone.into_iter().map(Output::RemovePod));
        outputs.push(Output::Planned(term));
    }

    /// Another replica's metrics show the checks from now on.
    fn hide_all(&self) {
        for (key, state) in &self.checks {
            self.hide_times(key, state);
        }
        for key in self.checks.keys().chain(self.unreadable.keys()) {
            self.metrics.ready(&key.namespace, &key.name, None);
        }
    }
}
