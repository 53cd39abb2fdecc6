//! From a policy to the condition that says so, on real nodes, in its parts: `cargo xtask bench change`.
//!
//! All parts are read off one clock: the API server's answer here, the enforcer's log (data plane), the operator's
//! log (walk, judge, write), and the watch here that sees the condition.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use peerwalk_api::ConditionStatus::{False, True};
use peerwalk_cluster::Deny;
use peerwalk_e2e::measure::{median_and_max, progress, table};
use peerwalk_e2e::nodes::{SYSTEM, printed};
use peerwalk_e2e::object::{self, NODE_1, NODE_2, to_service};
use peerwalk_e2e::scene::{CLIENT, SERVER, Scene, play_alone};
use serde_json::{Value, json};

/// Tries of each mode.
const TRIES: u64 = 30;

/// Moments of one try, in milliseconds of the epoch.
#[derive(Clone, Copy, Debug)]
struct Try {
    /// The API server had taken the policy.
    applied: i64,
    /// The kernel of the server's node had it; `None` when the log does not say.
    enforced: Option<i64>,
    /// The walk that proved it began, ended and was heard of.
    walk: (i64, i64, i64),
    judged: i64,
    written: i64,
    /// The watch here saw the condition.
    seen: i64,
}

/// A part of a try, in milliseconds.
type Part = fn(&Try) -> Option<i64>;

#[tokio::main]
async fn main() -> Result<()> {
    for (mode, aim) in [(Deny::Drop, "1.5 s and 2.5 s"), (Deny::Reject, "1.5 s and 2.5 s")] {
        play_alone(async |scene, alone| {
            alone.deny(mode)?;
            let tries = tries(scene).await?;
            say(mode, aim, &tries)
        })
        .await?;
    }
    Ok(())
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

async fn tries(scene: &Scene<'_>) -> Result<Vec<Try>> {
    let (client, server) = (scene.name(CLIENT), scene.name(SERVER));
    let witness = scene.name(CLIENT);
    scene
        .deploy(&[
            object::pod(&client, "client", NODE_1, &["pause"]),
            object::pod(&server, "db", NODE_2, &["serve"]),
            object::service(&server, "db", "db", &json!(8080)),
            // Shows that the path to the node is whole.
            object::pod(&witness, "witness", NODE_2, &["serve"]),
            object::service(&witness, "witness", "witness", &json!(8080)),
        ])
        .await?;
    let targets = [to_service(&server, "db"), to_service(&witness, "witness")];
    let mut check = object::check(&client, "reach", &targets);
    // The interval is the safety net; what is measured comes by the event.
    check["spec"]["interval"] = json!("30s");
    scene.apply(&[check]).await?;
    scene.verdict("reach", True, "AsExpected").await?;
    let policy = object::deny_ingress(&server);
    let mut found = Vec::new();
    for number in 1..=TRIES {
        progress(&format!("try {number} of {TRIES}"));
        scene.apply(std::slice::from_ref(&policy)).await?;
        let applied = now_ms();
        scene.verdict("reach", False, "PolicyDenied").await?;
        let seen = now_ms();
        found.push(parts(scene, applied, seen)?);
        scene.delete(&policy).await?;
        scene.verdict("reach", True, "AsExpected").await?;
        // Refusals are rate limited by the kernel: a full bucket is what a change usually meets. Heartbeats come
        // every 2 s, and a change comes at any time between them.
        let between = number * 617 % 2000;
        tokio::time::sleep(Duration::from_secs(7) + Duration::from_millis(between)).await;
    }
    Ok(found)
}

/// Finds the parts of a try in the logs of the enforcer and the operator.
fn parts(scene: &Scene<'_>, applied: i64, seen: i64) -> Result<Try> {
    let since = format!("--since={}s", (now_ms() - applied) / 1000 + 3);
    let log = ["-n", SYSTEM, "logs", &scene.nodes.leader()?, &since];
    let log = printed(scene.nodes.cluster.kubectl().args(log))?;
    let lines: Vec<(i64, Value)> = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|line| Some((moment(line["timestamp"].as_str()?)?, line)))
        .filter(|(at, _)| (applied - 50..=seen + 50).contains(at))
        .collect();
    let check = format!("{}/reach", scene.name(CLIENT));
    let says = |line: &Value, what: &str, ready: &str| {
        line["message"] == what && line["check"] == check.as_str() && line["ready"] == ready
    };
    let Some(last) = lines.iter().rposition(|(_, line)| says(line, "judged", "False")) else {
        bail!("no line `judged` of {check} in the operator's log:\n{log}")
    };
    let judged = lines[last].0;
    let walk = lines[..=last]
        .iter()
        .rev()
        .find(|(_, line)| line["message"] == "walk" && line["walked"] == "reach/db");
    let (heard, walk) = walk.context("no line `walk` before it")?;
    let ms = |key: &str| walk[key].as_i64().with_context(|| format!("{key} of a walk"));
    let written = lines[last..].iter().find(|(_, line)| says(line, "status written", "False"));
    let (written, _) = written.context("no line `status written` after it")?;
    let (began, ended) = (ms("started_ms")?, ms("ended_ms")?);
    let enforced = enforced(scene, applied, seen)?;
    Ok(Try { applied, enforced, walk: (began, ended, *heard), judged, written: *written, seen })
}

/// When the enforcer of the server's node had told its kernel.
fn enforced(scene: &Scene<'_>, applied: i64, seen: i64) -> Result<Option<i64>> {
    let log = scene.nodes.cluster.audit_log()?.with_file_name(format!("enforcer-{NODE_2}.log"));
    let text = fs::read_to_string(&log).with_context(|| format!("cannot read {}", log.display()))?;
    let of = |line: &str| {
        // 2026/11/26 11:10:10.123456 applied in 4ms: …
        let (date, rest) = line.split_once(' ')?;
        let (time, rest) = rest.split_once(' ')?;
        let at = moment(&format!("{}T{time}Z", date.replace('/', "-")))?;
        (rest.starts_with("applied") && (applied - 50..=seen).contains(&at)).then_some(at)
    };
    Ok(text.lines().find_map(of))
}

/// RFC 3339 in milliseconds of the epoch.
fn moment(text: &str) -> Option<i64> {
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(time.as_millisecond())
}

fn say(mode: Deny, aim: &str, tries: &[Try]) -> Result<()> {
    let parts: [(&str, Part); 7] = [
        ("policy → kernel (data plane)", |t| Some(t.enforced? - t.applied)),
        ("policy → first SYN of the proving walk", |t| Some(t.walk.0 - t.applied)),
        ("walk until its report", |t| Some(t.walk.2.min(t.judged) - t.walk.0)),
        ("report → judged", |t| Some(t.judged - t.walk.2)),
        ("judged → written", |t| Some(t.written - t.judged)),
        ("written → seen by a watch", |t| Some(t.seen - t.written)),
        ("**policy → condition seen**", |t| Some(t.seen - t.applied)),
    ];
    let mut rows = Vec::new();
    for (name, part) in parts {
        let values: Vec<Duration> = tries
            .iter()
            .filter_map(part)
            .map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or_default()))
            .collect();
        let count = values.len();
        let (median, max) = median_and_max(values).context("no values")?;
        rows.push(vec![
            name.to_owned(),
            format!("{} ms", median.as_millis()),
            format!("{} ms", max.as_millis()),
            count.to_string(),
        ]);
    }
    progress(&format!("{} tries; the aim of the whole is {aim}", tries.len()));
    table(&[&format!("deny mode {}", mode.as_str()), "p50", "max", "tries"], &rows);
    Ok(())
}
