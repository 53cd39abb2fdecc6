//! The programs as they are released (profile `dist`): small enough, and alive.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};

use crate::images::{self, Profile};

use super::report::Counts;

/// What a sidecar may be long, bytes: it is pulled to every node and its pages are in every pod's memory.
const SIDECAR: u64 = 4 << 20;

/// Compiles them and runs each once.
pub(super) fn check() -> Result<Counts> {
    images::compile(Profile::Dist)?;
    let folder = images::binaries(Profile::Dist);
    let sidecar = folder.join("peerwalk-sidecar");
    let size = fs::metadata(&sidecar).with_context(|| format!("cannot read {}", sidecar.display()))?.len();
    ensure!(size <= SIDECAR, "the sidecar has {size} bytes, and {SIDECAR} are the most it may have");

    let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen")?;
    let open = format!("tcp://{}", listener.local_addr().context("a listener has an address")?);
    // Nobody listens on port 1 (tcpmux).
    for (target, code, words) in
        [(open.as_str(), 0, "connected"), ("tcp://127.0.0.1:1", 1, "ConnectionRefused")]
    {
        let out = said(Command::new(&sidecar).args(["probe", target]))?;
        let text = String::from_utf8_lossy(&out.stdout);
        let right = out.status.code() == Some(code) && text.contains(words);
        ensure!(right, "`probe {target}`: expected {code} and {words:?}, got {}: {text}", out.status);
    }
    let help = said(Command::new(folder.join("peerwalk-operator")).arg("--help"))?;
    ensure!(help.status.success(), "the operator does not start: {}", String::from_utf8_lossy(&help.stderr));
    Ok(Counts::default())
}

fn said(command: &mut Command) -> Result<Output> {
    command.output().with_context(|| format!("cannot start {command:?}"))
}
