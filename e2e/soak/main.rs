//! What fails around Peerwalk, one fault after another beside steady checks, each ending in counts.
//! `cargo xtask soak`.

mod fault;
mod faults;
mod report;
mod steady;

use std::env;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use peerwalk_e2e::counters::{Counters, DEFECTS};
use peerwalk_e2e::measure::progress;
use peerwalk_e2e::observer::Counts;
use peerwalk_e2e::scene::play_alone;
use peerwalk_e2e::workloads::{Workloads, newcomer};
use tokio::time::{sleep, timeout};

use fault::Fault;
use report::{Outcome, Report};
use steady::Steady;

/// What is said later than this after a fault is not blamed on it. Longer than the 45 s that sidecars have to come back.
const AFTERWARDS: Duration = Duration::from_mins(1);
/// For everything to be true before a fault.
const READY_WITHIN: Duration = Duration::from_mins(3);
/// For a pod to start that is made while something is away. Alone it takes a second or two; the API server waits up to
/// 2 s for a webhook, and the machine is busy.
const STARTS_WITHIN: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() -> Result<()> {
    // It needs no nodes and runs on a cluster without.
    if env::args().nth(1).is_some_and(|name| name == "reconnect") {
        return Box::pin(faults::reconnect::play()).await;
    }
    // It begins with another version.
    if env::args().nth(1).is_some_and(|name| name == "upgrade") {
        return Box::pin(faults::upgrade::play()).await;
    }
    let faults = env::args().skip(1).map(|name| Fault::named(&name)).collect::<Result<Vec<_>>>()?;
    let mut report = Report::default();
    play_alone(async |scene, _| {
        let steady = Steady::deploy(scene).await?;
        for fault in &faults {
            progress(&format!("== {}", fault.name()));
            let outcome = Box::pin(suffer(*fault, &steady)).await;
            if let Err(error) = &outcome {
                progress(&format!("{} failed: {error:#}", fault.name()));
            }
            report.add(fault.name(), outcome);
        }
        Ok(())
    })
    .await?;
    report.print();
    let failed = report.failed();
    ensure!(failed.is_empty(), "not as it should be: {}", failed.join("; "));
    Ok(())
}

/// One fault, from a moment when everything was right until everything is right again and has stayed so.
async fn suffer(fault: Fault, steady: &Steady<'_>) -> Result<Outcome> {
    let (scene, observer) = (steady.scene, &steady.observer);
    steady.right(READY_WITHIN).await.context("before the fault")?;
    steady.expect_usual();
    let (before, counted) = (Workloads::of(scene).await?, Counters::of(scene.nodes).await?);
    let (usual_start, injected) = newcomer(scene, "before").await?;
    ensure!(injected, "a pod made before the fault has no sidecar");
    observer.begin();

    let begun = Instant::now();
    let played = timeout(fault.at_most(), Box::pin(fault.play(steady))).await;
    let lasted = begun.elapsed();
    let played = played.unwrap_or_else(|_| bail!("not over after {} s", fault.at_most().as_secs()));
    let mut told = match played {
        Ok(told) => told,
        Err(error) => {
            fault::put_back(steady);
            return Err(error);
        }
    };
    let right = steady.right(fault.right_within()).await.context("after the fault")?;
    steady.expect_usual();
    progress(&format!("right after {:.1} s; looking on for {} s", right.as_secs_f64(), AFTERWARDS.as_secs()));
    sleep(AFTERWARDS).await;
    let changes = observer.counts().changes;
    let at_work = steady.flip_once().await.context("at work after the fault")?;
    let after = Workloads::of(scene).await?;
    let (applications, changed) = after.since(&before);
    // Those of the policy that came and went are no news.
    let counts = Counts { changes, ..observer.counts() };
    let lost = Counters::of(scene.nodes).await?.since(&counted);
    for defect in DEFECTS.iter().filter(|defect| lost.contains_key(**defect)) {
        told.wrong.push(format!("{defect} was counted"));
    }
    told.wrong.extend(counts.wrong.iter().cloned());
    told.wrong.extend(changed);
    if !fault.may_doubt() && counts.doubts > 0 {
        told.wrong.push(format!("{} answers became Unknown", counts.doubts));
    }
    if let Some(took) = told.started.filter(|took| *took > STARTS_WITHIN) {
        told.wrong.push(format!("a pod took {took:?} to start"));
    }
    let sidecars = after.sidecar_restarts - before.sidecar_restarts;
    Ok(Outcome { lasted, right, at_work, usual_start, counts, applications, sidecars, lost, told })
}
