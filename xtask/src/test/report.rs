//! What was run, how long it took and what came of it.

use std::env;
use std::io::{Write, stderr};
use std::ops::AddAssign;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Error, Result};
use peerwalk_cluster::{LoggedStep, Progress};

use crate::tree;

/// Numbers of tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) ignored: usize,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

/// The steps of a run, in order.
#[derive(Default)]
pub(crate) struct Report {
    steps: Vec<Step>,
}

struct Step {
    name: String,
    took: Duration,
    outcome: Outcome,
}

enum Outcome {
    Done(Counts),
    /// It could not do what it is for.
    Failed(String),
    Skipped(String),
}

impl Report {
    /// Runs a step and remembers what came of it; later steps run in any case.
    pub(crate) fn step(&mut self, name: &str, work: impl FnOnce() -> Result<Counts>) {
        tree::say(&format!("\n== {name}"));
        let started = Instant::now();
        let outcome = match work() {
            Ok(counts) => Outcome::Done(counts),
            Err(error) => {
                tree::complain(&error);
                Outcome::Failed(tree::causes(&error))
            }
        };
        self.steps.push(Step { name: name.to_owned(), took: started.elapsed(), outcome });
    }

    /// Something cannot run on this machine: a failure in CI, which exists to run it.
    pub(crate) fn cannot_run(&mut self, name: &str, why: &Error) {
        let why = tree::causes(why);
        let outcome = if env::var_os("CI").is_some() { Outcome::Failed(why) } else { Outcome::Skipped(why) };
        self.steps.push(Step { name: name.to_owned(), took: Duration::ZERO, outcome });
    }

    /// Something was not asked to run.
    pub(crate) fn skip(&mut self, name: &str, why: &str) {
        let outcome = Outcome::Skipped(why.to_owned());
        self.steps.push(Step { name: name.to_owned(), took: Duration::ZERO, outcome });
    }

    /// The table of all steps, and alone on the last line the sum. A step that failed without a test result counts
    /// as one failure, so that the line never says 0 when something is wrong.
    pub(crate) fn finish(self) -> ExitCode {
        let mut sum = Counts::default();
        tree::say("");
        for step in &self.steps {
            let text = match &step.outcome {
                Outcome::Done(Counts { passed: 0, failed: 0, .. }) => "ok".to_owned(),
                Outcome::Done(counts) => {
                    sum += *counts;
                    format!("{} passed, {} failed, {} ignored", counts.passed, counts.failed, counts.ignored)
                }
                Outcome::Failed(why) => {
                    sum.failed += 1;
                    format!("FAILED: {}", why.lines().next().unwrap_or_default())
                }
                Outcome::Skipped(why) => format!("skipped: {}", why.lines().next().unwrap_or_default()),
            };
            tree::say(&format!("{:28} {:>7.1} s  {text}", step.name, step.took.as_secs_f64()));
        }
        tree::say(&format!("{} passed, {} failed", sum.passed, sum.failed));
        if sum.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Progress of what goes on beside the steps, in between their output: a line when something begins, and now and then
/// that it lives.
#[derive(Default)]
pub(crate) struct Background {
    step: Option<LoggedStep>,
}

impl Progress for Background {
    fn begin(&mut self, step: &str) {
        beside(step);
        self.step = Some(LoggedStep::begin(step, Instant::now()));
    }

    fn detail(&mut self, text: &str) {
        if let Some(sign) = self.step.as_mut().and_then(|step| step.detail(text, Instant::now())) {
            beside(&sign);
        }
    }

    fn end(&mut self) {
        self.step = None;
    }
}

fn beside(text: &str) {
    // Progress that cannot be written is no reason to stop the work.
    let _ = writeln!(stderr(), "(in the background: {text})");
}
