//! `peerwalk wait`: waits until a check says so, for scripts and gates.

mod copy;
mod said;

use std::pin::pin;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use futures::{Stream, StreamExt as _};
use kube::api::DynamicObject;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watch_object};
use peerwalk_api::DurationString;
use tokio::time::timeout;

use super::status::one;
use crate::check::{self, Check};
use crate::connect::{Connection, Session, block_on};
use crate::exit::Exit;
use crate::print;
use copy::Copy;
use said::{Before, Said};

/// What is waited for, and how long.
#[derive(Debug, Args)]
#[command(after_help = "\
Only what is said of the present generation counts. That may have been found before the command
began: a status is written when something changes, and not with every walk. With --fresh a copy of
the check is made, walked and judged anew, and deleted again (this takes the rights to create and
delete checks); where it cannot be made, only a change of Ready after the command began counts.

Examples:
  peerwalk wait storefront -n shop --for ready --timeout 2m
                              after `kubectl -n shop rollout status deployment/web`
  peerwalk wait shop/storefront --for ready --fresh --timeout 60s

Exit codes: 0 ready; 1 failed, with the reason; 2 neither, in time or at all.")]
pub struct Arguments {
    /// The check, as NAME or NAMESPACE/NAME
    #[arg(value_name = "CHECK")]
    pub check: String,
    /// What to wait for
    #[arg(long = "for", value_enum, default_value_t = Goal::Ready, value_name = "STATE")]
    pub goal: Goal,
    /// Only walks that begin after this command count
    #[arg(long)]
    pub fresh: bool,
    /// How long to wait at most, as 500ms, 60s, 2m or 1h
    #[arg(long, default_value = "60s", value_name = "DURATION")]
    pub timeout: DurationString,
    /// Which cluster.
    #[command(flatten)]
    pub connection: Connection,
}

/// What can be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Goal {
    /// Every expectation of the check is met
    Ready,
}

/// Waits.
///
/// # Errors
/// Where the cluster cannot be asked, or has no such check.
pub fn run(arguments: &Arguments) -> Result<Exit> {
    block_on(async {
        let session = arguments.connection.session().await?;
        let mut signals = Signals::new()?;
        let deadline = arguments.timeout.get();
        let mut waiting = Waiting { last: None };
        let mut copy = None;
        let said = {
            let asking = ask(&session, arguments, &mut waiting, &mut copy);
            tokio::select! {
                said = timeout(deadline, asking) => said.ok(),
                () = signals.ended() => Some(Ok(Said::Undecided("the waiting was interrupted".to_owned()))),
            }
        };
        // Whatever came of it, nothing of ours stays.
        if let Some(copy) = copy {
            copy.delete().await;
        }
        let said = said.unwrap_or_else(|| Ok(Said::Undecided(waiting.in_vain(deadline))))?;
        finish(&arguments.check, said)
    })
}

fn finish(check: &str, said: Said) -> Result<Exit> {
    let (exit, words) = match said {
        Said::Ready(message) => (Exit::Done, format!("ready: {message}")),
        Said::Failed { reason, message } => (Exit::Otherwise, format!("failed: {reason}: {message}")),
        Said::Undecided(message) | Said::NotYet(message) => (Exit::Usage, format!("unknown: {message}")),
    };
    print::out(&format!("{check}: {words}\n"))?;
    Ok(exit)
}

/// Asks until there is an answer.
async fn ask(
    session: &Session,
    arguments: &Arguments,
    waiting: &mut Waiting,
    copy: &mut Option<Copy>,
) -> Result<Said> {
    let check = one(session, &arguments.check).await?;
    if !arguments.fresh {
        return follow(session, &check, None, waiting).await;
    }
    match Copy::make(session, &check).await {
        Ok(made) => {
            print::note(&format!(
                "{} is walked and judged as new, as {}/{}, which goes when this ends",
                arguments.check, check.namespace, made.check.name
            ));
            let made = copy.insert(made);
            follow(session, &made.check, None, waiting).await
        }
        Err(error) => {
            print::note(&format!(
                "no copy of the check can be made to be walked anew ({error}): only a change of its own Ready from \
                 now on counts"
            ));
            follow(session, &check, Some(Before::of(&check)), waiting).await
        }
    }
}

/// Watches a check until it says what was waited for.
async fn follow(
    session: &Session,
    check: &Check,
    before: Option<Before>,
    waiting: &mut Waiting,
) -> Result<Said> {
    let namespace = check.namespace.as_str();
    let api = check::api(&session.client, Some(namespace));
    let mut seen = pin!(watch_object(api, &check.name).default_backoff());
    loop {
        let said = said(next(&mut seen, namespace).await?, before.as_ref())?;
        match said {
            Said::NotYet(what) => waiting.says(what),
            said => return Ok(said),
        }
    }
}

fn said(object: Option<DynamicObject>, before: Option<&Before>) -> Result<Said> {
    match object {
        Some(object) => Ok(said::said(&Check::read(object)?, before)),
        None => Ok(Said::Undecided("the check was deleted".to_owned())),
    }
}

/// The next that is seen of the check. A watch that is lost is taken up again; one that is refused is not.
async fn next(
    seen: &mut (impl Stream<Item = watcher::Result<Option<DynamicObject>>> + Unpin),
    namespace: &str,
) -> Result<Option<DynamicObject>> {
    loop {
        match seen.next().await.context("the watch has ended")? {
            Ok(object) => return Ok(object),
            Err(error) => match refused(error) {
                Ok(status) => {
                    let error = kube::Error::Api(status);
                    return Err(check::explained(&error, "watch", Some(namespace)));
                }
                Err(error) => print::note(&format!("the watch is lost and taken up again: {error}")),
            },
        }
    }
}

/// What the server says when it will not be watched.
fn refused(error: watcher::Error) -> Result<Box<kube::core::Status>, watcher::Error> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status)
            if matches!(status.code, 401 | 403 | 404) =>
        {
            Ok(status)
        }
        error => Err(error),
    }
}

/// What is waited for, told when it changes.
struct Waiting {
    last: Option<String>,
}

impl Waiting {
    fn says(&mut self, what: String) {
        if self.last.as_ref() != Some(&what) {
            print::note(&format!("waiting: {what}"));
            self.last = Some(what);
        }
    }

    /// What there was no end to.
    fn in_vain(&self, deadline: Duration) -> String {
        let last = self.last.as_deref().unwrap_or("the cluster has not answered");
        format!("after {} still {last}", DurationString::from(deadline))
    }
}

/// What ends the waiting from outside.
struct Signals {
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let terminate = signal(SignalKind::terminate()).context("signals cannot be heard")?;
        Ok(Self { terminate })
    }

    async fn ended(&mut self) {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
