//! When authorities are replaced, step by step. Every step leaves something that all verifiers accept:
//!
//! - the hub's root: a new one is made, and the old one vouches for it until no pod carries the old one;
//! - the webhook's CA: a new one is made and told to the API server beside the old one, then it takes over, then the
//!   old one goes.
//!
//! Pure: the moment and all that is known are arguments. Spans are of a clock that nobody sets.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::authorities::{Authorities, new_hub_root, new_webhook_ca};
use super::{Authority, PkiError, before};

/// An authority is replaced this long before its end: pods have a year to be made anew.
const BEFORE_END: Duration = Duration::from_hours(24 * 365);
/// How long the API server has had a new CA before the webhook's certificate is signed by it: each of several API
/// servers hears of it in its own time.
pub const TOLD_FOR: Duration = Duration::from_mins(5);
/// How long what was replaced stays at least: another replica, or a pod that is just being admitted, may have it.
const KEPT_FOR: Duration = Duration::from_hours(1);
/// Old roots of the hub at which no further one is made on demand: each makes every handshake longer.
const OLD_ROOTS: usize = 4;

/// What people ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// A new root for the hub.
    pub hub_root: bool,
    /// A new CA for the webhook.
    pub webhook_ca: bool,
}

/// What there is to know.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// What people ask for.
    pub asked: Asked,
    /// The fingerprints that pods carry; `None` while not all pods are known.
    pub carried: Option<&'a BTreeSet<String>>,
    /// For how long the authorities have been as they are.
    pub settled: Duration,
    /// For how long the API server has had all of the webhook's CAs; `None` when it does not.
    pub told: Option<Duration>,
    /// The moment.
    pub now: Timestamp,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make a new root for the hub, for which the one in use vouches.
    NewHubRoot,
    /// Forget an old root of the hub, by its fingerprint.
    DropHubRoot(String),
    /// Make another CA for the webhook, of which the API server is told.
    NewWebhookCa,
    /// Sign by it.
    UseWebhookCa,
    /// Tell the API server no longer of the one before.
    DropWebhookCa,
}

/// The next step, one at a time: what it depends on is looked at anew after each.
pub fn step(authorities: &Authorities, situation: &Situation<'_>) -> Option<Step> {
    hub_root(authorities, situation).or_else(|| webhook_ca(authorities, situation))
}

fn hub_root(authorities: &Authorities, situation: &Situation<'_>) -> Option<Step> {
    let old = &authorities.old_hub_roots;
    let asked = situation.asked.hub_root && old.len() < OLD_ROOTS;
    if asked || is_due(&authorities.hub_root, situation.now) {
        return Some(Step::NewHubRoot);
    }
    if situation.settled < KEPT_FOR {
        return None;
    }
    let carried = situation.carried?;
    let gone = old.iter().find(|root| !carried.contains(root.fingerprint()))?;
    Some(Step::DropHubRoot(gone.fingerprint().to_owned()))
}

fn webhook_ca(authorities: &Authorities, situation: &Situation<'_>) -> Option<Step> {
    if authorities.next_webhook_ca.is_some() {
        return situation.told.filter(|told| *told >= TOLD_FOR).map(|_| Step::UseWebhookCa);
    }
    if authorities.old_webhook_ca.is_some() {
        return (situation.settled >= KEPT_FOR).then_some(Step::DropWebhookCa);
    }
    let due = situation.asked.webhook_ca || is_due(&authorities.webhook_ca, situation.now);
    due.then_some(Step::NewWebhookCa)
}

fn is_due(authority: &Authority, now: Timestamp) -> bool {
    now >= before(authority.not_after(), BEFORE_END)
}

impl Step {
    /// Carries the step out.
    pub fn apply(&self, authorities: &mut Authorities, now: Timestamp) -> Result<(), PkiError> {
        match self {
            Self::NewHubRoot => {
                let old = std::mem::replace(&mut authorities.hub_root, new_hub_root(now)?);
                authorities.old_hub_roots.push(old);
            }
            Self::DropHubRoot(fingerprint) => {
                authorities.old_hub_roots.retain(|root| root.fingerprint() != fingerprint);
            }
            Self::NewWebhookCa => authorities.next_webhook_ca = Some(new_webhook_ca(now)?),
            Self::UseWebhookCa => {
                if let Some(next) = authorities.next_webhook_ca.take() {
                    let old = std::mem::replace(&mut authorities.webhook_ca, next);
                    authorities.old_webhook_ca = Some(old.certificate_pem().to_owned());
                }
            }
            Self::DropWebhookCa => authorities.old_webhook_ca = None,
        }
        Ok(())
    }

    /// What people asked for and have with this step.
    pub fn answers(&self) -> Asked {
        Asked { hub_root: *self == Self::NewHubRoot, webhook_ca: *self == Self::NewWebhookCa }
    }
}

/// Replaces authorities that have ended, which sign nothing any more: nobody was there to replace them in time. Says
/// whether there were any.
pub fn revive(authorities: &mut Authorities, now: Timestamp) -> Result<bool, PkiError> {
    let mut steps = Vec::new();
    if now >= authorities.hub_root.not_after() {
        steps.push(Step::NewHubRoot);
    }
    if now >= authorities.webhook_ca.not_after() {
        steps.extend([Step::NewWebhookCa, Step::UseWebhookCa]);
    }
    for step in &steps {
        step.apply(authorities, now)?;
    }
    Ok(!steps.is_empty())
}
