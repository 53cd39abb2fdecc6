//! Keeps certificates served that others accept: leaves are renewed, the Secret that another replica changed is taken
//! over, and the replica that leads rotates the authorities.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use kube::runtime::{WatchStreamExt, watcher};
use peerwalk_controller::{Leading, leads_now};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::{Certificates, CertificatesError, store};
use crate::pki::{Authorities, SecretData, Situation, TOLD_FOR, step};

/// How often everything is looked at. By the wall clock each time, so that a clock that was set is noticed.
const INTERVAL: Duration = Duration::from_mins(1);

/// What is needed to keep certificates.
pub struct Keeping {
    /// The Secrets of the operator's namespace. Needs `list`, `watch` and `update` on the one of that name.
    pub secrets: Api<Secret>,
    /// The Secret.
    pub name: String,
    /// Whether this replica is the one that rotates.
    pub leading: watch::Receiver<Leading>,
    /// The fingerprints of hub roots that pods carry; `None` until all pods are known.
    pub carried: watch::Receiver<Option<BTreeSet<String>>>,
    /// What the API server verifies the webhook by, while it is what it should.
    pub told: watch::Receiver<Option<String>>,
    /// What the Secret holds in which somebody else keeps a certificate for the webhook, if any.
    pub given: watch::Receiver<Option<SecretData>>,
    /// The wall clock.
    pub clock: fn() -> Timestamp,
}

/// What was heard of the Secret.
enum Seen {
    Nothing,
    Gone,
    There(Box<Secret>),
}

struct Keeper {
    certificates: Certificates,
    keeping: Keeping,
    seen: Seen,
    /// Whether it led when that was looked at last.
    led: bool,
    /// Since when the authorities are as they are.
    settled: Instant,
    /// Since when the API server has what it should.
    told: Option<Instant>,
}

impl Certificates {
    /// Keeps them until `shutdown`. New connections take new leaves; open ones stay.
    pub async fn keep(self, keeping: Keeping, shutdown: CancellationToken) {
        let keeper = Keeper {
            certificates: self,
            keeping,
            seen: Seen::Nothing,
            led: false,
            settled: Instant::now(),
            told: None,
        };
        shutdown.run_until_cancelled(Box::pin(keeper.run())).await;
    }
}

impl Keeper {
    async fn run(mut self) {
        let objects = watcher::watch_object(self.keeping.secrets.clone(), &self.keeping.name);
        let mut objects = pin!(objects.default_backoff());
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let secret = self.keeping.name.clone();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                Ok(()) = self.keeping.leading.changed() => {
                    let leads = leads_now(&self.keeping.leading);
                    // A lease that is renewed changes nothing.
                    if std::mem::replace(&mut self.led, leads) == leads {
                        continue;
                    }
                }
                Ok(()) = self.keeping.carried.changed() => {}
                Ok(()) = self.keeping.told.changed() => {}
                Ok(()) = self.keeping.given.changed() => self.see_given(),
                event = objects.next() => match event {
                    Some(Ok(Some(object))) => self.see(object),
                    Some(Ok(None)) => self.seen = Seen::Gone,
                    Some(Err(error)) => {
                        tracing::warn!(%error, secret, "cannot watch the Secret of the certificates");
                        continue;
                    }
                    None => return,
                },
            }
            self.renew();
            self.hear_of_bundle();
            self.choose();
            if let Err(error) = self.rotate().await {
                let error = format!("{:#}", anyhow::Error::new(error));
                tracing::error!(error, secret, "certificates are not rotated; the next try is in a minute");
            }
        }
    }

    fn renew(&mut self) {
        match self.certificates.renew_due((self.keeping.clock)()) {
            Ok(0) => {}
            Ok(renewed) => tracing::info!(renewed, "serving certificates renewed"),
            Err(error) => {
                let error = format!("{:#}", anyhow::Error::new(error));
                tracing::error!(error, "serving certificates not renewed; the next try is in a minute");
            }
        }
    }

    /// Takes somebody else's certificate for the webhook.
    fn see_given(&mut self) {
        let given = self.keeping.given.borrow_and_update().clone();
        if let Err(error) = self.certificates.offer(given.as_ref(), (self.keeping.clock)()) {
            let error = format!("{:#}", anyhow::Error::new(error));
            tracing::error!(error, "the certificate given for the webhook is not taken");
        }
    }

    /// Whose certificate the webhook serves.
    fn choose(&mut self) {
        let told = self.told.is_some_and(|since| since.elapsed() >= TOLD_FOR);
        if let Some(which) = self.certificates.choose(told, (self.keeping.clock)()) {
            tracing::info!("the webhook serves {which}");
        }
    }

    /// Takes over what the Secret holds. What is damaged changes nothing.
    fn see(&mut self, secret: Secret) {
        let name = &self.keeping.name;
        let taken = store::from_secret(&secret, name).and_then(|authorities| {
            if authorities.to_data() == self.certificates.authorities.to_data() {
                return Ok(false);
            }
            self.certificates.adopt(authorities, (self.keeping.clock)()).map(|()| true)
        });
        match taken {
            Ok(changed) => {
                if changed {
                    tracing::info!(secret = name, "the authorities have changed");
                    (self.settled, self.told) = (Instant::now(), None);
                }
                self.seen = Seen::There(Box::new(secret));
            }
            Err(error) => {
                let error = format!("{:#}", anyhow::Error::new(error));
                tracing::error!(error, "the Secret is not taken over: what was in use stays in use");
                self.seen = Seen::Nothing;
            }
        }
    }

    /// The next step of a rotation, if this replica leads and one is due.
    async fn rotate(&mut self) -> Result<(), CertificatesError> {
        // By the clock each time; of a write that a pause delayed all the same, the version decides.
        if !leads_now(&self.keeping.leading) {
            return Ok(());
        }
        let secret = match &self.seen {
            Seen::Nothing => return Ok(()),
            Seen::Gone => return self.put_back().await,
            Seen::There(secret) => secret,
        };
        let now = (self.keeping.clock)();
        let next = {
            let carried = self.keeping.carried.borrow_and_update();
            let situation = Situation {
                asked: store::asked(secret),
                carried: carried.as_ref(),
                settled: self.settled.elapsed(),
                told: self.told.map(|since| since.elapsed()),
                now,
            };
            step(&self.certificates.authorities, &situation)
        };
        let Some(next) = next else { return Ok(()) };
        let mut changed = self.copy()?;
        next.apply(&mut changed, now).map_err(CertificatesError::Pki)?;
        let stored = store::replace(&self.keeping.secrets, secret, &changed, next.answers()).await?;
        if let Some(stored) = stored {
            tracing::info!(secret = self.keeping.name, step = ?next, "a step of a rotation is stored");
            self.see(stored);
        }
        // Otherwise the watch brings the version that was faster.
        Ok(())
    }

    /// Somebody deleted the Secret. What is in use is known here, and pods trust it.
    async fn put_back(&mut self) -> Result<(), CertificatesError> {
        let Keeping { secrets, name, .. } = &self.keeping;
        if store::put_new(secrets, name, &self.certificates.authorities).await? {
            tracing::warn!(secret = name, "the Secret was deleted: made again with what is in use");
        }
        self.seen = Seen::Nothing;
        Ok(())
    }

    fn hear_of_bundle(&mut self) {
        let wanted = self.certificates.bundle();
        let told = self.keeping.told.borrow_and_update().as_ref() == Some(&wanted);
        self.told = told.then(|| self.told.unwrap_or_else(Instant::now));
    }

    fn copy(&self) -> Result<Authorities, CertificatesError> {
        let data = self.certificates.authorities.to_data();
        Authorities::from_data(&data)
            .map_err(|source| CertificatesError::Data { secret: self.keeping.name.clone(), source })
    }
}
