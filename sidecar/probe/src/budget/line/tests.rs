//! Plans far above the budget, walked on a paused clock: what is spent is spent on walks that come to their end, and
//! every target has its turn.

use std::net::SocketAddr;

use futures::future::join_all;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use super::super::{CONNECTS_PER_SECOND, Gate, Pace, QUERIES_PER_SECOND};
use super::*;

const MINUTE: Duration = Duration::from_mins(1);
const INTERVAL: Duration = Duration::from_secs(5);
/// Walks of one sidecar at the same time.
const AT_ONCE: usize = 16;
/// As long as 200 targets of six queries take, and a minute.
const MINUTES: u32 = 5;

/// What a target costs.
#[derive(Clone, Copy)]
struct Cost {
    /// Names of the search list, each asked for with both types.
    names: usize,
    /// How long the name server takes.
    answer: Duration,
    dials: u8,
    /// Changes all the time.
    changing: bool,
}

const SERVICE: Cost = Cost { names: 3, answer: Duration::from_millis(5), dials: 2, changing: false };

struct Found {
    /// Whole walks of each target.
    whole: Vec<u32>,
    queries: u32,
    dials: u32,
}

impl Found {
    fn walks(&self) -> u32 {
        self.whole.iter().sum()
    }

    fn without(&self) -> Vec<usize> {
        (0..self.whole.len()).filter(|target| self.whole[*target] == 0).collect()
    }
}

struct World {
    gate: Gate,
    room: Semaphore,
    found: Mutex<Found>,
    end: Instant,
}

/// Walks all targets as a sidecar does.
async fn walked(plan: &[Cost], minutes: u32) -> Found {
    let found = Found { whole: vec![0; plan.len()], queries: 0, dials: 0 };
    let world = World {
        gate: Gate::default(),
        room: Semaphore::new(AT_ONCE),
        found: Mutex::new(found),
        end: Instant::now() + MINUTE * minutes,
    };
    join_all(plan.iter().enumerate().map(|(target, cost)| world.target(target, *cost))).await;
    world.found.into_inner().unwrap()
}

impl World {
    async fn target(&self, target: usize, cost: Cost) {
        sleep(Duration::from_millis(10) * u32::try_from(target).unwrap()).await;
        let mut without = Instant::now();
        while Instant::now() < self.end {
            let permit = self.room.acquire().await.unwrap();
            let due = Instant::now() + INTERVAL;
            let allowance = Allowance::new(Duration::from_secs(3)).without_since(without, cost.changing);
            if self.walk(target, cost, &allowance).await {
                without = Instant::now();
                self.found.lock().unwrap().whole[target] += 1;
            }
            drop(permit);
            tokio::time::sleep_until(due).await;
        }
    }

    async fn walk(&self, target: usize, cost: Cost, allowance: &Allowance) -> bool {
        for _ in 0..cost.names {
            let ask = || async {
                let granted = self.gate.query(allowance).await;
                self.found.lock().unwrap().queries += u32::from(granted);
                if granted {
                    sleep(cost.answer).await;
                }
                granted
            };
            if join_all([ask(), ask()]).await.contains(&false) {
                return false;
            }
        }
        for dial in 0..cost.dials {
            let remote = SocketAddr::from(([10, 244, dial, u8::try_from(target).unwrap()], 80));
            if !self.gate.connect(remote, Pace::Spaced, allowance).await {
                return false;
            }
            self.found.lock().unwrap().dials += 1;
        }
        true
    }
}

#[tokio::test(start_paused = true)]
async fn queries_are_spent_on_walks_that_end() {
    let found = walked(&[SERVICE; 200], MINUTES).await;
    assert_eq!(found.without(), Vec::<usize>::new(), "every target has its turn");
    let possible = QUERIES_PER_SECOND * 60 * MINUTES / 6;
    assert!(found.walks() * 10 >= possible * 8, "{} walks of {possible}", found.walks());
    assert!(
        found.walks() * 6 * 10 >= found.queries * 9,
        "{} walks of {} queries",
        found.walks(),
        found.queries
    );
    let (most, least) = (found.whole.iter().max(), found.whole.iter().min());
    assert!(most <= least.map(|least| least + 2).as_ref(), "{most:?} of one and {least:?} of another");
}

#[tokio::test(start_paused = true)]
async fn connects_are_spent_on_walks_that_end() {
    let found = walked(&[Cost { names: 0, ..SERVICE }; 200], MINUTES).await;
    assert_eq!(found.without(), Vec::<usize>::new(), "every target has its turn");
    let possible = CONNECTS_PER_SECOND * 60 * MINUTES / 2;
    assert!(found.walks() * 10 >= possible * 8, "{} walks of {possible}", found.walks());
    assert!(found.walks() * 2 * 10 >= found.dials * 9, "{} walks of {} dials", found.walks(), found.dials);
    let (most, least) = (found.whole.iter().max(), found.whole.iter().min());
    assert!(most <= least.map(|least| least + 2).as_ref(), "{most:?} of one and {least:?} of another");
}

#[tokio::test(start_paused = true)]
async fn a_slow_server_keeps_nobody_else_from_asking() {
    let slow = Cost { answer: Duration::from_secs(3), ..SERVICE };
    let plan: Vec<Cost> = (0..200).map(|n| if n % 2 == 0 { slow } else { SERVICE }).collect();
    let found = walked(&plan, MINUTES).await;
    assert_eq!(found.without(), Vec::<usize>::new(), "every target has its turn");
    let spent = QUERIES_PER_SECOND * 60 * MINUTES;
    assert!(found.queries * 10 >= spent * 9, "{} queries of {spent}: what there is is used", found.queries);
    assert!(
        found.walks() * 6 * 10 >= found.queries * 8,
        "{} walks of {} queries",
        found.walks(),
        found.queries
    );
}

#[tokio::test(start_paused = true)]
async fn targets_that_change_all_the_time_go_ahead_and_not_for_ever() {
    let changing = Cost { changing: true, ..SERVICE };
    let plan: Vec<Cost> = (0..100).map(|n| if n < 20 { changing } else { SERVICE }).collect();
    let of = |found: &Found| [0..20, 20..100].map(|of| found.whole[of].iter().sum::<u32>());
    let [changing, others] = of(&walked(&plan, MINUTES).await);
    assert!(changing / 20 > 10 * others / 80, "{changing} of 20 and {others} of 80 at first");
    let later = walked(&plan, 2 * MINUTES).await;
    assert_eq!(later.without(), Vec::<usize>::new(), "every target has its turn, later: {:?}", of(&later));
}

fn allowance(without: Instant) -> Allowance {
    Allowance::new(Duration::from_secs(3)).without_since(without, false)
}

#[tokio::test(start_paused = true)]
async fn who_is_dropped_leaves_its_place_to_the_next() {
    let (line, now) = (Line::new(8), Instant::now());
    let (first, second) = (allowance(now), allowance(now + Duration::from_secs(1)));
    let dropped = Box::pin(line.pass(&first, || Err(Duration::from_secs(2))));
    let waiting = line.pass(&second, || Ok(true));
    let got = tokio::select! {
        biased;
        _ = dropped => unreachable!("there is nothing to take"),
        () = sleep(Duration::from_millis(1)) => waiting.await,
    };
    assert_eq!(got, Some(true), "the first is gone");
    assert!(line.is_empty(), "and so is the second");
}

#[tokio::test(start_paused = true)]
async fn who_had_its_turn_last_is_sent_away_first() {
    let (line, now) = (Line::new(2), Instant::now());
    let nothing = || Err(Duration::from_secs(4));
    let walks = [30, 10, 20].map(|s| allowance(now + Duration::from_secs(s)));
    let begun = allowance(now + Duration::from_secs(40));
    begun.begin();
    let ended = |walk: &'static str, allowance| {
        let line = &line;
        async move {
            line.pass(allowance, nothing).await;
            (walk, now.elapsed())
        }
    };
    let waits = [("30", &walks[0]), ("10", &walks[1]), ("begun", &begun), ("20", &walks[2])];
    let waits = join_all(waits.map(|(walk, allowance)| ended(walk, allowance))).await;
    let sent_away: Vec<_> =
        waits.iter().filter(|(_, waited)| waited.is_zero()).map(|(walk, _)| *walk).collect();
    assert_eq!(sent_away, ["30"], "of three that have nothing yet and two that may wait: {waits:?}");
}
