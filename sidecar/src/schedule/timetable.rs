//! The timetable of walks: pure, on a clock that counts from the start of the process.
//!
//! Targets that are the same in everything (those of two checks, most often) are one entry and share their
//! walks: the destination is dialled once, and all of them say the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use peerwalk_model::evidence::Trigger;
use peerwalk_model::plan::PlannedTarget;
use peerwalk_model::{Plan, TargetKey};

use super::{Command, Job};

/// Walks at one time.
const AT_ONCE: usize = 16;
/// The shortest interval, whatever the plan says.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
/// First walks of new targets are spread over this much each, and no more than [`SPREAD`] together.
const STAGGER: Duration = Duration::from_millis(50);
const SPREAD: Duration = Duration::from_secs(2);
/// To wake up costs more than a walk: when one begins, so do others whose interval is over but for this part of it, to
/// so many together, which is what the budget gives in a second.
const NEARLY: u32 = 20;
const TOGETHER: usize = 4;
/// A change in the cluster reaches many sidecars at once: each waits a part of this.
const EVENT_JITTER: Duration = Duration::from_millis(500);
/// Changes that come within this after the beginning of a walk are one change.
const COALESCE: Duration = Duration::from_millis(200);
/// Data planes take their time: after a change, one more walk.
const AGAIN: Duration = Duration::from_secs(2);

pub(super) struct Timetable {
    part_of: fn(Duration) -> Duration,
    generation: u64,
    targets: BTreeMap<TargetKey, PlannedTarget>,
    /// By the first of their keys.
    entries: BTreeMap<TargetKey, Entry>,
    /// Walks to stop.
    stops: Vec<u64>,
    number: u64,
}

struct Entry {
    target: Arc<PlannedTarget>,
    /// Targets that are the same and share its walks.
    others: Vec<TargetKey>,
    /// When the interval is over.
    interval_due: Duration,
    /// When to walk because of a change.
    event_due: Option<Duration>,
    /// When to walk once more because of it.
    again_due: Option<Duration>,
    running: Option<Running>,
    last_start: Option<Duration>,
}

#[derive(Clone, Copy)]
struct Running {
    number: u64,
    /// It took the place of a stopped one, and is not stopped in its turn: changes that keep coming must
    /// not keep every walk from its end.
    replacement: bool,
}

impl Timetable {
    pub(super) fn new(part_of: fn(Duration) -> Duration) -> Self {
        Self {
            part_of,
            generation: 0,
            targets: BTreeMap::new(),
            entries: BTreeMap::new(),
            stops: Vec::new(),
            number: 0,
        }
    }

    /// A new plan. Targets that stay as they are keep their rhythm.
    pub(super) fn plan(&mut self, plan: Plan, now: Duration) {
        self.generation = plan.generation;
        let before = std::mem::replace(&mut self.targets, plan.targets);
        let mut entries = std::mem::take(&mut self.entries);
        let is_new = |key: &TargetKey| before.get(key) != self.targets.get(key);
        let groups = groups(&self.targets);
        let new = groups.iter().filter(|(key, _, others)| is_new(key) || others.iter().any(is_new)).count();
        let step = STAGGER.min(SPREAD / u32::try_from(new).unwrap_or(u32::MAX).max(1));
        let mut due = now;
        for (key, target, others) in groups {
            let changed = is_new(key) || others.iter().any(is_new);
            let known = entries.iter().find(|(first, entry)| *first == key || entry.others.contains(key));
            let known = known.map(|(first, _)| first.clone()).filter(|_| !changed);
            let entry = if let Some(entry) = known.and_then(|first| entries.remove(&first)) {
                Entry { others, ..entry }
            } else {
                let first = due;
                due += step;
                Entry::new(target.clone(), others, first)
            };
            self.entries.insert(key.clone(), entry);
        }
        self.stops.extend(entries.into_values().filter_map(|entry| entry.running).map(|run| run.number));
    }

    /// A change in the cluster; no targets means all.
    pub(super) fn walk_now(&mut self, targets: &[TargetKey], now: Duration) {
        let part_of = self.part_of;
        let meant = |key: &TargetKey| targets.is_empty() || targets.contains(key);
        for (key, entry) in &mut self.entries {
            if meant(key) || entry.others.iter().any(meant) {
                entry.walk_now(now, part_of(EVENT_JITTER));
            }
        }
    }

    /// What is to be done now.
    pub(super) fn due(&mut self, now: Duration) -> Vec<Command> {
        let mut commands: Vec<Command> = self.stops.drain(..).map(Command::Stop).collect();
        let mut room = AT_ONCE.saturating_sub(self.running());
        // What a change asks for goes first, then what waits longest.
        let mut waiting: Vec<(bool, Duration, TargetKey)> = self
            .entries
            .iter()
            .filter_map(|(key, entry)| {
                let (due, trigger) = entry.wake(false)?;
                (due <= now).then(|| (trigger == Trigger::Interval, due, key.clone()))
            })
            .collect();
        waiting.sort_unstable();
        if !waiting.is_empty() {
            let nearly = self.entries.iter().filter_map(|(key, entry)| Some((entry.nearly_due(now)?, key)));
            let mut nearly: Vec<_> = nearly.collect();
            nearly.sort_unstable();
            let company = nearly.into_iter().take(TOGETHER.saturating_sub(waiting.len()));
            waiting.extend(company.map(|(due, key)| (true, due, key.clone())));
        }
        for (_, _, key) in waiting {
            match self.entries.get(&key).and_then(|entry| entry.running) {
                Some(outdated) => commands.push(Command::Stop(outdated.number)),
                None if room == 0 => continue,
                None => room -= 1,
            }
            commands.extend(self.start(key, now));
        }
        commands
    }

    fn start(&mut self, key: TargetKey, now: Duration) -> Option<Command> {
        self.number += 1;
        let (number, generation, part_of) = (self.number, self.generation, self.part_of);
        let entry = self.entries.get_mut(&key)?;
        let (_, trigger) = entry.wake(false)?;
        let interval = entry.target.interval.max(SHORTEST_INTERVAL);
        // A tenth of the interval as jitter keeps many sidecars out of step.
        entry.interval_due = now + interval * 19 / 20 + part_of(interval / 10);
        let due = |at: Option<Duration>| at.filter(|at| *at > now);
        (entry.event_due, entry.again_due) = (due(entry.event_due), due(entry.again_due));
        entry.last_start = Some(now);
        entry.running = Some(Running { number, replacement: entry.running.is_some() });
        let (others, target) = (entry.others.clone(), Arc::clone(&entry.target));
        Some(Command::Start(number, Job { key, others, target, generation, trigger }))
    }

    /// A walk has ended, or was stopped.
    pub(super) fn finished(&mut self, number: u64) {
        let is_it = |entry: &&mut Entry| entry.running.is_some_and(|running| running.number == number);
        if let Some(entry) = self.entries.values_mut().find(is_it) {
            entry.running = None;
        }
    }

    /// When [`Self::due`] has something again; `None` while everything waits for a walk to end.
    pub(super) fn next(&self) -> Option<Duration> {
        let full = self.running() >= AT_ONCE;
        self.entries.values().filter_map(|entry| entry.wake(full)).map(|(at, _)| at).min()
    }

    fn running(&self) -> usize {
        self.entries.values().filter(|entry| entry.running.is_some()).count()
    }
}

/// Targets that are the same together: the first key, the target, the other keys.
fn groups(targets: &BTreeMap<TargetKey, PlannedTarget>) -> Vec<(&TargetKey, &PlannedTarget, Vec<TargetKey>)> {
    let mut groups: Vec<(&TargetKey, &PlannedTarget, Vec<TargetKey>)> = Vec::new();
    for (key, target) in targets {
        match groups.iter_mut().find(|(_, other, _)| *other == target) {
            Some((_, _, others)) => others.push(key.clone()),
            None => groups.push((key, target, Vec::new())),
        }
    }
    groups
}

impl Entry {
    /// One that has not been walked, with its first walk at a moment.
    fn new(target: PlannedTarget, others: Vec<TargetKey>, first: Duration) -> Self {
        Self {
            interval_due: first + target.interval.max(SHORTEST_INTERVAL),
            target: Arc::new(target),
            others,
            event_due: Some(first),
            again_due: None,
            running: None,
            last_start: None,
        }
    }

    /// When to walk next, and why.
    fn next(&self) -> (Duration, Trigger) {
        match self.event_due.into_iter().chain(self.again_due).min() {
            Some(at) if at <= self.interval_due => (at, Trigger::Event),
            _ => (self.interval_due, Trigger::Interval),
        }
    }

    /// When there is something to do about this target. A walk under way is stopped only by a change, and
    /// only once.
    fn wake(&self, full: bool) -> Option<(Duration, Trigger)> {
        match self.running {
            Some(running) if running.replacement => None,
            Some(_) => self.event_due.map(|at| (at, Trigger::Event)),
            None if full => None,
            None => Some(self.next()),
        }
    }

    /// When its interval is over, where that is not yet, and soon enough to begin a walk beside another.
    fn nearly_due(&self, now: Duration) -> Option<Duration> {
        let (due, trigger) = self.wake(false)?;
        let soon = now + self.target.interval.max(SHORTEST_INTERVAL) / NEARLY;
        (trigger == Trigger::Interval && now < due && due <= soon).then_some(due)
    }

    fn walk_now(&mut self, now: Duration, jitter: Duration) {
        let earliest = self.last_start.map_or(Duration::ZERO, |start| start + COALESCE);
        let due = (now + jitter).max(earliest);
        // One that waits already covers this change too.
        self.event_due = Some(self.event_due.map_or(due, |waiting| waiting.min(due)));
        self.again_due = Some(due + AGAIN);
    }
}
