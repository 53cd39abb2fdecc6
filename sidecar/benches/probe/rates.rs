//! Connect probes per CPU-second: a walk with all its evidence, a bare connect loop of the same runtime, and
//! blackbox_exporter, on one core in turns.
//!
//! The server closes first, so that its side keeps the TIME_WAIT: on the client's, the kernel's search for a free port
//! would be what is measured.

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use peerwalk_model::TargetKey;
use peerwalk_model::evidence::{DialOutcome, Trigger};
use peerwalk_model::plan::{DialScope, PlannedTarget, Retries, TargetKind, UrlTarget};
use peerwalk_probe::{DialRules, Environment, Prober};
use tokio::io::AsyncReadExt as _;

use crate::Result;
use crate::link::{CLIENT, Link, Running, SERVER};

/// Ports of the server: many, so that no pair of addresses runs out of source ports.
const PORTS: std::ops::Range<u16> = 8000..8128;
/// Walks of one prober, within the burst of its budget.
const OF_A_PROBER: usize = 30;
/// How long each works in a turn.
const TURN: Duration = Duration::from_secs(4);
/// Turns of each.
const TURNS: usize = 3;
/// Between two probes that are made for their latency.
const PACE: Duration = Duration::from_millis(5);
const PACED: u32 = 600;
const EXPORTER: &str = "prometheus-blackbox-exporter";
const EXPORTER_PORT: u16 = 19115;
/// Probes that the exporter is asked for at the same time.
const ASKING: usize = 10;
/// Cores: what is measured has one for itself.
const MEASURED: &str = "0";
const OTHERS: &str = "1";

/// One part of the work, in a process of its own.
pub fn part(part: &str) -> Result<()> {
    match part {
        "server" => return serve(),
        "walks" => told(walks(TURN, None)?),
        "loop" => told(connects(TURN, None)?),
        "walks-paced" => told(walks(Duration::MAX, Some(PACE))?),
        "loop-paced" => told(connects(Duration::MAX, Some(PACE))?),
        "exporter" => told(exporter()?),
        other => return Err(format!("{other} is no part of this benchmark; run it without arguments").into()),
    }
    Ok(())
}

/// What one turn has done.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    probes: u32,
    cpu: Duration,
    /// The median time of one probe as its own evidence has it; zero where it has none.
    median: Duration,
}

impl Done {
    fn per_cpu_second(self) -> f64 {
        f64::from(self.probes) / self.cpu.as_secs_f64()
    }
}

fn told(done: Done) {
    println!("{} {} {}", done.probes, done.cpu.as_nanos(), done.median.as_nanos());
}

fn turn(link: &Link, part: &str) -> Result<Done> {
    let output = Link::part(&link.client, MEASURED, part)?.stderr(Stdio::inherit()).output()?;
    read(part, &String::from_utf8(output.stdout)?)
}

fn read(part: &str, text: &str) -> Result<Done> {
    let numbers: Vec<u64> = text.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    let [probes, cpu, median] = numbers[..] else { return Err(format!("{part} said {text:?}").into()) };
    let (cpu, median) = (Duration::from_nanos(cpu), Duration::from_nanos(median));
    Ok(Done { probes: u32::try_from(probes)?, cpu, median })
}

/// Takes turns and prints the tables.
pub fn measure() -> Result<()> {
    let link = Link::new()?;
    let mut server = Link::part(&link.server, OTHERS, "server")?.stdout(Stdio::piped()).spawn()?;
    let listens = server.stdout.take().ok_or("standard output is piped")?;
    let _server = Running(server);
    BufReader::new(listens).read_line(&mut String::new())?;
    let with_exporter = Command::new(EXPORTER).arg("--version").output().is_ok();
    if !with_exporter {
        eprintln!("  prometheus-blackbox-exporter is not installed and is left out of the comparison");
    }
    let mut sums: Vec<(&str, &str, Vec<Done>)> = vec![
        ("walks", "a walk of the sidecar, with its evidence", Vec::new()),
        ("loop", "a bare connect loop of tokio", Vec::new()),
    ];
    if with_exporter {
        sums.push(("exporter", "blackbox_exporter, module tcp_connect", Vec::new()));
    }
    for _ in 0..TURNS {
        for (part, _, done) in &mut sums {
            done.push(if *part == "exporter" { of_exporter(&link)? } else { turn(&link, part)? });
        }
    }
    let rate = |done: &[Done]| {
        let mut rates: Vec<f64> = done.iter().map(|done| done.per_cpu_second()).collect();
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    };
    let own = rate(&sums[0].2);
    println!("\n| TCP connect probes | per CPU-second | sidecar's share of it |\n|---|---|---|");
    for (_, name, done) in &sums {
        println!("| {name} | {:.0} | {:.2} |", rate(done), own / rate(done));
    }
    let (walk, bare) = (turn(&link, "walks-paced")?.median, turn(&link, "loop-paced")?.median);
    let added = walk.as_secs_f64() - bare.as_secs_f64();
    println!("\n| one probe every {} ms | median |\n|---|---|", PACE.as_millis());
    println!("| connect as the evidence of a walk has it | {} µs |", walk.as_micros());
    println!("| a bare connect of tokio | {} µs |", bare.as_micros());
    println!("| added | {:.0} µs |", added * 1e6);
    Ok(())
}

/// Accepts on all ports and closes at once, for ever. It never sleeps: to wake it would be at the cost of who connects,
/// which between virtual cores is a fifth of a connection, and no server on another machine has its client pay that.
fn serve() -> Result<()> {
    runtime()?.block_on(async {
        for port in PORTS {
            let listener = tokio::net::TcpListener::bind(SocketAddr::from((SERVER, port))).await?;
            tokio::spawn(async move { while listener.accept().await.is_ok() {} });
        }
        println!("listens");
        loop {
            tokio::task::yield_now().await;
        }
    })
}

fn ports() -> impl Iterator<Item = SocketAddr> {
    PORTS.cycle().map(|port| SocketAddr::from((SERVER, port)))
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// The CPU time of this process, which has one thread.
fn cpu() -> Result<Duration> {
    cpu_of(Path::new("/proc/self/schedstat"))
}

pub fn cpu_of(file: &Path) -> Result<Duration> {
    let text = fs::read_to_string(file)?;
    let ns = text.split(' ').next().and_then(|ns| ns.parse().ok()).ok_or("schedstat begins with a number")?;
    Ok(Duration::from_nanos(ns))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn is_over(begun: Instant, time: Duration, pace: Option<Duration>, count: usize) -> bool {
    if pace.is_some() { count >= PACED as usize } else { begun.elapsed() >= time }
}

/// Walks of one address each, as a sidecar makes them.
fn walks(time: Duration, pace: Option<Duration>) -> Result<Done> {
    runtime()?.block_on(async {
        let (mut times, mut ports) = (Vec::new(), ports());
        let (begun, before) = (Instant::now(), cpu()?);
        while !is_over(begun, time, pace, times.len()) {
            let prober = Prober::new(Environment {
                rules: DialRules::Anything,
                addresses: vec![CLIENT.into()],
                ..Environment::default()
            });
            for _ in 0..OF_A_PROBER {
                let remote = ports.next().ok_or("ports come for ever")?;
                let key = TargetKey { check: "bench".into(), target: remote.to_string() };
                let walk = prober.walk(key, &target(remote), 1, Trigger::Event, |_| {}).await;
                let connect = walk.connect.ok_or("the address is dialled")?;
                match connect.dials.first() {
                    Some(dial) if matches!(dial.outcome, DialOutcome::Connected { local_peer: None }) => {
                        times.push(dial.elapsed);
                    }
                    _ => return Err(format!("{remote} did not connect: {connect:?}").into()),
                }
                if let Some(pace) = pace {
                    tokio::time::sleep(pace).await;
                }
            }
        }
        let used = cpu()?.saturating_sub(before);
        Ok(Done { probes: u32::try_from(times.len())?, cpu: used, median: median(times) })
    })
}

fn target(remote: SocketAddr) -> PlannedTarget {
    PlannedTarget {
        kind: TargetKind::Url(UrlTarget {
            url: format!("tcp://{remote}"),
            roots_pem: None,
            scope: DialScope { networks: Vec::new(), any_address: true },
        }),
        http: None,
        connect_timeout: Duration::from_secs(2),
        total_timeout: Duration::from_secs(3),
        interval: Duration::from_secs(10),
        retries: Retries { attempts: 1, backoff: Duration::ZERO, max_backoff: Duration::ZERO },
        controls: Vec::new(),
    }
}

/// The least that a prober of this runtime can do: connect, see that the server has closed, close.
fn connects(time: Duration, pace: Option<Duration>) -> Result<Done> {
    runtime()?.block_on(async {
        let (mut times, mut ports) = (Vec::new(), ports());
        let (begun, before) = (Instant::now(), cpu()?);
        while !is_over(begun, time, pace, times.len()) {
            let remote = ports.next().ok_or("ports come for ever")?;
            let dialled = Instant::now();
            let mut stream = tokio::net::TcpStream::connect(remote).await?;
            times.push(dialled.elapsed());
            // Nothing comes but the end.
            let _ = stream.read(&mut [0; 1]).await?;
            drop(stream);
            if let Some(pace) = pace {
                tokio::time::sleep(pace).await;
            }
        }
        let used = cpu()?.saturating_sub(before);
        Ok(Done { probes: u32::try_from(times.len())?, cpu: used, median: median(times) })
    })
}

/// The exporter on the measured core, asked from the other one.
fn of_exporter(link: &Link) -> Result<Done> {
    let output = Link::part(&link.client, OTHERS, "exporter")?.stderr(Stdio::inherit()).output()?;
    read("exporter", &String::from_utf8(output.stdout)?)
}

/// Starts the exporter and asks it over one connection, one probe after the other.
fn exporter() -> Result<Done> {
    let config = env::temp_dir().join(format!("peerwalk-bench-{}.yml", std::process::id()));
    fs::write(&config, "modules: {tcp_connect: {prober: tcp, timeout: 2s}}\n")?;
    let mut command = Command::new("taskset");
    command.args(["-c", MEASURED, EXPORTER]).arg(format!("--config.file={}", config.display()));
    command.arg(format!("--web.listen-address=127.0.0.1:{EXPORTER_PORT}")).env("GOMAXPROCS", "1");
    let exporter = Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
    let asked = ask_exporter(exporter.0.id());
    fs::remove_file(&config)?;
    asked
}

/// As a Prometheus server asks that has many targets: a few at the same time, each over a connection that it keeps.
fn ask_exporter(pid: u32) -> Result<Done> {
    let mut streams = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(10);
    while streams.len() < ASKING {
        match TcpStream::connect((Ipv4Addr::LOCALHOST, EXPORTER_PORT)) {
            Ok(stream) => streams.push(stream),
            Err(error) if Instant::now() > deadline => return Err(error.into()),
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
    let used = || -> Result<Duration> {
        let mut cpu = Duration::ZERO;
        for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
            cpu += cpu_of(&thread?.path().join("schedstat")).unwrap_or_default();
        }
        Ok(cpu)
    };
    let before = used()?;
    let asking: Vec<_> =
        streams.into_iter().enumerate().map(|(n, stream)| thread::spawn(move || ask(stream, n))).collect();
    let mut probes = 0;
    for asked in asking {
        probes += asked.join().map_err(|_| "whoever asked the exporter ended")??;
    }
    Ok(Done { probes, cpu: used()?.saturating_sub(before), median: Duration::ZERO })
}

/// Asks for one probe after the other; how many there were.
fn ask(mut stream: TcpStream, skip: usize) -> std::result::Result<u32, String> {
    let (begun, mut probes) = (Instant::now(), 0);
    for remote in ports().skip(skip).step_by(ASKING) {
        if begun.elapsed() >= TURN {
            break;
        }
        let request =
            format!("GET /probe?module=tcp_connect&target={remote} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
        let answer = answer(&mut stream).map_err(|error| error.to_string())?;
        if !answer.contains("\nprobe_success 1") {
            return Err(format!("the exporter did not reach {remote}"));
        }
        probes += 1;
    }
    Ok(probes)
}

/// One answer of HTTP/1.1 with a length or in chunks, as far as its last line.
fn answer(stream: &mut TcpStream) -> Result<String> {
    let (mut text, mut buffer) = (String::new(), [0; 16 * 1024]);
    loop {
        let read = stream.read(&mut buffer)?;
        text.push_str(std::str::from_utf8(&buffer[..read])?);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok());
        if read == 0
            || length.map_or_else(|| body.ends_with("0\r\n\r\n"), |length: usize| body.len() >= length)
        {
            return Ok(text);
        }
    }
}
