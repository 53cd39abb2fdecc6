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

use fault::{Fault, RECONNECT, UPGRADE};
use report::{Outcome, Report};
use steady::Steady;

/// What is said later than this after a fault is not blamed on it. Longer than the 45 s that sidecars have to come back.
const AFTERWARDS: Duration = Duration::from_mins(1);
/// For everything to be true before a fault.
const READY_WITHIN: Duration = Duration::from_mins(3);
/// By how much later a pod may start that is made meanwhile, than one that was made before: the API server waits up to
/// 2 s for a webhook, and the machine is busy.
const STARTS_LATER: Duration = Duration::from_secs(5);
/// Have the result in `docs/soak.md`.
const WRITE: &str = "--write-docs";

#[tokio::main]
async fn main() -> Result<()> {
    let (options, names): (Vec<String>, Vec<String>) = env::args().skip(1).partition(|name| name == WRITE);
    let write = !options.is_empty();
    if names == [RECONNECT] {
        return Box::pin(faults::reconnect::play(write)).await;
    }
    // It begins with another version.
    if names == [UPGRADE] {
        return Box::pin(faults::upgrade::play(write)).await;
    }
    let faults = names.iter().map(|name| Fault::named(name)).collect::<Result<Vec<_>>>()?;
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
            // What was counted is kept, whatever happens to those that follow.
            if write {
                report.write()?;
            }
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
    let since = after.since(&before);
    // Those of the policy that came and went are no news.
    let counts = Counts { changes, ..observer.counts() };
    let lost = Counters::of(scene.nodes).await?.since(&counted);
    for defect in DEFECTS.iter().filter(|defect| lost.contains_key(**defect)) {
        told.wrong.push(format!("{defect} was counted"));
    }
    told.wrong.extend(counts.wrong.iter().cloned());
    told.wrong.extend(since.changed.iter().cloned());
    if fault.leaves_operators() {
        told.wrong.extend(since.operators);
    }
    if fault.leaves_api() && counts.gaps > 0 {
        told.wrong
            .push(format!("the observer had to list {} times and may have missed something", counts.gaps));
    }
    if !fault.may_doubt() && !told.may_doubt && counts.doubts > 0 {
        told.wrong.push(format!("{} answers became Unknown", counts.doubts));
    }
    if let Some(took) = told.started.filter(|took| *took > usual_start + STARTS_LATER) {
        told.wrong.push(format!("a pod took {:.1} s to start", took.as_secs_f64()));
    }
    let sidecars = after.sidecar_restarts - before.sidecar_restarts;
    let applications = (since.applications, since.changed.len());
    Ok(Outcome { lasted, right, at_work, usual_start, counts, applications, sidecars, lost, told })
}
