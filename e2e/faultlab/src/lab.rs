//! A node and the pods on it, each a network namespace, in the two forms that CNI plugins give them.
//!
//! ```text
//! client .10 ──┐
//! server .11 ──┤ node (10.244.0.1, fd00:244::1; routed: 172.30.0.1, fd00:30::1)
//! other .13 ───┘ Service 10.96.0.10:80, fd00:96::10 → server:8080
//! ```
//!
//! The hub and the name server of a case by a cluster listen in the node's namespace, at addresses of their own
//! (10.244.9.2 and 10.244.9.3) behind Services (10.96.0.99 and 10.96.0.53): what policies say of traffic between a pod
//! and its node is left open by the API.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde::Deserialize;

/// How pods are joined to their node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Topology {
    /// Ports of a bridge, with netfilter called for bridged packets, as the bridge plugin does it.
    Bridge,
    /// Host routes and proxy ARP, as Calico does it.
    Routed,
}

/// A namespace of the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum At {
    /// The pod that probes.
    Client,
    /// The node that all pods are on.
    Node,
    /// The pod that is probed.
    Server,
    /// A pod that is neither.
    Other,
}

/// The namespaces of one case; they are removed when this goes.
#[derive(Debug)]
pub struct Lab {
    id: String,
    topology: Topology,
}

impl At {
    /// The pods, and the last byte of their addresses.
    pub const PODS: [(Self, u8); 3] = [(Self::Client, 10), (Self::Server, 11), (Self::Other, 13)];

    /// The address of a family.
    pub fn address(self, topology: Topology, v6: bool) -> String {
        let pod = Self::PODS.iter().find(|(at, _)| *at == self).map(|(_, byte)| byte);
        match (pod, topology, v6) {
            (Some(byte), _, false) => format!("10.244.0.{byte}"),
            (Some(byte), _, true) => format!("fd00:244::{byte}"),
            (None, Topology::Bridge, false) => "10.244.0.1".to_owned(),
            (None, Topology::Bridge, true) => "fd00:244::1".to_owned(),
            (None, Topology::Routed, false) => "172.30.0.1".to_owned(),
            (None, Topology::Routed, true) => "fd00:30::1".to_owned(),
        }
    }

    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Node => "node",
            Self::Server => "server",
            Self::Other => "other",
        }
    }
}

/// kube-proxy's part: one Service with one endpoint, the hub's, and that of DNS.
const SERVICE: &str = "
table inet service {
  chain prerouting {
    type nat hook prerouting priority dstnat
    ip daddr 10.96.0.10 tcp dport 80 dnat ip to 10.244.0.11:8080
    ip6 daddr fd00:96::10 tcp dport 80 dnat ip6 to [fd00:244::11]:8080
    ip daddr 10.96.0.99 tcp dport 9443 dnat ip to 10.244.9.2:9443
    ip6 daddr fd00:96::99 tcp dport 9443 dnat ip6 to [fd80:9::2]:9443
    ip daddr 10.96.0.53 meta l4proto { tcp, udp } th dport 53 dnat ip to 10.244.9.3:53
    ip6 daddr fd00:96::53 meta l4proto { tcp, udp } th dport 53 dnat ip6 to [fd80:9::3]:53
  }
}
";

impl Lab {
    /// Makes the namespaces and joins them.
    pub fn new(topology: Topology) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let id = format!("{PREFIX}{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let lab = Self { id, topology };
        lab.set_up().with_context(|| format!("cannot make a {topology:?} lab"))?;
        Ok(lab)
    }

    /// The name of a namespace, below `/run/netns`.
    pub fn name(&self, at: At) -> String {
        format!("{}-{}", self.id, at.word())
    }

    fn set_up(&self) -> Result<()> {
        let all = [At::Node].into_iter().chain(At::PODS.map(|(at, _)| at));
        let names: Vec<String> = all.clone().map(|at| format!("netns add {}", self.name(at))).collect();
        feed(Command::new("ip").args(["-batch", "-"]), &names.join("\n"))?;
        for at in all {
            // Without it, IPv6 addresses of a new link are not used for two seconds (RFC 4862, section 5.4).
            self.sysctls(at, &[("ipv6/conf/all/accept_dad", "0"), ("ipv6/conf/default/accept_dad", "0")])?;
        }
        let forward = [("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")];
        self.sysctls(At::Node, &forward)?;
        self.ip(At::Node, &self.node())?;
        if self.topology == Topology::Bridge {
            let call = [("bridge/bridge-nf-call-iptables", "1"), ("bridge/bridge-nf-call-ip6tables", "1")];
            let missing = "netfilter is not called for bridged packets: run `modprobe br_netfilter`";
            self.sysctls(At::Node, &call).context(missing)?;
        }
        for (at, _) in At::PODS {
            if self.topology == Topology::Routed {
                let proxy = format!("ipv4/conf/{}/proxy_arp", at.word());
                // An answer for another is delayed by up to 0.8 s otherwise, which every first packet waits for.
                let delay = format!("ipv4/neigh/{}/proxy_delay", at.word());
                self.sysctls(At::Node, &[(proxy.as_str(), "1"), (delay.as_str(), "0")])?;
            }
            self.ip(at, &self.pod(at))?;
        }
        self.nft(At::Node, SERVICE)?;
        self.await_links()
    }

    /// A link carries packets only once the kernel has noticed that both its ends are up, which takes a while when other
    /// namespaces are made and removed (`linkwatch_do_dev`, Linux `net/core/link_watch.c`). What is sent before is lost,
    /// the first neighbour solicitation too, and the next one comes a second later.
    fn await_links(&self) -> Result<()> {
        const WITHIN: Duration = Duration::from_secs(20);
        const EVERY: Duration = Duration::from_millis(5);
        let begun = Instant::now();
        for at in [At::Node].into_iter().chain(At::PODS.map(|(at, _)| at)) {
            loop {
                let out =
                    Command::new("ip").args(["-n", &self.name(at), "-brief", "link", "show", "up"]).output();
                let out = out.context("cannot start ip")?;
                let links = String::from_utf8_lossy(&out.stdout);
                // `NAME STATE …`; loopback has no state.
                let mut states = links.lines().filter_map(|line| line.split_whitespace().nth(1));
                if out.status.success() && states.all(|state| matches!(state, "UP" | "UNKNOWN")) {
                    break;
                }
                if begun.elapsed() > WITHIN {
                    bail!("links of {} are not up after {WITHIN:?}:\n{links}", self.name(at));
                }
                thread::sleep(EVERY);
            }
        }
        Ok(())
    }

    fn node(&self) -> String {
        let mut lines = "link set lo up\n".to_owned();
        match self.topology {
            Topology::Bridge => {
                lines += "link add cni0 type bridge forward_delay 0 mcast_snooping 0\nlink set cni0 up\n\
                          addr add 10.244.0.1/24 dev cni0\naddr add fd00:244::1/64 dev cni0 nodad\n";
            }
            Topology::Routed => {
                // Proxy ARP answers only for what the node has some route to.
                lines += "addr add 172.30.0.1/32 dev lo\naddr add fd00:30::1/128 dev lo\n\
                          link add up0 type veth peer name up1\nlink set up0 up\nlink set up1 up\nroute add default dev up0\n";
            }
        }
        // After those above, and unlike the pods' in IPv6: errors of the node come from the first that fits best.
        lines += "addr add 10.244.9.2/32 dev lo\naddr add 10.244.9.3/32 dev lo\n\
                  addr add fd80:9::2/128 dev lo nodad\naddr add fd80:9::3/128 dev lo nodad\n";
        for (at, _) in At::PODS {
            let (port, pod) = (at.word(), self.name(at));
            let _ = writeln!(lines, "link add {port} type veth peer name eth0 netns {pod}");
            match self.topology {
                Topology::Bridge => {
                    let _ = writeln!(lines, "link set {port} master cni0 up");
                }
                Topology::Routed => {
                    let (v4, v6) = (at.address(self.topology, false), at.address(self.topology, true));
                    let _ = write!(
                        lines,
                        "link set {port} up\naddr add fe80::1/64 dev {port} nodad\n\
                         route add {v4}/32 dev {port}\n-6 route add {v6}/128 dev {port}\n"
                    );
                }
            }
        }
        lines
    }

    fn pod(&self, at: At) -> String {
        let (v4, v6) = (at.address(self.topology, false), at.address(self.topology, true));
        let mut lines = "link set lo up\nlink set eth0 up\n".to_owned();
        let _ = match self.topology {
            Topology::Bridge => write!(
                lines,
                "addr add {v4}/24 dev eth0\naddr add {v6}/64 dev eth0 nodad\n\
                 route add default via 10.244.0.1\nroute add default via fd00:244::1\n"
            ),
            Topology::Routed => write!(
                lines,
                "addr add {v4}/32 dev eth0\naddr add {v6}/128 dev eth0 nodad\n\
                 route add 169.254.1.1 dev eth0 scope link\nroute add default via 169.254.1.1 dev eth0\n\
                 route add default via fe80::1 dev eth0\n"
            ),
        };
        lines
    }

    /// Runs lines of `ip` in a namespace.
    pub fn ip(&self, at: At, lines: &str) -> Result<()> {
        let mut own = String::new();
        let mut of_v6 = String::new();
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            // Elsewhere, `ip` tells the family from the addresses.
            let (line, lines) = line.strip_prefix("-6 ").map_or((line, &mut own), |line| (line, &mut of_v6));
            *lines += line;
            *lines += "\n";
        }
        for (family, lines) in
            [(None, own), (Some("-6"), of_v6)].iter().filter(|(_, lines)| !lines.is_empty())
        {
            let mut ip = Command::new("ip");
            feed(ip.args(["-n", &self.name(at)]).args(*family).args(["-batch", "-"]), lines)?;
        }
        Ok(())
    }

    /// Adds rules to a namespace's own.
    pub fn nft(&self, at: At, rules: &str) -> Result<()> {
        // Not by `ip netns exec`: the end of its mount namespace takes the whole kernel a moment.
        self.within(at, || feed(Command::new("nft").args(["-f", "-"]), rules))?
    }

    /// Takes every rule away that is not the lab's own.
    pub fn repair(&self) -> Result<()> {
        for at in At::PODS.map(|(at, _)| at) {
            self.nft(at, "flush ruleset")?;
        }
        self.nft(At::Node, &format!("flush ruleset\n{SERVICE}"))
    }

    /// Sets what is below `/proc/sys/net` of a namespace.
    pub fn sysctls(&self, at: At, values: &[(&str, &str)]) -> Result<()> {
        // Who sets forwarding while others change devices does not wait, but tries again at once and for ever
        // (`devinet_sysctl_forward`, Linux `net/ipv4/devinet.c`): many of them leave the machine to nobody else.
        static ONE: Mutex<()> = Mutex::new(());
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        self.within(at, || {
            for (name, value) in values {
                let file = format!("/proc/sys/net/{name}");
                fs::write(&file, value).with_context(|| format!("cannot write {value} to {file}"))?;
            }
            Ok(())
        })?
    }

    /// Runs something in a namespace, on a thread of its own.
    pub fn within<T: Send>(&self, at: At, what: impl FnOnce() -> T + Send) -> Result<T> {
        let path = format!("/run/netns/{}", self.name(at));
        let file = File::open(&path).with_context(|| format!("cannot open {path}"))?;
        thread::scope(|scope| {
            let inside = scope.spawn(|| -> Result<T> {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                    .with_context(|| format!("cannot enter {path}"))?;
                Ok(what())
            });
            inside.join().map_err(|_| anyhow!("what ran in {path} panicked"))?
        })
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for at in [At::Node].into_iter().chain(At::PODS.map(|(at, _)| at)) {
            // One that was not made cannot be removed.
            let _ = feed(Command::new("ip").args(["netns", "del", &self.name(at)]), "");
        }
    }
}

/// What the namespaces' names begin with, before the process id of who made them.
const PREFIX: &str = "pwf";

/// Removes the namespaces of runs that were killed.
pub fn remove_remains() -> Result<()> {
    // Without the folder there has never been a named namespace.
    let Ok(entries) = fs::read_dir("/run/netns") else { return Ok(()) };
    for name in entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        let Some(pid) = pid.and_then(|pid| pid.parse::<u32>().ok()) else { continue };
        if !Path::new(&format!("/proc/{pid}")).exists() {
            feed(Command::new("ip").args(["netns", "del", &name]), "")?;
        }
    }
    Ok(())
}

/// Runs a command with that input.
fn feed(command: &mut Command, input: &str) -> Result<()> {
    let words = format!("{command:?}");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start {words}"))?;
    let mut stdin = child.stdin.take().context("standard input is piped")?;
    // What ended early says why below.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let out = child.wait_with_output().with_context(|| format!("cannot wait for {words}"))?;
    if !out.status.success() {
        bail!("{words} failed: {}\n{input}", String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(())
}
