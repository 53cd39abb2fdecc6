//! The demo from its first to its last scene.

use std::time::{Duration, Instant};

use crate::own_cluster::OwnCluster;
use crate::tree;
use anyhow::Result;

use super::interrupt::Interrupt;
use super::shop;
use super::stage::{Clock, Stage, indented};
use super::story::{AT_FIRST, STEPS, Step, in_order};
use super::summary::Summary;
use super::watch::{Expected, Verdict, Waited, Watch};

/// How long a verdict may take to come.
const BOUND: Duration = Duration::from_mins(1);

/// Plays everything; the verdicts that came, and those that did not, are in the summary.
pub(crate) fn play(
    own: &mut OwnCluster,
    clock: &Clock,
    interrupt: &Interrupt,
    summary: &mut Summary,
) -> Result<()> {
    let cluster = shop::cluster(own, clock, interrupt)?;
    let stage = Stage { cluster, clock, interrupt };
    shop::install(&stage)?;
    shop::deploy(&stage)?;
    let mut scene = Scene { watch: Watch::start(&stage.cluster)?, stage: &stage, summary };
    scene.begin()?;
    for (number, step) in STEPS.iter().enumerate() {
        scene.step(number + 1, step)?;
    }
    if !scene.summary.all_came() {
        shop::operator_log(&stage);
    }
    Ok(())
}

struct Scene<'a> {
    stage: &'a Stage<'a>,
    watch: Watch,
    summary: &'a mut Summary,
}

impl Scene<'_> {
    /// Applies the checks to a shop in order.
    fn begin(&mut self) -> Result<()> {
        let begun = Instant::now();
        self.stage.show_kubectl(&["apply", "-f", "e2e/demo/checks.yaml"])?;
        let from = Instant::now();
        for (check, expected) in AT_FIRST {
            self.expect("At first", check, &expected, (begun, from))?;
        }
        self.stage.show_kubectl(&["get", "connectivitychecks", "-A", "-o", "wide"])?;
        for (check, _) in AT_FIRST {
            self.stage.clock.say(&format!("How shop/{check} comes to its verdict:"));
            self.explain(check, |blocks| blocks);
        }
        Ok(())
    }

    /// Breaks something, waits for the verdict, repairs it, and waits for that verdict.
    fn step(&mut self, number: usize, step: &Step) -> Result<()> {
        tree::say("");
        self.stage.clock.say(&format!("{number}. {}", step.title));
        let came =
            self.change(&format!("{number}. {}", step.title), step.check, step.breaks, &step.expected)?;
        self.explain(step.check, |blocks| match &came {
            Some(verdict) => surest(&blocks, &verdict.reason).into_iter().collect(),
            None => blocks,
        });
        self.change(&format!("{number}. repaired"), step.check, step.repairs, &in_order(step.check))?;
        Ok(())
    }

    /// Runs a command and waits for what the check has to say then; gives that if it came.
    fn change(
        &mut self,
        title: &str,
        check: &'static str,
        command: &[&str],
        expected: &Expected,
    ) -> Result<Option<Verdict>> {
        let begun = Instant::now();
        self.stage.show_kubectl(command)?;
        self.expect(title, check, expected, (begun, Instant::now()))
    }

    fn expect(
        &mut self,
        title: &str,
        check: &'static str,
        expected: &Expected,
        times: (Instant, Instant),
    ) -> Result<Option<Verdict>> {
        let tell = |took: Duration, seen: &Verdict| {
            tree::say(&format!(
                "    after {:>6} ms  shop/{check}: Ready={} {}",
                took.as_millis(),
                seen.ready,
                seen.reason
            ));
            tree::say(&format!("                     {}", seen.message));
        };
        let waited = self.watch.wait(check, expected, times, BOUND, self.stage.interrupt, tell)?;
        let Waited { took, last } = waited;
        self.summary.add(title, check, expected, took, last.as_ref());
        Ok(last.filter(|_| took.is_some()))
    }

    /// Shows the explained walks that are chosen; that they cannot be had is told and no failure of the demo.
    fn explain(&self, check: &str, choose: impl FnOnce(Vec<String>) -> Vec<String>) {
        match self.stage.explain(check) {
            Ok(blocks) => choose(blocks).iter().for_each(|block| indented(block)),
            Err(error) => tree::complain(&error),
        }
    }
}

/// Of the walks with that verdict the one that proves most: one pod is enough for the eye.
fn surest(blocks: &[String], reason: &str) -> Option<String> {
    let title = |block: &String| block.lines().next().unwrap_or_default().to_owned();
    let said = |confidence: &str| {
        let end = format!("   {reason} ({confidence})");
        blocks.iter().find(|b| title(b).ends_with(&end)).cloned()
    };
    ["confirmed", "likely", "suspected"].into_iter().find_map(said)
}
