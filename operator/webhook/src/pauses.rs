//! Where injection is paused, since the sidecar failed there. Read for each admission without a lock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arc_swap::ArcSwap;

/// Where injection is paused; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Pauses(Arc<ArcSwap<Places>>);

#[derive(Debug, Default)]
struct Places {
    cluster: Option<Pause>,
    namespaces: BTreeMap<String, Pause>,
}

/// Why injection is paused, and what is left of its trial.
#[derive(Debug)]
pub struct Pause {
    why: String,
    trial: u64,
    left: AtomicU32,
}

impl Pause {
    /// A pause with its cause; `pods` are injected all the same, and no more of them while the number of the
    /// trial stays the same.
    pub fn new(why: impl Into<String>, trial: u64, pods: u32) -> Self {
        Self { why: why.into(), trial, left: AtomicU32::new(pods) }
    }

    /// What the pause before has used up stays so.
    fn after(self, before: Option<&Self>) -> Self {
        if let Some(before) = before.filter(|before| before.trial == self.trial) {
            self.left.fetch_min(before.left.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self
    }

    fn take(&self) -> bool {
        let take = |left: u32| left.checked_sub(1);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

impl Pauses {
    /// From now on injection is paused in all namespaces or in these.
    pub fn replace(&self, cluster: Option<Pause>, namespaces: BTreeMap<String, Pause>) {
        let before = self.0.load();
        let namespaces = namespaces.into_iter().map(|(name, pause)| {
            let pause = pause.after(before.namespaces.get(&name));
            (name, pause)
        });
        let cluster = cluster.map(|pause| pause.after(before.cluster.as_ref()));
        let namespaces = namespaces.collect();
        self.0.store(Arc::new(Places { cluster, namespaces }));
    }

    /// Why a pod of a namespace is not injected now. Where a few are for trial, it may be one of them; one that
    /// is not going to be made (`dry_run`) takes no other's place.
    pub fn refuse(&self, namespace: &str, dry_run: bool) -> Option<String> {
        let places = self.0.load();
        let here = [places.namespaces.get(namespace), places.cluster.as_ref()];
        let here = || here.into_iter().flatten();
        // The namespace's own trial is not spent while all namespaces rest.
        let closed = here().find(|pause| pause.left.load(Ordering::Relaxed) == 0);
        let refused = closed.or_else(|| here().find(|pause| !dry_run && !pause.take()));
        refused.map(|pause| pause.why.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paused(namespaces: &[(&str, u64, u32)], cluster: Option<(u64, u32)>) -> Pauses {
        let pauses = Pauses::default();
        set(&pauses, namespaces, cluster);
        pauses
    }

    fn set(pauses: &Pauses, namespaces: &[(&str, u64, u32)], cluster: Option<(u64, u32)>) {
        let namespaces = namespaces
            .iter()
            .map(|(name, trial, pods)| ((*name).to_owned(), Pause::new(*name, *trial, *pods)));
        pauses.replace(cluster.map(|(trial, pods)| Pause::new("all", trial, pods)), namespaces.collect());
    }

    fn refused(pauses: &Pauses, namespace: &str, times: usize) -> Vec<Option<String>> {
        (0..times).map(|_| pauses.refuse(namespace, false)).collect()
    }

    #[test]
    fn pods_are_refused_where_injection_is_paused_and_nowhere_else() {
        assert_eq!(Pauses::default().refuse("shop", false), None);
        let shop = paused(&[("shop", 0, 0)], None);
        assert_eq!(shop.refuse("shop", false).as_deref(), Some("shop"), "with the cause");
        assert_eq!(shop.refuse("other", false), None);
        assert_eq!(paused(&[], Some((0, 0))).refuse("other", false).as_deref(), Some("all"));
    }

    #[test]
    fn a_trial_is_spent_once_and_not_by_dry_runs() {
        let pauses = paused(&[("shop", 1, 2)], None);
        assert_eq!(pauses.refuse("shop", true), None, "as it would be");
        let no = Some("shop".to_owned());
        assert_eq!(refused(&pauses, "shop", 3), [None, None, no.clone()]);
        assert_eq!(pauses.refuse("shop", true), no, "as it would be now");
        set(&pauses, &[("shop", 1, 2), ("other", 2, 2)], None);
        assert_eq!(pauses.refuse("shop", false), no, "another namespace brings no new trial here");
        set(&pauses, &[("shop", 3, 2)], None);
        assert_eq!(pauses.refuse("shop", false), None, "a new one does");
    }

    #[test]
    fn a_pod_needs_both_trials_and_spends_none_in_vain() {
        let pauses = paused(&[("shop", 1, 1)], Some((0, 0)));
        assert_eq!(pauses.refuse("shop", false).as_deref(), Some("all"));
        set(&pauses, &[("shop", 1, 1)], Some((2, 2)));
        assert_eq!(refused(&pauses, "shop", 2), [None, Some("shop".to_owned())]);
        assert_eq!(refused(&pauses, "other", 2), [None, Some("all".to_owned())]);
    }
}
