//! A terminal for commands as a page has them, in which `kubectl` and `helm` are those of the cluster.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use peerwalk_cluster::{Cluster, Quiet};

use crate::nodes::printed;
use crate::page::root;

/// The terminal. Its programs are in a folder that goes with it.
pub struct Shell {
    programs: PathBuf,
}

impl Shell {
    /// At the root of the tree.
    pub fn of(cluster: &Cluster) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let programs = env::temp_dir().join(format!("peerwalk-shell-{}-{number}", process::id()));
        fs::create_dir_all(&programs).context("cannot make a folder for programs")?;
        let shell = Self { programs };
        shell.add("kubectl", &cluster.kubectl())?;
        shell.add("helm", &cluster.helm(&mut Quiet)?)?;
        Ok(shell)
    }

    fn add(&self, name: &str, command: &Command) -> Result<()> {
        let quote = |word: &str| format!("'{}'", word.replace('\'', r"'\''"));
        let variables = command.get_envs().filter_map(|(name, value)| {
            let value = value.map(|value| quote(&value.to_string_lossy()))?;
            Some(format!("export {}={value}", name.to_string_lossy()))
        });
        let words = [command.get_program()].into_iter().chain(command.get_args());
        let words: Vec<String> = words.map(|word| quote(&word.to_string_lossy())).collect();
        let lines = ["#!/bin/sh".to_owned()].into_iter().chain(variables);
        let lines: Vec<String> = lines.chain([format!("exec {} \"$@\"\n", words.join(" "))]).collect();
        let path = self.programs.join(name);
        fs::write(&path, lines.join("\n")).with_context(|| format!("cannot write {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("cannot make {} a program", path.display()))
    }

    /// Runs a line and gives what it printed.
    pub fn run(&self, line: &str) -> Result<String> {
        let path = env::var("PATH").unwrap_or_default();
        let mut bash = Command::new("bash");
        bash.args(["-e", "-u", "-o", "pipefail", "-c", line]).current_dir(root());
        bash.env("PATH", format!("{}:{path}", self.programs.display()));
        printed(&mut bash)
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // What cannot be removed is in the folder for what is temporary.
        let _ = fs::remove_dir_all(&self.programs);
    }
}
