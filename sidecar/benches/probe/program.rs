//! The released sidecar under plans of several kinds: its memory and CPU, and what the workload and the node notice.

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::link::{CLIENT, Link, Running, SERVER};
use crate::rates::cpu_of;
use crate::support::NAME;
use crate::world::HUB_PORT;

/// How long the CPU of a steady plan is measured.
const STEADY: Duration = Duration::from_mins(2);
/// For the plan of 200 targets, unless `PEERWALK_BENCH_MINUTES` says otherwise.
const LONG: Duration = Duration::from_hours(1);
/// After the first round, until all that is new has settled.
const SETTLES: Duration = Duration::from_secs(15);
/// The first round of 200 Services comes within the budget of 4 connects a second.
const ROUND: Duration = Duration::from_mins(5);

/// Measures what is soon measured, and prints the tables.
pub fn measure(sidecar: &Path) -> Result<()> {
    plans(
        sidecar,
        &[
            ("kinds", "every kind of probe once", Duration::ZERO),
            ("20-addresses", "20 single-address TCP targets every 10 s", STEADY),
            ("20-services", "20 Services of 3 endpoints with DNS every 10 s", STEADY),
        ],
    )?;
    effect(sidecar)
}

/// Measures many targets for long, and prints the table.
pub fn hour(sidecar: &Path) -> Result<()> {
    let minutes = env::var("PEERWALK_BENCH_MINUTES").ok().and_then(|minutes| minutes.parse().ok());
    let long = minutes.map_or(LONG, Duration::from_mins);
    plans(sidecar, &[("200-targets", "200 Services of 3 endpoints with DNS every 10 s", long)])
}

fn plans(sidecar: &Path, plans: &[(&str, &str, Duration)]) -> Result<()> {
    println!(
        "\n| plan of the released sidecar | time | RSS | of it its own | CPU of a core |\n|---|---|---|---|---|"
    );
    for &(plan, name, time) in plans {
        let at_work = AtWork::start(plan, sidecar)?;
        let before = at_work.used()?;
        at_work.wait(name, time)?;
        let after = at_work.used()?;
        let share = after.cpu.saturating_sub(before.cpu).as_secs_f64() / time.as_secs_f64();
        let cpu = if time.is_zero() { "–".into() } else { format!("{:.3} %", share * 100.0) };
        println!(
            "| {name} | {} min | {} KiB | {} KiB | {cpu} |",
            time.as_secs() / 60,
            after.rss_kib,
            after.anonymous_kib
        );
    }
    Ok(())
}

/// What a plan that wants more than the budget gives costs the workload and the node.
fn effect(sidecar: &Path) -> Result<()> {
    let mut at_work = AtWork::start("budget", sidecar)?;
    let (opened, queries) = (at_work.opened()?, at_work.queries()?);
    let (mut time_wait, mut conntrack) = (0, 0);
    let begun = Instant::now();
    while begun.elapsed() < STEADY {
        at_work.wait("full budget", Duration::from_secs(5))?;
        time_wait = time_wait.max(at_work.time_wait()?);
        conntrack = conntrack.max(at_work.conntrack()?);
    }
    let minutes = begun.elapsed().as_secs_f64() / 60.0;
    #[allow(clippy::cast_precision_loss)]
    let per_minute = |count: u64| format!("{:.0}", count as f64 / minutes);
    println!("\n| 200 Services every 5 s, which is more than the budget | |\n|---|---|");
    println!("| connections a minute | {} |", per_minute(at_work.opened()? - opened));
    println!("| DNS queries a minute | {} |", per_minute(at_work.queries()? - queries));
    println!("| sockets of the pod in TIME_WAIT, most | {time_wait} |");
    println!("| conntrack entries of the node, most | {conntrack} |");
    Ok(())
}

/// A sidecar with a plan, and what it probes.
struct AtWork {
    sidecar: Running,
    asks: ChildStdin,
    told: BufReader<ChildStdout>,
    _world: Running,
    link: Link,
    _folder: tempfile::TempDir,
}

#[derive(Clone, Copy)]
struct Used {
    cpu: Duration,
    rss_kib: u64,
    anonymous_kib: u64,
}

impl AtWork {
    /// Starts both, and waits until each target has evidence.
    fn start(plan: &str, sidecar: &Path) -> Result<Self> {
        let link = Link::new()?;
        prepare(&link)?;
        let folder = tempfile::tempdir()?;
        // The sidecar runs as another user.
        open_to_all(folder.path())?;
        let mut world = Link::part(&link.server, "1", "world")?;
        world.arg(plan).arg(folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut world = Running(world.spawn()?);
        let asks = world.0.stdin.take().ok_or("standard input is piped")?;
        let mut told = BufReader::new(world.0.stdout.take().ok_or("standard output is piped")?);
        expect(&mut told, "ready")?;
        let sidecar = Running(command(&link, sidecar, folder.path())?.spawn()?);
        expect(&mut told, "round")?;
        thread::sleep(SETTLES);
        Ok(Self { sidecar, asks, told, _world: world, link, _folder: folder })
    }

    /// Lets it work for a while.
    fn wait(&self, name: &str, time: Duration) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < time {
            if time > STEADY {
                eprintln!("  {name}: {} of {} s", begun.elapsed().as_secs(), time.as_secs());
            }
            thread::sleep(Duration::from_mins(1).min(time.saturating_sub(begun.elapsed())));
        }
        if Path::new(&format!("/proc/{}/status", self.sidecar.0.id())).exists() {
            Ok(())
        } else {
            Err("the sidecar ended".into())
        }
    }

    fn used(&self) -> Result<Used> {
        let pid = self.sidecar.0.id();
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let kib = |name: &str| number_after(&status, name).ok_or(format!("no {name} in status"));
        let cpu = cpu_of(Path::new(&format!("/proc/{pid}/schedstat")))?;
        Ok(Used { cpu, rss_kib: kib("VmRSS:")?, anonymous_kib: kib("RssAnon:")? })
    }

    /// TCP connections that the pod has opened (`ActiveOpens`, RFC 4022).
    fn opened(&self) -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/net/snmp", self.sidecar.0.id()))?;
        let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
        let (names, values) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        let at = names.split(' ').position(|name| name == "ActiveOpens").ok_or("no ActiveOpens")?;
        Ok(values.split(' ').nth(at).ok_or("no value of ActiveOpens")?.parse()?)
    }

    fn time_wait(&self) -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/net/sockstat", self.sidecar.0.id()))?;
        let tcp = text.lines().find(|line| line.starts_with("TCP:")).ok_or("no TCP in sockstat")?;
        Ok(number_after(tcp, "tw ").ok_or("no tw in sockstat")?)
    }

    fn conntrack(&self) -> Result<u64> {
        let file = "/proc/sys/net/netfilter/nf_conntrack_count";
        let net = format!("--net=/run/netns/{}", self.link.server);
        let output = Command::new("nsenter").args([&net, "cat", file]).output()?;
        Ok(String::from_utf8(output.stdout)?.trim().parse()?)
    }

    fn queries(&mut self) -> Result<u64> {
        self.asks.write_all(b"\n")?;
        let mut line = String::new();
        self.told.read_line(&mut line)?;
        Ok(line.trim().parse()?)
    }
}

fn number_after(text: &str, name: &str) -> Option<u64> {
    text.split_once(name)?.1.split_whitespace().next()?.parse().ok()
}

fn expect(told: &mut BufReader<ChildStdout>, word: &str) -> Result<()> {
    let begun = Instant::now();
    let mut line = String::new();
    told.read_line(&mut line)?;
    if line.trim() == word && begun.elapsed() < ROUND {
        Ok(())
    } else {
        Err(format!("expected {word} within {} s, got {line:?}", ROUND.as_secs()).into())
    }
}

/// Every address that the plans name is the server's, which also tracks connections, as nodes do.
fn prepare(link: &Link) -> Result<()> {
    let (client, server) = (&link.client, &link.server);
    for line in [
        format!("-n {server} route add local 10.96.0.0/16 dev lo"),
        format!("-n {server} route add local 10.244.0.0/16 dev lo"),
        format!("-n {client} route add default via {SERVER}"),
    ] {
        let status = Command::new("ip").args(line.split(' ')).status()?;
        if !status.success() {
            return Err(format!("ip {line} failed").into());
        }
    }
    let rules = "table inet node { chain in { type filter hook input priority 0; ct state invalid drop; }; }";
    let net = format!("--net=/run/netns/{server}");
    let status = Command::new("nsenter").args([net.as_str(), "nft", rules]).status()?;
    if status.success() { Ok(()) } else { Err("nft failed: this needs root and nftables".into()) }
}

fn open_to_all(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    fs::write(folder.join("token"), "token-web")?;
    let resolv = format!(
        "nameserver {SERVER}\nsearch shop.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"
    );
    Ok(fs::write(folder.join("resolv.conf"), resolv)?)
}

/// The sidecar as it runs in a pod: uid 65532, no capability, a resolv.conf of its own.
fn command(link: &Link, sidecar: &Path, folder: &Path) -> Result<Command> {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{}", link.client));
    command.args(["unshare", "--mount", "--propagation", "private", "sh", "-ec"]);
    command.arg("mount --bind \"$1\" /etc/resolv.conf; shift; exec \"$@\"").arg("sh");
    command.arg(folder.join("resolv.conf"));
    command.args(["setpriv", "--reuid", "65532", "--regid", "65532", "--clear-groups"]);
    command.args(["--bounding-set", "-all", "--inh-caps", "-all", "--no-new-privs"]).arg(sidecar).arg("run");
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.env("PEERWALK_HUB", format!("{NAME}:{HUB_PORT}"));
    command.env("PEERWALK_HUB_ADDRESS", format!("{SERVER}:{HUB_PORT}"));
    command.env("PEERWALK_HUB_ROOT", fs::read_to_string(folder.join("root.pem"))?);
    command.env("PEERWALK_TOKEN_FILE", folder.join("token"));
    command.env("PEERWALK_POD_NAMESPACE", "shop").env("PEERWALK_POD_NAME", "web");
    command.env("PEERWALK_POD_UID", "uid-web").env("PEERWALK_POD_IPS", CLIENT.to_string());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command)
}
