//! Orders for one stream. They pile up into one of each kind, so a slow stream costs no memory.

use std::collections::BTreeSet;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use peerwalk_model::peer::Tuple;
use peerwalk_model::{Plan, TargetKey};
use peerwalk_wire::limits;
use tokio::sync::Notify;

/// What is to be done on one stream.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    /// Another stream took this one's place.
    pub(crate) superseded: bool,
    /// The pod is gone.
    pub(crate) removed: bool,
    /// Another replica is the one to talk to.
    pub(crate) redirect: Option<String>,
    /// This replica does not lead, and does not know who does: nobody is attached now.
    pub(crate) no_leader: bool,
    /// The newest plan, when it is newer than the one taken last.
    pub(crate) plan: Option<Arc<Plan>>,
    /// Targets to walk now.
    pub(crate) walk: WalkOrder,
    /// All evidence is wanted again.
    pub(crate) send_all: bool,
    /// For how long closed connections are to be remembered; zero for not at all.
    pub(crate) watch: Duration,
    /// Dials that the pod is to look for, each question with its number.
    pub(crate) looks: Vec<(u64, Vec<Tuple>)>,
}

/// Targets to walk now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum WalkOrder {
    /// None.
    #[default]
    Nothing,
    /// These.
    Some(BTreeSet<TargetKey>),
    /// All of them.
    All,
}

impl WalkOrder {
    /// Adds targets; no targets means all.
    pub(crate) fn add(&mut self, targets: Vec<TargetKey>) {
        let more = if targets.is_empty() { Self::All } else { Self::Some(targets.into_iter().collect()) };
        self.merge(more);
    }

    /// Adds another order. Too many targets become all of them.
    pub(crate) fn merge(&mut self, more: Self) {
        *self = match (mem::take(self), more) {
            (Self::Nothing, order) | (order, Self::Nothing) => order,
            (Self::All, _) | (_, Self::All) => Self::All,
            (Self::Some(mut all), Self::Some(more)) => {
                all.extend(more);
                Self::Some(all)
            }
        };
        if matches!(self, Self::Some(targets) if targets.len() > limits::TARGETS) {
            *self = Self::All;
        }
    }
}

/// Where orders for one stream are left.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    orders: Mutex<Orders>,
    changed: Notify,
}

impl Mailbox {
    /// Leaves an order.
    pub(crate) fn leave(&self, order: impl FnOnce(&mut Orders)) {
        order(&mut self.orders.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_one();
    }

    /// Takes all orders there are, waiting for the first.
    pub(crate) async fn take(&self) -> Orders {
        self.changed.notified().await;
        mem::take(&mut self.orders.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes back what was to be walked.
    pub(crate) fn take_walk(&self) -> WalkOrder {
        mem::take(&mut self.orders.lock().unwrap_or_else(PoisonError::into_inner).walk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(range: std::ops::Range<usize>) -> Vec<TargetKey> {
        range.map(|n| TargetKey { check: "c".to_owned(), target: format!("t{n}") }).collect()
    }

    #[test]
    fn walks_pile_up_into_one_order() {
        let mut order = WalkOrder::default();
        order.add(keys(0..2));
        order.add(keys(1..3));
        assert_eq!(order, WalkOrder::Some(keys(0..3).into_iter().collect()), "each target once");
        order.add(Vec::new());
        assert_eq!(order, WalkOrder::All, "no targets means all");
        order.add(keys(0..1));
        assert_eq!(order, WalkOrder::All, "all stays all");
        order.merge(WalkOrder::Nothing);
        assert_eq!(order, WalkOrder::All, "and nothing adds nothing");
    }

    #[test]
    fn too_many_targets_become_all() {
        let mut order = WalkOrder::default();
        order.add(keys(0..limits::TARGETS + 1));
        assert_eq!(order, WalkOrder::All);
    }
}
