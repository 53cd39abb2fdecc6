//! When to walk what: each target at its own interval, at once when it is new or asked for, never more than
//! a few at a time.

mod timetable;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{AbortHandle, Abortable, Aborted, LocalBoxFuture};
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use peerwalk_model::evidence::Trigger;
use peerwalk_model::plan::PlannedTarget;
use peerwalk_model::{Plan, TargetKey, Walk};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use timetable::Timetable;

/// Walks one target.
pub trait Walker {
    /// Walks it once. `report` gets interim reports; dropping the future stops the walk.
    fn walk<'a>(&'a self, job: Job, report: Box<dyn FnMut(Walk) + Send + 'a>) -> LocalBoxFuture<'a, Walk>;
}

/// One walk to make.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Which target.
    pub key: TargetKey,
    /// Others that are the same in everything: the walk is theirs too.
    pub others: Vec<TargetKey>,
    /// What it is.
    pub target: Arc<PlannedTarget>,
    /// The plan's number, as the ledger counts.
    pub generation: u64,
    /// Why.
    pub trigger: Trigger,
}

impl Walker for peerwalk_probe::Prober {
    fn walk<'a>(&'a self, job: Job, report: Box<dyn FnMut(Walk) + Send + 'a>) -> LocalBoxFuture<'a, Walk> {
        async move {
            let Job { key, others: _, target, generation, trigger } = job;
            Box::pin(Self::walk(self, key, &target, generation, trigger, report)).await
        }
        .boxed_local()
    }
}

/// What the hub wants.
#[derive(Clone, Debug)]
pub enum Order {
    /// A new plan, with the ledger's number in the place of the generation.
    Plan(Plan),
    /// Walk these now; all when empty.
    WalkNow(Vec<TargetKey>),
}

/// What the schedule wants of whoever runs the walks.
#[derive(Clone, Debug, PartialEq)]
enum Command {
    /// Begin a walk, with a number to tell it by.
    Start(u64, Job),
    /// Stop a walk: something has changed since it began.
    Stop(u64),
}

/// Walks for ever, until the orders end. `part_of` gives a random part of a duration.
pub async fn run(
    walker: &impl Walker,
    mut orders: mpsc::Receiver<Order>,
    walks: mpsc::Sender<Walk>,
    part_of: fn(Duration) -> Duration,
) {
    let began = Instant::now();
    let mut timetable = Timetable::new(part_of);
    let mut running = FuturesUnordered::new();
    let mut handles: HashMap<u64, AbortHandle> = HashMap::new();
    loop {
        for command in timetable.due(began.elapsed()) {
            match command {
                Command::Start(number, job) => {
                    let (handle, registration) = AbortHandle::new_pair();
                    handles.insert(number, handle);
                    let walk = one(walker, job, walks.clone());
                    running.push(Abortable::new(walk, registration).map(move |result| (number, result)));
                }
                Command::Stop(number) => {
                    if let Some(handle) = handles.remove(&number) {
                        handle.abort();
                    }
                }
            }
        }
        let next = timetable.next().map(|at| began + at);
        let wake = async {
            match next {
                Some(at) => sleep_until(at).await,
                None => futures::future::pending().await,
            }
        };
        tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Plan(plan)) => timetable.plan(plan, began.elapsed()),
                Some(Order::WalkNow(targets)) => timetable.walk_now(&targets, began.elapsed()),
                None => return,
            },
            Some((number, result)) = running.next() => {
                let _: Result<(), Aborted> = result;
                handles.remove(&number);
                timetable.finished(number);
            }
            () = wake => {}
        }
    }
}

async fn one(walker: &impl Walker, job: Job, walks: mpsc::Sender<Walk>) {
    let others = job.others.clone();
    let copies = |walk: Walk| {
        let of_others: Vec<Walk> =
            others.iter().map(|target| Walk { target: target.clone(), ..walk.clone() }).collect();
        std::iter::once(walk).chain(of_others)
    };
    // An interim report is worth nothing later, so it does not wait for room.
    let report = Box::new(|walk| {
        for copy in copies(walk) {
            let _ = walks.try_send(copy);
        }
    });
    let walk = walker.walk(job, report).await;
    for copy in copies(walk) {
        // Nobody takes walks any more: the process is ending.
        let _ = walks.send(copy).await;
    }
}

#[cfg(test)]
mod tests;
