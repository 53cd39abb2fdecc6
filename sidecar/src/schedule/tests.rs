//! The schedule on a clock that stands still until told otherwise, with a walker that only takes time.
#![allow(clippy::expect_used)]

use std::cell::RefCell;
use std::rc::Rc;

use peerwalk_model::Timestamp;
use peerwalk_model::plan::{DnsTarget, RecordType, Retries, TargetKind};
use tokio::time::{advance, sleep, timeout};

use super::*;

/// What happened, to which target, after how many milliseconds, and why.
type Note = (&'static str, String, u64, Trigger);

/// Notes when walks begin and end; each takes as long as the target's total timeout.
struct Fake {
    began: Instant,
    log: Rc<RefCell<Vec<Note>>>,
}

impl Walker for Fake {
    fn walk<'a>(
        &'a self,
        job: Job,
        mut report: Box<dyn FnMut(Walk) + Send + 'a>,
    ) -> LocalBoxFuture<'a, Walk> {
        let note = |what| {
            let at = u64::try_from(self.began.elapsed().as_millis()).expect("a short test");
            self.log.borrow_mut().push((what, job.key.target.clone(), at, job.trigger));
        };
        note("begin");
        async move {
            let walk = Walk::begin(job.key.clone(), job.generation, job.trigger, Timestamp::default());
            report(Walk { interim: true, ..walk.clone() });
            sleep(job.target.total_timeout).await;
            let at = u64::try_from(self.began.elapsed().as_millis()).expect("a short test");
            self.log.borrow_mut().push(("end", job.key.target.clone(), at, job.trigger));
            walk
        }
        .boxed_local()
    }
}

fn key(target: &str) -> TargetKey {
    TargetKey { check: "web".into(), target: target.into() }
}

fn target(name: &str, interval: u64, takes: u64) -> PlannedTarget {
    PlannedTarget {
        kind: TargetKind::Dns(DnsTarget { name: name.into(), record: RecordType::A }),
        http: None,
        connect_timeout: Duration::from_secs(1),
        total_timeout: Duration::from_millis(takes),
        interval: Duration::from_millis(interval),
        retries: Retries { attempts: 1, backoff: Duration::ZERO, max_backoff: Duration::ZERO },
        controls: Vec::new(),
    }
}

fn plan(generation: u64, targets: &[(&str, u64, u64)]) -> Order {
    let targets = targets.iter().map(|(name, interval, takes)| (key(name), target(name, *interval, *takes)));
    Order::Plan(Plan { generation, targets: targets.collect() })
}

/// Runs a schedule for `total`, with orders at moments in ms, and gives what was noted.
async fn noted(orders: Vec<(u64, Order)>, total: u64) -> Vec<Note> {
    let log = Rc::new(RefCell::new(Vec::new()));
    let fake = Fake { began: Instant::now(), log: Rc::clone(&log) };
    found(&fake, orders, total).await;
    log.take()
}

/// The same, for the walks that come of it.
async fn found(fake: &Fake, orders: Vec<(u64, Order)>, total: u64) -> Vec<Walk> {
    let (order, receiver) = mpsc::channel(8);
    let (walks, mut walked) = mpsc::channel(1024);
    let began = fake.began;
    let script = async {
        for (at, one) in orders {
            sleep_until(began + Duration::from_millis(at)).await;
            order.send(one).await.expect("the schedule runs");
        }
        std::future::pending::<()>().await;
    };
    let mut found = Vec::new();
    let all = async {
        tokio::join!(run(fake, receiver, walks, |whole| whole / 2), script, async {
            while let Some(walk) = walked.recv().await {
                found.push(walk);
            }
        })
    };
    let _ = timeout(Duration::from_millis(total), all).await;
    found
}

fn starts(log: &[Note], name: &str) -> Vec<(u64, Trigger)> {
    log.iter().filter(|(what, n, ..)| *what == "begin" && n == name).map(|(_, _, at, t)| (*at, *t)).collect()
}

use Trigger::{Event, Interval};

#[tokio::test(start_paused = true)]
async fn new_targets_are_walked_at_once_and_then_at_their_interval() {
    let log = noted(vec![(0, plan(1, &[("a", 10_000, 10), ("b", 20_000, 10)]))], 41_000).await;
    assert_eq!(
        starts(&log, "a"),
        [(0, Event), (10_000, Interval), (20_000, Interval), (30_000, Interval), (40_000, Interval)]
    );
    assert_eq!(
        starts(&log, "b"),
        [(50, Event), (20_000, Interval), (40_000, Interval)],
        "a little later than a at first, and then together with it"
    );
}

#[tokio::test(start_paused = true)]
async fn a_few_walks_that_are_nearly_due_begin_together() {
    let names = ["a", "b", "c", "d", "e", "f"];
    let alike: Vec<_> = names.iter().map(|name| (*name, 4_000, 10)).chain([("late", 6_000, 10)]).collect();
    let log = noted(vec![(0, plan(1, &alike))], 5_900).await;
    let of_interval = |name| starts(&log, name).into_iter().filter(|(_, trigger)| *trigger == Interval);
    for (name, at) in names.iter().zip([4_000, 4_000, 4_000, 4_000, 4_200, 4_200]) {
        assert_eq!(of_interval(name).collect::<Vec<_>>(), [(at, Interval)], "{name}");
    }
    assert_eq!(of_interval("late").count(), 0, "what is due in more than a part of its interval waits");
}

#[tokio::test(start_paused = true)]
async fn a_new_plan_touches_only_what_is_new_or_changed() {
    let orders = vec![
        (0, plan(1, &[("changed", 10_000, 10), ("gone", 10_000, 10), ("same", 10_000, 10)])),
        (5_000, plan(2, &[("changed", 30_000, 10), ("same", 10_000, 10), ("new", 30_000, 10)])),
    ];
    let log = noted(orders, 15_000).await;
    assert_eq!(starts(&log, "same"), [(100, Event), (10_100, Interval)], "it keeps its rhythm");
    assert_eq!(starts(&log, "changed"), [(0, Event), (5_000, Event)], "it is walked anew");
    assert_eq!(starts(&log, "new"), [(5_050, Event)]);
    assert_eq!(starts(&log, "gone"), [(50, Event)], "it is walked no more");
}

#[tokio::test(start_paused = true)]
async fn a_change_is_walked_soon_and_once_more() {
    let orders = vec![
        (0, plan(1, &[("a", 60_000, 10), ("b", 60_000, 10)])),
        (5_000, Order::WalkNow(vec![key("a")])),
        (5_050, Order::WalkNow(vec![key("a"), key("unknown")])),
    ];
    let log = noted(orders, 15_000).await;
    assert_eq!(starts(&log, "a"), [(0, Event), (5_250, Event), (7_300, Event)], "two orders are one change");
    assert_eq!(starts(&log, "b"), [(50, Event)], "nobody asked for it");
    let all = vec![(0, plan(1, &[("a", 60_000, 10)])), (5_000, Order::WalkNow(Vec::new()))];
    assert_eq!(starts(&noted(all, 6_000).await, "a").len(), 2, "no targets means all");
}

#[tokio::test(start_paused = true)]
async fn a_change_stops_a_walk_under_way_but_not_the_one_that_takes_its_place() {
    let change = |at| (at, Order::WalkNow(vec![key("a")]));
    let orders = vec![(0, plan(1, &[("a", 60_000, 5_000)])), change(1_000), change(2_000), change(3_000)];
    let log = noted(orders, 20_000).await;
    assert_eq!(starts(&log, "a")[..2], [(0, Event), (1_250, Event)], "the first walk is outdated");
    let ends: Vec<u64> = log.iter().filter(|(what, ..)| *what == "end").map(|(_, _, at, _)| *at).collect();
    assert_eq!(ends[0], 6_250, "the second comes to its end, whatever else changes");
    assert_eq!(starts(&log, "a")[2], (6_250, Event), "what changed meanwhile is walked after it");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_gone_stops_its_walk() {
    let orders = vec![(0, plan(1, &[("a", 60_000, 5_000)])), (1_000, plan(2, &[]))];
    let log = noted(orders, 20_000).await;
    assert!(log.iter().all(|(what, ..)| *what == "begin"), "it did not end: {log:?}");
}

#[tokio::test(start_paused = true)]
async fn only_so_many_walks_run_at_once() {
    let names: Vec<String> = (0..40).map(|n| format!("t{n:02}")).collect();
    let targets: Vec<_> = names.iter().map(|name| (name.as_str(), 3_600_000, 3_000)).collect();
    let log = noted(vec![(0, plan(1, &targets))], 60_000).await;
    let (mut now, mut most, mut ended) = (0_i32, 0, 0);
    for (what, ..) in &log {
        now += if *what == "begin" { 1 } else { -1 };
        ended += i32::from(*what == "end");
        most = most.max(now);
    }
    assert_eq!((most, ended), (16, 40), "sixteen at once, and all of them in the end");
}

#[tokio::test(start_paused = true)]
async fn targets_that_are_the_same_share_their_walks() {
    let same = |generation, names: &[&str]| {
        let targets = names.iter().map(|name| (key(name), target("db.ledger.svc", 10_000, 1_000)));
        Order::Plan(Plan { generation, targets: targets.collect() })
    };
    let walks_of = async |orders: Vec<(u64, Order)>, total| {
        let log = Rc::new(RefCell::new(Vec::new()));
        let fake = Fake { began: Instant::now(), log: Rc::clone(&log) };
        let found = found(&fake, orders, total).await;
        let walks: Vec<(String, bool)> =
            found.into_iter().map(|walk| (walk.target.target, walk.interim)).collect();
        (log.take(), walks)
    };
    let (log, walks) = walks_of(vec![(0, same(1, &["a", "b"]))], 9_000).await;
    assert_eq!(starts(&log, "a"), [(0, Event)], "one walk");
    assert_eq!(starts(&log, "b"), [], "for both");
    let expected = [("a", true), ("b", true), ("a", false), ("b", false)];
    assert_eq!(walks, expected.map(|(name, interim)| (name.to_owned(), interim)), "each has its report");
    let orders = vec![
        (0, same(1, &["a", "b"])),
        (2_000, Order::WalkNow(vec![key("b")])),
        (6_000, same(2, &["b"])),
        (8_000, same(3, &["b", "c"])),
    ];
    let (log, walks) = walks_of(orders, 9_500).await;
    assert_eq!(
        starts(&log, "a"),
        [(0, Event), (2_250, Event), (4_250, Event)],
        "asked for by another's name"
    );
    assert_eq!(starts(&log, "b"), [(8_000, Event)], "what is left keeps the rhythm, until c is new");
    assert_eq!(walks.last(), Some(&("c".to_owned(), false)), "and has evidence at once");
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_its_orders() {
    let fake = Fake { began: Instant::now(), log: Rc::default() };
    let (order, receiver) = mpsc::channel(1);
    let (walks, _found) = mpsc::channel(1);
    drop(order);
    run(&fake, receiver, walks, |whole| whole).await;
    advance(Duration::ZERO).await;
}
