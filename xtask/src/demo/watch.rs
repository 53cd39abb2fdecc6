//! The checks' conditions as they change, with the moment each change was seen.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use peerwalk_cluster::Cluster;
use serde_json::{Deserializer, Value};

use super::interrupt::Interrupt;

const POLL: Duration = Duration::from_millis(100);

/// What a check says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Of the condition Ready.
    pub(crate) ready: String,
    pub(crate) reason: String,
    pub(crate) message: String,
    /// The rows of the targets: reason, confidence, policy and message, for whom looks for a word.
    details: String,
}

/// What a check should say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    pub(crate) ready: &'static str,
    /// Any where it is absent.
    pub(crate) reason: Option<&'static str>,
    /// Each is in the message or in a row.
    pub(crate) words: &'static [&'static str],
}

impl Verdict {
    fn of(check: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let status = &check["status"];
        let conditions = status["conditions"].as_array();
        let ready =
            conditions.and_then(|all| all.iter().find(|c| c["type"] == "Ready")).unwrap_or(&Value::Null);
        let rows = status["targets"].as_array().map(Vec::as_slice).unwrap_or_default();
        let row = |row: &Value| {
            let policy = &row["policy"];
            let words = [&row["reason"], &row["confidence"], &row["message"]].map(text).join(" ");
            format!("{words} {}/{}\n", text(&policy["namespace"]), text(&policy["name"]))
        };
        Self {
            ready: text(&ready["status"]),
            reason: text(&ready["reason"]),
            message: text(&ready["message"]),
            details: rows.iter().map(row).collect(),
        }
    }

    fn is(&self, expected: &Expected) -> bool {
        self.ready == expected.ready
            && expected.reason.is_none_or(|r| r == self.reason)
            && expected.words.iter().all(|w| self.message.contains(w) || self.details.contains(w))
    }
}

/// A `kubectl get --watch` on the shop's checks.
pub(crate) struct Watch {
    kubectl: Child,
    changes: Receiver<(Instant, String, Verdict)>,
    /// By name of the check, with the moment it was seen.
    latest: BTreeMap<String, (Instant, Verdict)>,
}

/// How waiting for a verdict ended.
pub(crate) struct Waited {
    /// When it was seen, counted from the moment asked for; `None` when it did not come.
    pub(crate) took: Option<Duration>,
    /// The last that was seen of the check.
    pub(crate) last: Option<Verdict>,
}

impl Watch {
    pub(crate) fn start(cluster: &Cluster) -> Result<Self> {
        let mut kubectl = cluster
            .kubectl()
            .args(["-n", "shop", "get", "connectivitychecks", "--watch", "-o", "json"])
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start kubectl")?;
        let stdout = kubectl.stdout.take().context("kubectl has no output")?;
        let (sender, changes) = mpsc::channel();
        thread::spawn(move || {
            let objects = Deserializer::from_reader(BufReader::new(stdout)).into_iter::<Value>();
            for check in objects.map_while(Result::ok) {
                let name = check["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                if sender.send((Instant::now(), name, Verdict::of(&check))).is_err() {
                    return;
                }
            }
        });
        Ok(Self { kubectl, changes, latest: BTreeMap::new() })
    }

    /// Waits until a check says what is expected, as seen after `begun`, and tells each verdict on the way with the
    /// time since `from`.
    pub(crate) fn wait(
        &mut self,
        check: &str,
        expected: &Expected,
        (begun, from): (Instant, Instant),
        bound: Duration,
        interrupt: &Interrupt,
        mut tell: impl FnMut(Duration, &Verdict),
    ) -> Result<Waited> {
        let mut told = None;
        loop {
            if let Some((at, verdict)) = self.latest.get(check).filter(|(at, _)| *at >= begun) {
                let took = at.saturating_duration_since(from);
                let short = (verdict.ready.clone(), verdict.reason.clone());
                if told.as_ref() != Some(&short) {
                    tell(took, verdict);
                    told = Some(short);
                }
                if verdict.is(expected) {
                    return Ok(Waited { took: Some(took), last: Some(verdict.clone()) });
                }
            }
            if from.elapsed() > bound {
                let last = self.latest.get(check).map(|(_, verdict)| verdict.clone());
                return Ok(Waited { took: None, last });
            }
            interrupt.check()?;
            match self.changes.recv_timeout(POLL) {
                Ok((at, name, verdict)) => drop(self.latest.insert(name, (at, verdict))),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    // Ctrl-C ends kubectl as well, perhaps before it is noticed here.
                    thread::sleep(POLL);
                    interrupt.check()?;
                    bail!("kubectl stopped watching the checks")
                }
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.kubectl.kill();
        let _ = self.kubectl.wait();
    }
}

#[cfg(test)]
mod tests;
