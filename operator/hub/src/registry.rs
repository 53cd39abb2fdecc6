//! Which pod has which plan, and which stream speaks for it.

mod contest;

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use peerwalk_model::{Plan, PodRef, TargetKey, Timestamp};

use crate::handle::Role;
use crate::mailbox::{Mailbox, Orders, WalkOrder};
use contest::Contest;

/// The pods of one hub.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    role: Role,
    pods: HashMap<PodRef, Entry>,
}

#[derive(Debug, Default)]
struct Entry {
    plan: Option<Arc<Plan>>,
    stream: Option<Arc<Mailbox>>,
    /// What to walk once a stream is there.
    walk: WalkOrder,
    /// The process whose stream it is.
    instance: u64,
    contest: Contest,
}

/// Who attaches.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Arrival {
    /// The number that the sidecar's process made up at its start.
    pub(crate) instance: u64,
    /// When, on the wall clock.
    pub(crate) at: Timestamp,
}

/// How a stream came to speak for a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attached {
    /// As it should.
    Alone,
    /// In turns with the stream of another process, again and again.
    Contested,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_plan(&self, pod: &PodRef, plan: Plan) {
        let plan = Arc::new(plan);
        let mut state = self.lock();
        let entry = state.pods.entry(pod.clone()).or_default();
        entry.plan = Some(Arc::clone(&plan));
        if let Some(stream) = &entry.stream {
            stream.leave(|orders| orders.plan = Some(plan));
        }
    }

    pub(crate) fn remove(&self, pod: &PodRef) {
        if let Some(stream) = self.lock().pods.remove(pod).and_then(|entry| entry.stream) {
            stream.leave(|orders| orders.removed = true);
        }
    }

    /// Whether a stream was there to take the order. Without one, it is kept for a pod that has a plan.
    pub(crate) fn walk_now(&self, pod: &PodRef, targets: Vec<TargetKey>) -> bool {
        let mut state = self.lock();
        let Some(entry) = state.pods.get_mut(pod) else { return false };
        let mut walk = WalkOrder::default();
        walk.add(targets);
        entry.walk(walk);
        entry.stream.is_some()
    }

    pub(crate) fn send_all(&self, pod: &PodRef) {
        self.order(pod, |orders| orders.send_all = true);
    }

    /// Leaves an order to the stream of a pod; false when it has none.
    pub(crate) fn order(&self, pod: &PodRef, order: impl FnOnce(&mut Orders)) -> bool {
        let state = self.lock();
        let stream = state.pods.get(pod).and_then(|entry| entry.stream.as_ref());
        stream.map(|stream| stream.leave(order)).is_some()
    }

    pub(crate) fn set_role(&self, role: Role) {
        let mut state = self.lock();
        if let Role::Standby { redirect: Some(redirect) } = &role {
            for stream in state.pods.values().filter_map(|entry| entry.stream.as_ref()) {
                stream.leave(|orders| orders.redirect = Some(redirect.clone()));
            }
        }
        state.role = role;
    }

    pub(crate) fn role(&self) -> Role {
        self.lock().role.clone()
    }

    /// Lets a stream speak for a pod in place of the one that did, and leaves it the pod's plan and what is
    /// to be walked. A pod that is no longer `known` is turned away, with `None`.
    ///
    /// `tell` is called while no other stream can come or go, as in [`Self::speak`] and [`Self::detach`]: so
    /// what is told of one pod is in order, over all its streams.
    pub(crate) fn attach(
        &self,
        pod: &PodRef,
        stream: &Arc<Mailbox>,
        arrival: Arrival,
        known: impl FnOnce() -> bool,
        tell: impl FnOnce(),
    ) -> Option<Attached> {
        let mut state = self.lock();
        // It was known a moment ago. A pod that is removed from here on finds the stream in its entry.
        if !known() {
            stream.leave(|orders| orders.removed = true);
            return None;
        }
        // The role may have changed since the stream began.
        if let Role::Standby { redirect: Some(redirect) } = &state.role {
            let redirect = redirect.clone();
            stream.leave(|orders| orders.redirect = Some(redirect));
        }
        let entry = state.pods.entry(pod.clone()).or_default();
        let before = entry.stream.replace(Arc::clone(stream));
        let instance = mem::replace(&mut entry.instance, arrival.instance);
        let walk = mem::take(&mut entry.walk);
        stream.leave(|orders| {
            orders.plan.clone_from(&entry.plan);
            orders.walk.merge(walk);
        });
        let mut attached = Attached::Alone;
        if let Some(before) = before {
            before.leave(|orders| orders.superseded = true);
            if entry.contest.displaces(instance, arrival.instance, arrival.at) {
                attached = Attached::Contested;
            }
        }
        tell();
        Some(attached)
    }

    /// Calls `tell` if the stream speaks for the pod.
    pub(crate) fn speak<T>(
        &self,
        pod: &PodRef,
        stream: &Arc<Mailbox>,
        tell: impl FnOnce() -> T,
    ) -> Option<T> {
        let state = self.lock();
        let current = state.pods.get(pod)?.stream.as_ref()?;
        Arc::ptr_eq(current, stream).then(tell)
    }

    /// Forgets a stream that ended, and calls `tell` unless another one has taken its place. `unheard` is
    /// what it was asked to walk and may not have heard of: the next stream is asked again.
    pub(crate) fn detach(
        &self,
        pod: &PodRef,
        stream: &Arc<Mailbox>,
        mut unheard: WalkOrder,
        tell: impl FnOnce(),
    ) {
        let mut state = self.lock();
        let Some(entry) = state.pods.get_mut(pod) else { return tell() };
        unheard.merge(stream.take_walk());
        let displaced = entry.stream.as_ref().is_some_and(|current| !Arc::ptr_eq(current, stream));
        if !displaced {
            entry.stream = None;
            tell();
        }
        entry.walk(unheard);
        if entry.plan.is_none() && entry.stream.is_none() {
            state.pods.remove(pod);
        }
    }
}

impl Entry {
    fn walk(&mut self, walk: WalkOrder) {
        match &self.stream {
            Some(stream) => stream.leave(|orders| orders.walk.merge(walk)),
            None if self.plan.is_some() => self.walk.merge(walk),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests;
