//! Plays the cases of the fault lab and tells what was said. `cargo xtask faultlab` builds the probe and calls this.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Parser;
use peerwalk_faultlab::case::{By, Case, Setting};
use peerwalk_faultlab::lab::remove_remains;
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
    /// How many are played at the same time: they wait more than they work
    #[arg(long, default_value_t = 16)]
    jobs: usize,
    /// Write the tables there, as Markdown
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

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

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let cases = read(&arguments.cases, &arguments.words)?;
    remove_remains()?;
    let mut turns = VecDeque::new();
    for _ in 0..arguments.repeat {
        for (name, case) in &cases {
            for topology in &case.topologies {
                for family in &case.families {
                    let setting = Setting { topology: *topology, v6: *family == 6 };
                    turns.push_back(Turn { name, case, setting });
                }
            }
        }
    }
    if turns.is_empty() {
        bail!("no case has a name with {}", arguments.words.join(" or "));
    }
    let (begun, all) = (Instant::now(), turns.len());
    let (turns, played) = (Mutex::new(turns), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..arguments.jobs.min(all) {
            scope.spawn(|| {
                loop {
                    let next = turns.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some(turn) = next else { return };
                    let result = play(turn.case, turn.setting, &arguments.probe);
                    played.lock().unwrap_or_else(PoisonError::into_inner).push((turn, result));
                }
            });
        }
    });
    let mut matrices: BTreeMap<By, Matrix> = BTreeMap::new();
    let mut failed = 0;
    let mut tell = |line: &str| {
        failed += 1;
        if failed <= TOLD {
            say(line);
        }
    };
    let played = played.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (turn, result) in &played {
        match result {
            Ok(played) => {
                matrices.entry(turn.case.by).or_default().add(played);
                if played.grade != Grade::Right {
                    tell(&complaint(turn, played));
                }
            }
            Err(error) => tell(&format!("BROKEN  {}\n        {error:#}", turn.title())),
        }
    }
    if failed > TOLD {
        say(&format!("and {} more", failed - TOLD));
    }
    let mut text = String::new();
    for (by, matrix) in &matrices {
        let title = match by {
            By::Probe => "The one-shot probe alone",
            By::Cluster => "Hub, sidecars and judge",
        };
        let _ = write!(text, "## {title}\n\n{}\n", matrix.markdown());
    }
    say(&text);
    if let Some(file) = &arguments.markdown {
        std::fs::write(file, &text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    say(&format!("{all} played in {:.0} s, {failed} not as expected", begun.elapsed().as_secs_f64()));
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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

#[allow(clippy::print_stdout, reason = "it is what the program is for")]
fn say(line: &str) {
    println!("{line}");
}

/// The cases below a folder by their names, those that have one of the words.
fn read(folder: &Path, words: &[String]) -> Result<Vec<(String, Case)>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(below) = folders.pop() {
        let entries =
            std::fs::read_dir(&below).with_context(|| format!("cannot read {}", below.display()))?;
        for entry in entries {
            let path = entry.with_context(|| format!("cannot read {}", below.display()))?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                let name =
                    path.strip_prefix(folder).unwrap_or(&path).with_extension("").display().to_string();
                if words.is_empty() || words.iter().any(|word| name.contains(word.as_str())) {
                    found.push((name, Case::read(&path)?));
                }
            }
        }
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(found)
}
