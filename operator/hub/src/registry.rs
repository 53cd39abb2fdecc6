//! Which pod has which plan, and which stream speaks for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use peerwalk_model::{Plan, PodRef, TargetKey, Timestamp};

use crate::handle::{Attached, Role};
use crate::mailbox::Mailbox;

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

    /// Whether a stream was there to take the order.
    pub(crate) fn walk_now(&self, pod: &PodRef, targets: Vec<TargetKey>) -> bool {
        let state = self.lock();
        let stream = state.pods.get(pod).and_then(|entry| entry.stream.as_ref());
        if let Some(stream) = stream {
            stream.leave(|orders| orders.walk.add(targets));
        }
        stream.is_some()
    }

    pub(crate) fn set_role(&self, role: Role) {
        let mut state = self.lock();
        if let Role::Standby { redirect } = &role {
            for stream in state.pods.values().filter_map(|entry| entry.stream.as_ref()) {
                stream.leave(|orders| orders.redirect = Some(redirect.clone()));
            }
        }
        state.role = role;
    }

    pub(crate) fn role(&self) -> Role {
        self.lock().role.clone()
    }

    /// Lets a stream speak for a pod in place of the one that did, and leaves it the pod's plan.
    pub(crate) fn attach(&self, pod: &PodRef, stream: &Arc<Mailbox>) {
        let mut state = self.lock();
        // The role may have changed since the stream began.
        if let Role::Standby { redirect } = &state.role {
            let redirect = redirect.clone();
            stream.leave(|orders| orders.redirect = Some(redirect));
        }
        let entry = state.pods.entry(pod.clone()).or_default();
        if let Some(plan) = &entry.plan {
            stream.leave(|orders| orders.plan = Some(Arc::clone(plan)));
        }
        if let Some(before) = entry.stream.replace(Arc::clone(stream)) {
            before.leave(|orders| orders.superseded = true);
        }
    }

    /// Forgets a stream that ended. False when another one has taken its place.
    pub(crate) fn detach(&self, pod: &PodRef, stream: &Arc<Mailbox>) -> bool {
        let mut state = self.lock();
        let Some(entry) = state.pods.get_mut(pod) else { return true };
        match &entry.stream {
            Some(current) if !Arc::ptr_eq(current, stream) => return false,
            _ => entry.stream = None,
        }
        if entry.plan.is_none() {
            state.pods.remove(pod);
        }
        true
    }

    pub(crate) fn attached(&self) -> Vec<Attached> {
        let one = |(pod, entry): (&PodRef, &Entry)| {
            let last_heard: Timestamp = entry.stream.as_ref()?.last_heard();
            Some(Attached { pod: pod.clone(), last_heard })
        };
        self.lock().pods.iter().filter_map(one).collect()
    }
}
