//! `peerwalk diff`: which pairs a change of policies opens and closes.

mod forms;

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use peerwalk_manifests::{Cluster, Limits, Reader};
use peerwalk_netpol::Profile;

use crate::changes::Changes;
use crate::exit::Exit;
use crate::progress::Progress;
use crate::{input, print, profile};

/// What is asked.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  peerwalk diff main/deploy/ branch/deploy/
  kustomize build prod | peerwalk diff released.yaml -     what a release would change
  peerwalk diff old/ new/ -o md > comment.md               for a pull request
  peerwalk diff old/ new/ -o sarif > diff.sarif            for code scanning
  peerwalk diff old/ new/ -o json | jq -e '[.pairs[] | select(.opened != \"No Connections\")] == []'
                                                           fails only where something is opened

What counts is what is open, not how it is written: policies may be split, joined and renamed without any difference. Pairs \
that a policy may decide about which cannot be read, before or after, are undecided; so are those to addresses outside where \
rules by domain names change.

Exit codes: 0 nothing changed; 1 a pair changed; 2 the command line or the input cannot be used; 3 no pair changed for certain, \
and others may have.")]
pub struct Arguments {
    /// Before: a folder, a file, or - for the standard input
    #[arg(value_name = "A")]
    pub before: PathBuf,
    /// After: a folder, a file, or - for the standard input
    #[arg(value_name = "B")]
    pub after: PathBuf,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// Whose reading of what the API leaves open
    #[arg(long, value_name = "DATAPLANE", default_value = "upstream", value_parser = profile::parser())]
    pub profile: Profile,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Text,
    /// For programs
    Json,
    /// For comments
    Md,
    /// For code scanning
    Sarif,
}

/// Runs it.
///
/// # Errors
/// Where the input cannot be used.
pub fn run(arguments: &Arguments) -> Result<Exit> {
    if arguments.before.as_os_str() == "-" && arguments.after.as_os_str() == "-" {
        bail!("A and B are both the standard input: name a file or folder for one of them");
    }
    let mut progress = Progress::default();
    let mut read = |path: &PathBuf| -> Result<Cluster> {
        let reader = Reader::new(Limits::default());
        let cluster = input::read(std::slice::from_ref(path), reader, &mut progress)?;
        input::tell(&cluster);
        Ok(cluster)
    };
    let (before, after) = (read(&arguments.before)?, read(&arguments.after)?);
    progress.says("computing all pairs");
    let (text, exit) = answer(arguments, &before, &after)?;
    drop(progress);
    print::out(&text)?;
    Ok(exit)
}

/// What is printed about two clusters, and how the command ends.
///
/// # Errors
/// Where it cannot be written.
pub fn answer(arguments: &Arguments, before: &Cluster, after: &Cluster) -> Result<(String, Exit)> {
    let changes = Changes::new(before, after, arguments.profile);
    let text = match arguments.output {
        Output::Text => forms::text(&changes),
        Output::Json => forms::json(&changes)?,
        Output::Md => forms::md(&changes),
        Output::Sarif => {
            let beside = arguments.after.display().to_string();
            serde_json::to_string_pretty(&forms::sarif(&changes, before, after, &beside))? + "\n"
        }
    };
    let exit = if changes.certain().next().is_some() {
        Exit::Otherwise
    } else if changes.is_open() {
        Exit::Undecided
    } else {
        Exit::Done
    };
    Ok((text, exit))
}
