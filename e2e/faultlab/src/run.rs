//! Playing a case: the network, what is broken in it, the probe, and whether the right thing was said.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::case::{By, Case, Does, Fault, Setting};
use crate::cgroup::Starved;
use crate::cluster;
pub use crate::grade::{Grade, Played};
use crate::grade::{Said, grade};
use crate::lab::{At, Lab};
use crate::load::Load;
use crate::peers::Peers;
use crate::pod;
use crate::servers::Server;

/// A probe that takes longer to answer is ended.
const PATIENCE: Duration = Duration::from_mins(1);
/// The port of name servers.
const DNS: u16 = 53;
/// How often a case is played until the machine lets the probe run.
const TRIES: u32 = 5;

/// Plays a case in one setting, with that probe, and with other traffic when it is to be loaded. A machine that keeps
/// the probe from running says nothing of the case, and where that is not what it is about it is played again, and counted as that.
pub fn play(case: &Case, setting: Setting, probe: &Path, loaded: bool) -> Result<Played> {
    let mut played = play_once(case, setting, probe, loaded)?;
    for again in 1..TRIES {
        if case.probe.starved || played.given != "ProbeStarved" {
            break;
        }
        played = Played { again, ..play_once(case, setting, probe, loaded)? };
    }
    Ok(played)
}

fn play_once(case: &Case, setting: Setting, probe: &Path, loaded: bool) -> Result<Played> {
    let case = &if loaded { case.clone() } else { case.alone() };
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
    let held = case.held.iter().map(|to| hold(&lab, &setting.fill(to))).collect::<Result<Vec<_>>>()?;
    for (number, fault) in case.faults.iter().enumerate() {
        break_it(&lab, setting, number, fault)?;
    }
    if case.questions_per_second > 0 {
        let server = setting.fill("{server}").parse().context("the server has no address")?;
        let server = SocketAddr::new(server, DNS);
        servers.push(Server::load(&lab, At::Other, server, case.questions_per_second)?);
    }
    let load = if loaded { Some(Load::start(&lab, setting)?) } else { None };
    let folder = tempfile::tempdir().context("cannot make a folder")?;
    let played = match case.by {
        By::Probe => {
            let said = ask(&lab, setting, case, probe, folder.path())?;
            let graded = said.iter().map(|said| grade(&case.expect, setting, said));
            graded.max_by_key(|played| played.grade).context("a case that nobody asks")?
        }
        By::Cluster => cluster::play(&lab, setting, case, probe, folder.path())?,
    };
    drop((servers, held, load));
    Ok(played)
}

/// A connection of the client.
fn hold(lab: &Lab, to: &str) -> Result<TcpStream> {
    let connected = lab.within(At::Client, || TcpStream::connect(to))?;
    connected.with_context(|| format!("{to} does not accept a connection to be held"))
}

/// Breaks something; `number` tells it from others of the case.
pub(crate) fn break_it(lab: &Lab, setting: Setting, number: usize, fault: &Fault) -> Result<()> {
    for (name, value) in &fault.sysctls {
        lab.sysctls(fault.at, &[(name.as_str(), value.as_str())])?;
    }
    if let Some(rules) = &fault.rules {
        let (kind, hook, text) = (&rules.kind, &rules.hook, setting.fill(&rules.text));
        let priority = rules.priority.unwrap_or(if kind == "nat" { -150 } else { 0 });
        let chain = format!("type {kind} hook {hook} priority {priority}\n{text}");
        lab.nft(fault.at, &format!("table inet fault{number} {{\nchain broken {{\n{chain}\n}}\n}}\n"))?;
    }
    if let Some(lines) = &fault.ip {
        lab.ip(fault.at, &setting.fill(lines))?;
    }
    Ok(())
}

/// The command of a probe in a pod's namespace.
fn command(
    lab: &Lab,
    setting: Setting,
    case: &Case,
    at: At,
    (probe, starved): (&Path, Option<&Starved>),
    folder: &Path,
) -> Result<Command> {
    let files = pod::Files {
        resolv_conf: &setting.fill(&case.probe.resolv_conf),
        hosts: &setting.fill(&case.probe.hosts),
        members: starved.map(Starved::members),
    };
    let mut command = pod::command(lab, at, files, folder)?;
    command.arg(probe).args(["probe", "--output", "json"]);
    if let Some(decision) = &case.probe.decision {
        let decision = setting.fill_value(decision.clone()).to_string();
        command.arg("--decision").arg(pod::write(folder, "decision.json", &decision)?);
    }
    command.args(case.probe.args.iter().map(|argument| setting.fill(argument)));
    command.arg(setting.fill(&case.probe.target));
    command.envs(case.probe.env.iter().map(|(name, value)| (name, setting.fill(value))));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(command)
}

/// The probes' answers, of all who ask at the same time.
fn ask(lab: &Lab, setting: Setting, case: &Case, probe: &Path, folder: &Path) -> Result<Vec<Said>> {
    let peers = Peers::start(lab, &case.peers, probe, folder)?;
    let starved = case.probe.starved.then(Starved::new).transpose()?;
    let mut asking = Vec::new();
    for at in &case.probe.from {
        let mut command = command(lab, setting, case, *at, (probe, starved.as_ref()), folder)?;
        command.args(peers.sockets().map(|socket| format!("--peer={}", socket.display())));
        asking.push(command.spawn().context("cannot start nsenter")?);
    }
    let begun = Instant::now();
    asking.into_iter().map(|child| answer(child, begun)).collect()
}

/// A probe's answer. Its time is that of its stages: starting a program takes the machine's, and so does its end, for
/// which the kernel may take a minute where many namespaces end at once. So its output is waited for, not itself.
fn answer(mut child: Child, begun: Instant) -> Result<Said> {
    let (mut out, mut errors) = (
        child.stdout.take().context("standard output is piped")?,
        child.stderr.take().context("standard error is piped")?,
    );
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let (mut answer, mut complaint) = (String::new(), String::new());
        let read = out.read_to_string(&mut answer).and_then(|_| errors.read_to_string(&mut complaint));
        // Nobody listens where it took too long.
        let _ = tell.send(read.map(|_| (answer, complaint)));
    });
    let told = told.recv_timeout(PATIENCE.saturating_sub(begun.elapsed()));
    if told.is_err() {
        child.kill().context("cannot end the probe")?;
    }
    thread::spawn(move || child.wait());
    let Ok(read) = told else { bail!("the probe took more than {} s", PATIENCE.as_secs()) };
    let (out, errors) = read.context("cannot read what the probe says")?;
    let answer: Value = serde_json::from_str(&out)
        .with_context(|| format!("the probe ended with no answer: {out}{errors}"))?;
    let stages = answer["stages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let own = stages.iter().filter_map(|stage| stage["elapsedMs"].as_f64()).sum::<f64>() / 1000.0;
    Ok(Said {
        words: answer.clone(),
        because: answer["because"].to_string(),
        shown: answer.to_string(),
        evidence: answer,
        elapsed: Duration::try_from_secs_f64(own).unwrap_or_default(),
    })
}
