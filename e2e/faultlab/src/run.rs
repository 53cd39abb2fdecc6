//! Playing a case: the network, what is broken in it, the probe, and whether the right thing was said.

use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::case::{Case, Does, Fault, Setting, Words};
use crate::cgroup::Starved;
use crate::lab::{At, Lab};
use crate::servers::Server;

/// A probe that takes longer is ended; a machine that makes and removes namespaces stalls for half of that.
const PATIENCE: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(5);
/// What the time of a probe's stages may exceed on a machine with other work, before it counts as too late.
const SLACK: Duration = Duration::from_millis(500);
/// How often a case is played until the machine lets the probe run.
const TRIES: u32 = 5;

/// What was said of a case, against what is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// What the case expects, in time.
    Right,
    /// Nothing certain, where something could have been said.
    Unknown,
    /// Something else that is no confident cause: the right one too late, or less sure, or another stage.
    Off,
    /// Another cause, confidently.
    Wrong,
}

/// What came of a case in one setting.
#[derive(Clone, Debug)]
pub struct Played {
    /// The code that was given, or the result where there was none.
    pub given: String,
    /// How right it is.
    pub grade: Grade,
    /// The time that the probe's stages took together.
    pub elapsed: Duration,
    /// What is not as expected, for people.
    pub complaints: Vec<String>,
}

/// Plays a case in one setting, with that probe. A machine that keeps the probe from running says nothing of the case,
/// and where that is not what it is about it is played again.
pub fn play(case: &Case, setting: Setting, probe: &Path) -> Result<Played> {
    let mut played = play_once(case, setting, probe)?;
    for _ in 1..TRIES {
        if case.probe.starved || played.given != "ProbeStarved" {
            break;
        }
        played = play_once(case, setting, probe)?;
    }
    Ok(played)
}

fn play_once(case: &Case, setting: Setting, probe: &Path) -> Result<Played> {
    let lab = Lab::new(setting.topology)?;
    let mut servers = Vec::new();
    for listening in &case.servers {
        let mut listening = listening.clone();
        if let Does::Dns(zone) = &mut listening.does {
            for addresses in zone.names.values_mut() {
                for address in addresses {
                    *address = setting.fill(address);
                }
            }
        }
        let address = listening.address.as_ref().map(|address| {
            let text = setting.fill(address);
            text.parse()
                .map(|ip| SocketAddr::new(ip, listening.port))
                .with_context(|| format!("{text} is no address"))
        });
        servers.push(Server::start(&lab, &listening, address.transpose()?)?);
    }
    for (number, fault) in case.faults.iter().enumerate() {
        break_it(&lab, setting, number, fault)?;
    }
    let folder = tempfile::tempdir().context("cannot make a folder")?;
    let said = ask(&lab, setting, case, probe, folder.path())?;
    drop(servers);
    Ok(grade(case, setting, &said))
}

fn break_it(lab: &Lab, setting: Setting, number: usize, fault: &Fault) -> Result<()> {
    for (name, value) in &fault.sysctls {
        lab.sysctls(fault.at, &[(name.as_str(), value.as_str())])?;
    }
    if let Some(rules) = &fault.rules {
        let (kind, hook, text) = (&rules.kind, &rules.hook, setting.fill(&rules.text));
        let priority = if kind == "nat" { "-150" } else { "0" };
        let chain = format!("type {kind} hook {hook} priority {priority}\n{text}");
        lab.nft(fault.at, &format!("table inet fault{number} {{\nchain broken {{\n{chain}\n}}\n}}\n"))?;
    }
    if let Some(lines) = &fault.ip {
        lab.ip(fault.at, &setting.fill(lines))?;
    }
    Ok(())
}

/// The command of a probe in the client's namespace, as the sidecar runs: uid 65532 and no capability.
fn command(
    lab: &Lab,
    setting: Setting,
    case: &Case,
    probe: &Path,
    folder: &Path,
    starved: Option<&Starved>,
) -> Result<Command> {
    let write = |name: &str, text: &str| -> Result<PathBuf> {
        let file = folder.join(name);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file)
    };
    let resolv_conf = write("resolv.conf", &setting.fill(&case.probe.resolv_conf))?;
    let hosts = write("hosts", "127.0.0.1 localhost\n::1 localhost\n")?;
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{}", lab.name(At::Client)));
    command.args(["unshare", "--mount", "--propagation", "private", "sh", "-ec"]);
    command.arg(
        "mount --bind \"$1\" /etc/resolv.conf; mount --bind \"$2\" /etc/hosts; echo $$ >\"$3\"; shift 3; exec \"$@\"",
    );
    let members = starved.map_or_else(|| PathBuf::from("/dev/null"), Starved::members);
    command.arg("sh").args([resolv_conf, hosts, members]);
    command.args([
        "setpriv",
        "--reuid",
        "65532",
        "--regid",
        "65532",
        "--clear-groups",
        "--bounding-set",
        "-all",
    ]);
    command.args(["--inh-caps", "-all", "--no-new-privs"]).arg(probe);
    command.args(["probe", "--output", "json"]);
    command.args(case.probe.args.iter().map(|argument| setting.fill(argument)));
    command.arg(setting.fill(&case.probe.target));
    // Nothing of the machine's own, such as its proxies.
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.envs(case.probe.env.iter().map(|(name, value)| (name, setting.fill(value))));
    Ok(command)
}

/// The probe's answer.
fn ask(lab: &Lab, setting: Setting, case: &Case, probe: &Path, folder: &Path) -> Result<Value> {
    let starved = case.probe.starved.then(Starved::new).transpose()?;
    let mut command = command(lab, setting, case, probe, folder, starved.as_ref())?;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let begun = Instant::now();
    let mut child = command.spawn().context("cannot start nsenter")?;
    let status = loop {
        if let Some(status) = child.try_wait().context("cannot wait for the probe")? {
            break status;
        }
        if begun.elapsed() > PATIENCE {
            child.kill().context("cannot end the probe")?;
            child.wait().context("cannot wait for the probe")?;
            bail!("the probe took more than {} s", PATIENCE.as_secs());
        }
        thread::sleep(POLL);
    };
    let (mut out, mut errors) = (String::new(), String::new());
    child.stdout.take().context("standard output is piped")?.read_to_string(&mut out)?;
    child.stderr.take().context("standard error is piped")?.read_to_string(&mut errors)?;
    serde_json::from_str(&out)
        .with_context(|| format!("the probe ended with {status} and no answer: {out}{errors}"))
}

fn grade(case: &Case, setting: Setting, said: &Value) -> Played {
    let word = |name: &str| said[name].as_str().unwrap_or("none").to_owned();
    let [result, reason, stage, confidence] = ["result", "reason", "stage", "confidence"].map(word);
    let expect = &case.expect;
    let mut complaints = Vec::new();
    let mut held = |what: &str, words: &Words, word: &str| {
        let right = words.has(word);
        if !right {
            complaints.push(format!("{what} {word} instead of {}", words.first()));
        }
        right
    };
    let right_result = held("result", &expect.result, &result);
    let right_reason = held("reason", &expect.reason, &reason);
    held("stage", &expect.stage, &stage);
    held("confidence", &expect.confidence, &confidence);
    let stages = said["stages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let own = stages.iter().filter_map(|stage| stage["elapsedMs"].as_f64()).sum::<f64>() / 1000.0;
    let own = Duration::try_from_secs_f64(own).unwrap_or_default();
    let within = Duration::from_secs_f64(expect.within);
    if own > within + SLACK {
        complaints.push(format!("{} ms instead of {}", own.as_millis(), within.as_millis()));
    }
    for (pointer, wanted) in &expect.evidence {
        let wanted = match wanted {
            Value::String(text) => Value::String(setting.fill(text)),
            other => other.clone(),
        };
        let found = said.pointer(pointer).unwrap_or(&Value::Null);
        if *found != wanted {
            complaints.push(format!("{pointer} is {found} instead of {wanted}"));
        }
    }
    let lines = said["because"].to_string();
    for words in expect.because.iter().map(|words| setting.fill(words)) {
        if !lines.contains(&words) {
            complaints.push(format!("nothing says {words:?}"));
        }
    }
    let grade = if complaints.is_empty() {
        Grade::Right
    } else if result == "Unknown" || confidence == "suspected" {
        Grade::Unknown
    } else if right_result && right_reason {
        Grade::Off
    } else {
        Grade::Wrong
    };
    if grade != Grade::Right {
        complaints.push(said.to_string());
    }
    let given = if reason == "none" { result } else { reason };
    Played { given, grade, elapsed: own, complaints }
}
