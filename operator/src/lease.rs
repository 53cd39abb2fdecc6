//! Which replica leads: a Lease of coordination.k8s.io, taken, renewed and released.
//!
//! The decision is pure (`lease/decide.rs`); here are the calls, each with a timeout, and the loop. Every write names
//! the version that was read, so that of two replicas which write at once one is told of the conflict.

mod decide;
mod record;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, PostParams};
use peerwalk_controller::Leading;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use decide::{Decision, GIVE_UP, Observed, decide, may_lead};
use record::{Record, held, released};

/// For one call. Two of them fit between a renewal and the moment at which a leader gives up.
const CALL: Duration = Duration::from_secs(2);
/// How often a standby looks: a lease that was released is taken within this.
const LOOK: Duration = Duration::from_secs(2);
/// Before the next try after one that failed.
const RETRY: Duration = Duration::from_secs(1);

/// This replica, as others see it in the Lease.
#[derive(Clone, Debug)]
pub struct Me {
    /// The name of its pod.
    pub pod: String,
    /// The pod's uid: another pod of the same name is another replica.
    pub uid: String,
    /// Where its hub takes sidecars.
    pub hub: SocketAddr,
}

/// Takes the Lease of that name whenever it is free, renews it, and tells who leads, and with each turn that it turns,
/// until `stop`; then it is released, so that another replica need not wait. By then whatever writes must have ended. Needs `get` and
/// `update` on that Lease, and `create`.
pub async fn keep(
    api: Api<Lease>,
    name: &str,
    me: &Me,
    (leading, turns): (watch::Sender<Leading>, watch::Sender<Instant>),
    stop: CancellationToken,
) {
    let mut election = Election::new(api, name, me, leading);
    loop {
        turns.send_replace(Instant::now());
        // A call that was begun is waited for: a lease that is taken unseen could not be released.
        let next = election.turn().await;
        tokio::select! {
            () = stop.cancelled() => break,
            () = sleep_until(next) => {}
        }
    }
    election.release().await;
}

struct Election {
    api: Api<Lease>,
    name: String,
    identity: String,
    hub: SocketAddr,
    leading: watch::Sender<Leading>,
    /// The object as it was read or written last.
    lease: Option<Lease>,
    observed: Option<Observed>,
    /// When that was.
    looked: Option<Instant>,
    /// When the renewal was asked for that succeeded last; `None` when we do not lead.
    renewed: Option<Instant>,
    /// Whether the object is to be read before anything else.
    unsure: bool,
    /// Whether the object was seen without our name since the last term began: another may have led since. That it names
    /// us by now says nothing, as a write may land whose answer comes too late.
    parted: bool,
    term: u64,
}

/// What became of a call.
enum Called<T> {
    Done(T),
    /// Another was faster, or the object is gone.
    Conflict,
    Failed,
}

impl Election {
    fn new(api: Api<Lease>, name: &str, me: &Me, leading: watch::Sender<Leading>) -> Self {
        Self {
            api,
            name: name.to_owned(),
            identity: format!("{}_{}", me.pod, me.uid),
            hub: me.hub,
            leading,
            lease: None,
            observed: None,
            looked: None,
            renewed: None,
            unsure: true,
            parted: true,
            term: 0,
        }
    }

    /// Does what is due, and says when to come again.
    async fn turn(&mut self) -> Instant {
        let is_read = (self.renewed.is_some() && !self.unsure) || self.read().await;
        let now = Instant::now();
        match decide(&self.identity, self.observed.as_ref(), self.renewed, now) {
            Decision::Hold { until } => until,
            Decision::Lost => {
                self.renewed = None;
                warn!("this replica leads no longer: its lease was not renewed in time, or is another's");
                self.tell(now);
                now
            }
            Decision::Wait { until } => {
                self.tell(now);
                until.min(now + LOOK)
            }
            Decision::Renew | Decision::Take if !is_read => {
                self.tell(now);
                now + RETRY
            }
            Decision::Renew | Decision::Take => {
                let written = self.write(now).await;
                self.tell(Instant::now());
                if written { now } else { Instant::now() + RETRY }
            }
        }
    }

    /// Whether the object was read.
    async fn read(&mut self) -> bool {
        match call("read", self.api.get_opt(&self.name)).await {
            Called::Done(lease) => {
                self.take_in(lease);
                true
            }
            Called::Conflict | Called::Failed => false,
        }
    }

    /// Writes our name; whether it is there. What is not known is read before the next try.
    async fn write(&mut self, now: Instant) -> bool {
        let lease = held(self.lease.as_ref(), &self.name, &self.identity, self.hub, Timestamp::now());
        let begins = self.renewed.is_none();
        let parameters = PostParams::default();
        let called = if self.lease.is_some() {
            call("renew", self.api.replace(&self.name, &parameters, &lease)).await
        } else {
            call("create", self.api.create(&parameters, &lease)).await
        };
        self.unsure = !matches!(called, Called::Done(_));
        let Called::Done(lease) = called else { return false };
        self.take_in(Some(lease));
        self.renewed = Some(now);
        if begins {
            self.term += u64::from(std::mem::take(&mut self.parted));
            info!(lease = %self.name, term = self.term, "this replica leads");
        }
        true
    }

    /// What the API server has now. After a time in which it could not be read, nobody else could renew either: whoever
    /// led goes on with its streams and what it knows, rather than another that happens to ask first.
    fn take_in(&mut self, lease: Option<Lease>) {
        let now = Instant::now();
        let looked = self.looked.replace(now).is_some_and(|last| now.duration_since(last) < GIVE_UP);
        let record = lease.as_ref().map(Record::of);
        self.parted |= record.as_ref().is_none_or(|record| record.holder != self.identity);
        self.unsure = false;
        self.lease = lease;
        self.observed = record.map(|record| match self.observed.take() {
            Some(observed) if observed.record == record && looked => observed,
            _ => Observed { record, since: now },
        });
    }

    /// Tells who leads, as far as that is known.
    fn tell(&self, now: Instant) {
        let others = || {
            let other = self.observed.as_ref().filter(|observed| observed.record.holder != self.identity);
            let leader = other.filter(|observed| may_lead(observed, now));
            Leading::Standby { leader: leader.map(|observed| observed.record.leader()) }
        };
        let ours = |renewed| Leading::Leader { term: self.term, until: renewed + GIVE_UP };
        let told = self.renewed.map_or_else(others, ours);
        self.leading.send_if_modified(|leading| {
            let changes = *leading != told;
            *leading = told;
            changes
        });
    }

    /// Lets another lead at once.
    async fn release(&mut self) {
        let led = self.renewed.take().is_some();
        self.leading.send_replace(Leading::default());
        let Some(lease) = self.lease.as_ref().filter(|_| led) else { return };
        let lease = released(lease, Timestamp::now());
        match call("release", self.api.replace(&self.name, &PostParams::default(), &lease)).await {
            Called::Done(_) => info!(lease = %self.name, "released the lease"),
            Called::Conflict | Called::Failed => {
                warn!(lease = %self.name, "the lease is not released, another replica waits until it is over");
            }
        }
    }
}

/// One call. A conflict is no error: what is there now is read.
async fn call<T>(what: &'static str, request: impl Future<Output = kube::Result<T>>) -> Called<T> {
    match timeout(CALL, request).await {
        Ok(Ok(answer)) => Called::Done(answer),
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => Called::Conflict,
        Ok(Err(error)) => {
            warn!(%error, "cannot {what} the lease");
            Called::Failed
        }
        Err(_) => {
            warn!(timeout = ?CALL, "cannot {what} the lease: the API server did not answer in time");
            Called::Failed
        }
    }
}
