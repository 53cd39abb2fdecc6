//! Whatever becomes of plans, operators and walks: the hub is told of targets as they are, and of each of them.
#![allow(clippy::expect_used)]

use std::time::Duration;

use peerwalk_model::evidence::{Resolve, ResolveSource};
use peerwalk_model::plan::{DnsTarget, PlannedTarget, RecordType, Retries, TargetKind};
use proptest::prelude::*;

use super::*;

const TARGETS: [&str; 3] = ["a", "b", "c"];

/// What happens next; numbers are places in [`TARGETS`] or among the walks under way.
#[derive(Clone, Debug)]
enum Step {
    /// The targets become others, or come and go.
    Plan {
        changed: Vec<usize>,
        toggled: Option<usize>,
    },
    /// Another operator, which counts from 1, and may mean another thing by a target.
    Restart {
        changed: Vec<usize>,
    },
    /// The stream broke, and the same operator is there.
    Reattach,
    SendAll,
    Send,
    Begin(usize),
    End(usize),
    Interim(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let some = || prop::collection::vec(0..TARGETS.len(), 0..2);
    let one = 0..TARGETS.len();
    let step = prop_oneof![
        2 => (some(), prop::option::weighted(0.2, one.clone()))
            .prop_map(|(changed, toggled)| Step::Plan { changed, toggled }),
        1 => some().prop_map(|changed| Step::Restart { changed }),
        1 => Just(Step::Reattach),
        1 => Just(Step::SendAll),
        2 => Just(Step::Send),
        4 => one.prop_map(Step::Begin),
        4 => (0_usize..4).prop_map(Step::End),
        1 => (0_usize..4).prop_map(Step::Interim),
    ];
    prop::collection::vec(step, 1..60)
}

/// A hub, a schedule, and what each target is by now: another number each time it becomes another.
#[derive(Default)]
struct World {
    ledger: Ledger,
    generation: u64,
    /// Our number of the plan that is walked.
    number: u64,
    meant: BTreeMap<&'static str, u8>,
    meanings: u8,
    /// Walks under way, with what their target was at their beginning.
    under_way: Vec<(&'static str, u8, Walk)>,
    /// The last whole walk that ended, of what each target is.
    ended: BTreeMap<&'static str, Timestamp>,
    clock: i64,
}

impl World {
    fn change(&mut self, target: usize) {
        self.meanings += 1;
        self.meant.insert(TARGETS[target], self.meanings);
        self.ended.remove(TARGETS[target]);
    }

    fn toggle(&mut self, target: usize) {
        self.ended.remove(TARGETS[target]);
        if self.meant.remove(TARGETS[target]).is_none() {
            self.change(target);
        }
    }

    fn plan(&mut self, whole: bool) {
        let retries = Retries { attempts: 1, backoff: Duration::ZERO, max_backoff: Duration::ZERO };
        let target = |meaning: u8| PlannedTarget {
            kind: TargetKind::Dns(DnsTarget { name: format!("{meaning}.example"), record: RecordType::A }),
            http: None,
            connect_timeout: Duration::from_secs(1),
            total_timeout: Duration::from_secs(5),
            interval: Duration::from_secs(30),
            retries,
            controls: Vec::new(),
        };
        let targets = self.meant.iter().map(|(name, meaning)| (key(name), target(*meaning))).collect();
        if whole {
            self.ledger.begin_stream();
        }
        self.number = self.ledger.plan(Plan { generation: self.generation, targets }, whole).generation;
    }

    fn begin(&mut self, name: &'static str) {
        let Some(meaning) = self.meant.get(name).copied() else { return };
        self.clock += 1;
        let resolve = Resolve {
            name: format!("{meaning}.example"),
            source: ResolveSource::Dns,
            answered: None,
            // Now and then it finds what it found before.
            addresses: vec![[10, 0, 0, u8::try_from(self.clock % 2).expect("a bit")].into()],
            queries: Vec::new(),
            elapsed: Duration::ZERO,
            spent: false,
            pair: None,
        };
        let begun =
            Walk::begin(key(name), self.number, Trigger::Interval, Timestamp::from_millis(self.clock));
        self.under_way.push((name, meaning, Walk { resolve: Some(resolve), ..begun }));
    }

    fn end(&mut self, walk: usize) {
        if walk < self.under_way.len() {
            let (name, meaning, walk) = self.under_way.remove(walk);
            if self.meant.get(name) == Some(&meaning) {
                self.ended.insert(name, walk.started);
            }
            self.ledger.walk(walk);
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Plan { changed, toggled } => {
                for target in changed {
                    self.change(target);
                }
                if let Some(target) = toggled {
                    self.toggle(target);
                }
                self.generation += 1;
                self.plan(false);
            }
            Step::Restart { changed } => {
                for target in changed {
                    self.change(target);
                }
                self.generation = 1;
                self.plan(true);
            }
            Step::Reattach => self.plan(true),
            Step::SendAll => self.ledger.send_all(),
            Step::Send => self.send(),
            Step::Begin(target) => self.begin(TARGETS[target]),
            Step::End(walk) => self.end(walk),
            Step::Interim(walk) => {
                if let Some((_, _, walk)) = self.under_way.get(walk) {
                    self.ledger.walk(Walk { interim: true, ..walk.clone() });
                }
            }
        }
    }

    /// Sends all that waits, and looks at it as the hub does.
    fn send(&mut self) {
        while let Some(walk) = self.ledger.next_evidence() {
            assert_eq!(walk.plan_generation, self.generation, "under the generation that the hub has");
            let meaning = self.meant.get(walk.target.target.as_str()).expect("it is planned");
            let about = walk.resolve.map(|resolve| resolve.name);
            assert_eq!(about, Some(format!("{meaning}.example")), "about {} as it is", walk.target);
        }
    }
}

fn key(target: &str) -> TargetKey {
    TargetKey { check: "web".into(), target: target.into() }
}

proptest! {
    #[test]
    fn evidence_is_about_targets_as_they_are_and_none_is_lost(steps in steps()) {
        let mut world = World::default();
        (0..TARGETS.len()).for_each(|target| world.change(target));
        world.generation = 1;
        world.plan(true);
        for step in steps {
            world.step(step);
        }
        world.send();
        world.ledger.send_all();
        let told: BTreeMap<String, Timestamp> = std::iter::from_fn(|| world.ledger.next_evidence())
            .map(|walk| (walk.target.target, walk.started))
            .collect();
        let ended = world.ended.into_iter().map(|(name, started)| (name.to_owned(), started)).collect();
        prop_assert_eq!(told, ended, "the last walk of each target as it is");
    }
}
