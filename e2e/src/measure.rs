//! What processes use, and tables of it: for benchmarks.

use std::fs;
use std::io::{Write as _, stdout};
use std::time::Duration;

use anyhow::{Context, Result};

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// On a processor, of all its threads that live.
    pub cpu: Duration,
    /// Resident set, bytes.
    pub rss: u64,
}

impl Usage {
    /// Reads it from `/proc` (`proc_pid_status(5)`, Linux `Documentation/scheduler/sched-stats.rst`).
    pub fn of(pid: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))
            .with_context(|| format!("process {pid} does not run"))?;
        let kib = status
            .lines()
            .find_map(|line| {
                line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()
            })
            .with_context(|| format!("no VmRSS of process {pid}"))?;
        let mut cpu = Duration::ZERO;
        for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
            let stat = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
            let ns = stat.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or_default();
            cpu += Duration::from_nanos(ns);
        }
        Ok(Self { cpu, rss: kib * 1024 })
    }
}

/// The processes of that name (the first 15 bytes of it, `proc_pid_comm(5)`).
pub fn processes(name: &str) -> Result<Vec<u32>> {
    let name: String = name.chars().take(15).collect();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|pid| pid.parse().ok()) else { continue };
        if fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim_end() == name) {
            found.push(pid);
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// TCP connections that the network namespace of a process has opened (`ActiveOpens`, RFC 4022).
pub fn connects(pid: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/net/snmp"))?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let at = names.split(' ').position(|name| name == "ActiveOpens").context("no ActiveOpens")?;
    values.split(' ').nth(at).and_then(|value| value.parse().ok()).context("no number of ActiveOpens")
}

/// The median of values, and the largest.
pub fn median_and_max(mut values: Vec<Duration>) -> Option<(Duration, Duration)> {
    values.sort_unstable();
    Some((*values.get(values.len() / 2)?, *values.last()?))
}

/// Bytes in MiB, with two digits.
pub fn mib(bytes: u64) -> String {
    let hundredths = bytes.saturating_mul(100) / (1024 * 1024);
    format!("{}.{:02} MiB", hundredths / 100, hundredths % 100)
}

/// Prints a table in Markdown.
pub fn table(header: &[&str], rows: &[Vec<String>]) {
    let text = format!("\n{}", markdown(header, rows));
    // Nobody reads it any more: no reason to fail.
    let _ = stdout().write_all(text.as_bytes());
}

/// A table in Markdown.
pub fn markdown(header: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: &str| format!("| {cells} |\n");
    let rows: String = rows.iter().map(|row| line(&row.join(" | "))).collect();
    format!("{}|{}\n{rows}", line(&header.join(" | ")), "---|".repeat(header.len()))
}

/// Says where a benchmark is.
pub fn progress(text: &str) {
    let _ = writeln!(std::io::stderr(), "  {text}");
}
