//! Ten steady minutes on real nodes: what is written to the API, and what a sidecar and the operator use. Beside
//! them, at the same pace and in the same minutes, a plain loop of connects (the least there can be) and
//! blackbox_exporter (what people use otherwise). `cargo xtask bench steady`.

use std::env;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use peerwalk_api::ConditionStatus::True;
use peerwalk_e2e::audit::Writes;
use peerwalk_e2e::measure::{Usage, connects, mib, processes, progress, table};
use peerwalk_e2e::nodes::{SYSTEM, printed};
use peerwalk_e2e::object::{self, NODE_1, NODE_2, to_service, with};
use peerwalk_e2e::scene::{CLIENT, SERVER, Scene, play};
use serde_json::json;

/// TCP targets; with the service address and one endpoint each, every 5 s, 2.4 connects a second.
const TARGETS: usize = 6;
/// Connects a second of those that are compared.
const PACE: Duration = Duration::from_millis(416);

#[tokio::main]
async fn main() -> Result<()> {
    let minutes: u64 = env::var("PEERWALK_BENCH_MINUTES").ok().and_then(|m| m.parse().ok()).unwrap_or(10);
    play(async |scene| steady(scene, Duration::from_mins(minutes)).await).await
}

async fn steady(scene: &Scene<'_>, time: Duration) -> Result<()> {
    let address = deploy(scene).await?;
    let sidecar = of_client(scene).await?;
    let pod = scene.nodes.leader()?;
    let operator = of_pod("peerwalk-operator", &pod)?;
    let log = scene.nodes.cluster.audit_log()?;
    let peers = Peers::start(address, log.parent().context("a file has a folder")?)?;
    // The first round is over, and what starts has started.
    tokio::time::sleep(Duration::from_secs(30)).await;
    let writes = Writes::of(&scene.nodes.cluster)?;
    let (before, operator_before) = (Usage::of(sidecar)?, Usage::of(operator)?);
    let (opened, peers_before) = (connects(sidecar)?, peers.used()?);
    let history = scene.history("steady");
    let begun = Instant::now();
    while begun.elapsed() < time {
        progress(&format!("{} of {} s", begun.elapsed().as_secs(), time.as_secs()));
        tokio::time::sleep(Duration::from_secs(30).min(time.saturating_sub(begun.elapsed()))).await;
    }
    let (after, operator_after) = (Usage::of(sidecar)?, Usage::of(operator)?);
    let opened = connects(sidecar)? - opened;
    let peers_after = peers.used()?;
    let writes = Writes::of(&scene.nodes.cluster)?.since(&writes).others;
    if !writes.is_empty() {
        progress(&format!("it was not steady: {:?}", history.seen()));
        let log = ["-n", SYSTEM, "logs", &pod, "--since=11m"];
        let log = printed(scene.nodes.cluster.kubectl().args(log))?;
        log.lines().filter(|line| line.contains("status written")).for_each(progress);
    }
    ensure!(opened > 100, "the sidecar opened {opened} connections only");

    let per_thousand = |cpu: Duration, count: u64| {
        cpu.as_secs_f64() * 1e6 / f64::from(u32::try_from(count).unwrap_or(u32::MAX).max(1))
    };
    let own = per_thousand(after.cpu.saturating_sub(before.cpu), opened);
    let mut rows =
        vec![vec!["sidecar".into(), format!("{own:.0} ms"), mib(after.rss), opened.to_string(), "1".into()]];
    for (before, after) in peers_before.iter().zip(&peers_after) {
        let count = after.connects - before.connects;
        let cost = per_thousand(after.usage.cpu.saturating_sub(before.usage.cpu), count);
        let rss = if after.usage.rss == 0 { "–".into() } else { mib(after.usage.rss) };
        rows.push(vec![
            after.name.into(),
            format!("{cost:.0} ms"),
            rss,
            count.to_string(),
            format!("{:.2}", cost / own),
        ]);
    }
    table(&["prober", "CPU for 1,000 probes", "RSS", "probes", "ratio of CPU"], &rows);
    let cpu = operator_after.cpu.saturating_sub(operator_before.cpu).as_secs_f64() / time.as_secs_f64();
    table(
        &["operator", ""],
        &[
            vec!["RSS".into(), mib(operator_after.rss)],
            vec!["CPU".into(), format!("{:.2} % of a core", cpu * 100.0)],
            vec![
                format!("API writes in {} s, Leases and TokenReviews aside", time.as_secs()),
                format!("{} {}", writes.len(), writes.join(", ")),
            ],
        ],
    );
    ensure!(
        writes.is_empty(),
        "expected no write in steady minutes (ARCHITECTURE.md): {}",
        writes.join(", ")
    );
    Ok(())
}

/// A client with TCP, HTTP and DNS targets; gives the address of a server.
async fn deploy(scene: &Scene<'_>) -> Result<SocketAddr> {
    let (client, server) = (scene.name(CLIENT), scene.name(SERVER));
    let mut objects = vec![object::pod(&client, "client", NODE_1, &["pause"])];
    let mut targets = Vec::new();
    for number in 0..TARGETS {
        let name = format!("server-{number}");
        let node = if number % 2 == 0 { NODE_1 } else { NODE_2 };
        objects.push(object::without_sidecar(object::pod(&server, &name, node, &["serve"])));
        objects.push(object::service(&server, &name, &name, &json!(8080)));
        let target = to_service(&server, &name);
        targets.push(if number == 0 { with(target, &json!({ "http": { "path": "/" } })) } else { target });
    }
    targets.push(json!({ "name": "dns", "dns": { "name": "kubernetes.default.svc.cluster.local" } }));
    scene.deploy(&objects).await?;
    scene.apply(&[object::check(&client, "steady", &targets)]).await?;
    scene.verdict("steady", True, "AsExpected").await?;
    let pods: kube::Api<k8s_openapi::api::core::v1::Pod> =
        kube::Api::namespaced(scene.nodes.client.clone(), &server);
    let ip = pods.get("server-0").await?.status.and_then(|status| status.pod_ip).context("an address")?;
    Ok(SocketAddr::new(ip.parse()?, 8080))
}

/// The sidecar's process in the pod `client` of the scene.
async fn of_client(scene: &Scene<'_>) -> Result<u32> {
    let pod = scene.pods(CLIENT).get("client").await?;
    let uid = pod.metadata.uid.context("a pod has a uid")?;
    of_pod("peerwalk-sidecar", &uid)
}

/// The process with that name whose environment names the pod: other clusters of the machine may have such too.
fn of_pod(name: &str, pod: &str) -> Result<u32> {
    let is_it = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment).contains(pod)
    };
    processes(name)?.into_iter().find(is_it).with_context(|| format!("no {name} of {pod} runs"))
}

/// What one of the compared has used and done so far.
struct Used {
    name: &'static str,
    usage: Usage,
    connects: u64,
}

/// The loop and the exporter, each asked for one connect in [`PACE`].
struct Peers {
    exporter: Option<Child>,
    asked: Arc<AtomicU64>,
    looped: Arc<AtomicU64>,
    loop_thread: u32,
    stop: Arc<AtomicBool>,
}

const EXPORTER_PORT: u16 = 19115;

impl Peers {
    fn start(address: SocketAddr, folder: &Path) -> Result<Self> {
        let (asked, looped, stop) =
            (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let exporter = exporter(folder)?;
        let paced = |work: Box<dyn Fn() -> bool + Send>, count: Arc<AtomicU64>, stop: Arc<AtomicBool>| {
            move || {
                while !stop.load(Ordering::Relaxed) {
                    if work() {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                    thread::sleep(PACE);
                }
            }
        };
        if exporter.is_some() {
            let ask = Box::new(move || ask(address).is_ok());
            thread::spawn(paced(ask, Arc::clone(&asked), Arc::clone(&stop)));
        }
        let (number, of_thread) = std::sync::mpsc::channel();
        let connect = Box::new(move || TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok());
        let work = paced(connect, Arc::clone(&looped), Arc::clone(&stop));
        thread::spawn(move || {
            let own = fs::read_link("/proc/thread-self").ok();
            let own = own.and_then(|path| path.file_name()?.to_str()?.parse().ok());
            let _ = number.send(own.unwrap_or_default());
            work();
        });
        let loop_thread = of_thread.recv().context("the loop has begun")?;
        Ok(Self { exporter, asked, looped, loop_thread, stop })
    }

    fn used(&self) -> Result<Vec<Used>> {
        let stat = fs::read_to_string(format!("/proc/self/task/{}/schedstat", self.loop_thread))?;
        let ns = stat.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or_default();
        let mut used = vec![Used {
            name: "a loop of connect() and close() (the least there can be)",
            usage: Usage { cpu: Duration::from_nanos(ns), rss: 0 },
            connects: self.looped.load(Ordering::Relaxed),
        }];
        if let Some(exporter) = &self.exporter {
            let connects = self.asked.load(Ordering::Relaxed);
            used.push(Used {
                name: "blackbox_exporter, module tcp_connect",
                usage: Usage::of(exporter.id())?,
                connects,
            });
        }
        Ok(used)
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(exporter) = &mut self.exporter {
            let _ = exporter.kill();
            let _ = exporter.wait();
        }
    }
}

/// Debian's blackbox_exporter, if it is installed, with its configuration in `folder`.
fn exporter(folder: &Path) -> Result<Option<Child>> {
    let config = folder.join("blackbox.yml");
    fs::write(&config, "modules: {tcp_connect: {prober: tcp, timeout: 2s}}\n")?;
    let mut command = Command::new("prometheus-blackbox-exporter");
    command.arg(format!("--config.file={}", config.display()));
    command.arg(format!("--web.listen-address=127.0.0.1:{EXPORTER_PORT}"));
    match command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
        Ok(child) => Ok(Some(child)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            progress("prometheus-blackbox-exporter is not installed and is left out of the comparison");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Asks the exporter for one probe and waits for its answer.
fn ask(address: SocketAddr) -> Result<()> {
    let url = format!("http://127.0.0.1:{EXPORTER_PORT}/probe?module=tcp_connect&target={address}");
    let answer = printed(Command::new("curl").args(["--silent", "--max-time", "3", &url]))?;
    ensure!(answer.contains("probe_success 1"), "the probe failed");
    Ok(())
}
