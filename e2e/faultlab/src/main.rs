//! Plays the cases of the fault lab and tells what was said. `cargo xtask faultlab` builds the probe and calls this.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Parser;
use peerwalk_faultlab::case::{By, Case, Setting};
use peerwalk_faultlab::lab::remove_remains;
use peerwalk_faultlab::load::Burning;
use peerwalk_faultlab::matrix::Matrix;
use peerwalk_faultlab::run::{Grade, Played, play};

/// Play cases of the fault lab.
#[derive(Parser)]
struct Arguments {
    /// Only cases whose name has one of these words
    words: Vec<String>,
    /// The sidecar's binary
    #[arg(long, value_name = "FILE")]
    probe: PathBuf,
    /// The folder of the cases
    #[arg(long, value_name = "DIR")]
    cases: PathBuf,
    /// How often each is played
    #[arg(long, default_value_t = 1)]
    repeat: usize,
    /// How many are played at the same time: they wait more than they work. 32 unless given, 16 with --load
    #[arg(long)]
    jobs: Option<usize>,
    /// Other connections in each network, and two threads that take the processors; only wrong answers fail then
    #[arg(long)]
    load: bool,
    /// Also cases that take long
    #[arg(long)]
    all: bool,
    /// Write the tables there, as Markdown
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

/// Threads that take the processors under load.
const BURNING: usize = 2;
/// How many cases are played at the same time.
const JOBS: usize = 32;
/// The same under load, which takes the processors.
const JOBS_UNDER_LOAD: usize = 16;
/// After so many it is told how far it is.
const STEP: usize = 250;
/// So many that are not as expected are told in full.
const TOLD: usize = 20;

/// One case in one setting.
struct Turn<'a> {
    name: &'a str,
    case: &'a Case,
    setting: Setting,
}

impl Turn<'_> {
    fn title(&self) -> String {
        let family = if self.setting.v6 { "IPv6" } else { "IPv4" };
        format!("{} ({:?}, {family})", self.name, self.setting.topology)
    }
}

/// What the cases played so far came to.
#[derive(Default)]
struct Score {
    matrices: BTreeMap<By, Matrix>,
    played: usize,
    failed: usize,
}

impl Score {
    /// Adds a case; what is not as expected is told at once, as a long run takes an hour.
    fn count(&mut self, turn: &Turn<'_>, result: Result<Played>, load: bool) {
        self.played += 1;
        let wrong = match result {
            Ok(played) => {
                self.matrices.entry(turn.case.by).or_default().add(&played);
                // Under load, what is late or not known is honest.
                let wrong = played.grade == Grade::Wrong || played.grade != Grade::Right && !load;
                wrong.then(|| complaint(turn, &played))
            }
            Err(error) => Some(format!("BROKEN  {}\n        {error:#}", turn.title())),
        };
        if let Some(text) = wrong {
            self.failed += 1;
            if self.failed <= TOLD {
                say(&text);
            }
        }
    }
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut cases = Case::all(&arguments.cases)?;
    let words = &arguments.words;
    cases.retain(|(name, _)| words.is_empty() || words.iter().any(|word| name.contains(word.as_str())));
    cases.retain(|(_, case)| !case.long || arguments.all || arguments.repeat > 1);
    remove_remains()?;
    let turns: VecDeque<Turn> = (0..arguments.repeat).flat_map(|_| cases.iter().flat_map(of_case)).collect();
    if turns.is_empty() {
        bail!("no case has a name with {}", arguments.words.join(" or "));
    }
    let (begun, all) = (Instant::now(), turns.len());
    let (turns, score) = (Mutex::new(turns), Mutex::new(Score::default()));
    let burning = arguments.load.then(|| Burning::start(BURNING));
    let jobs = arguments.jobs.unwrap_or(if arguments.load { JOBS_UNDER_LOAD } else { JOBS });
    thread::scope(|scope| {
        for _ in 0..jobs.min(all) {
            scope.spawn(|| {
                loop {
                    let next = turns.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some(turn) = next else { return };
                    let result = play(turn.case, turn.setting, &arguments.probe, arguments.load);
                    let mut score = score.lock().unwrap_or_else(PoisonError::into_inner);
                    score.count(&turn, result, arguments.load);
                    if score.played % STEP == 0 && score.played < all {
                        let (Score { played, failed, .. }, time) = (&*score, begun.elapsed().as_secs());
                        progress(&format!("{played} of {all} played in {time} s, {failed} not as expected"));
                    }
                }
            });
        }
    });
    drop(burning);
    let Score { matrices, failed, .. } = score.into_inner().unwrap_or_else(PoisonError::into_inner);
    if failed > TOLD {
        say(&format!("and {} more", failed - TOLD));
    }
    let mut text = String::new();
    for (by, matrix) in &matrices {
        let title = match by {
            By::Probe => "The one-shot probe alone",
            By::Cluster => "Hub, sidecars and judge",
        };
        let load = if arguments.load { ", under load" } else { "" };
        let _ = write!(text, "## {title}{load}\n\n{}\n", matrix.markdown());
    }
    say(&text);
    if let Some(file) = &arguments.markdown {
        std::fs::write(file, &text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    say(&format!("{all} played in {:.0} s, {failed} not as expected", begun.elapsed().as_secs_f64()));
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A case in each of its settings.
fn of_case((name, case): &(String, Case)) -> impl Iterator<Item = Turn<'_>> {
    let settings = case
        .topologies
        .iter()
        .flat_map(|topology| case.families.iter().map(move |family| (topology, family)));
    settings.map(move |(topology, family)| {
        let setting = Setting { topology: *topology, v6: *family == 6 };
        Turn { name, case, setting }
    })
}

fn complaint(turn: &Turn<'_>, played: &Played) -> String {
    let grade = format!("{:?}", played.grade).to_uppercase();
    let mut text = format!("{grade:7} {}\n        {}", turn.title(), turn.case.about);
    for complaint in &played.complaints {
        text += "\n        ";
        text += complaint;
    }
    text
}

#[allow(clippy::print_stderr, reason = "the long form takes an hour")]
fn progress(line: &str) {
    eprintln!("{line}");
}

#[allow(clippy::print_stdout, reason = "it is what the program is for")]
fn say(line: &str) {
    println!("{line}");
}
