//! A client, a node and a server, each a network namespace, joined by veth pairs. IPv4 and IPv6.
//!
//! ```text
//! client 10.9.1.2 ── 10.9.1.1 node 10.9.2.1 ── 10.9.2.2 server
//!        fd09:1::2 ── fd09:1::1    fd09:2::1 ── fd09:2::2
//! ```

use std::fs::File;
use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

pub const SERVER: [&str; 2] = ["10.9.2.2", "fd09:2::2"];
pub const NODE: [&str; 2] = ["10.9.1.1", "fd09:1::1"];
/// Addresses of the server's network that nobody has.
pub const NOBODY: [&str; 2] = ["10.9.2.99", "fd09:2::99"];

const SETUP: &str = "
netns add C
netns add N
netns add S
link add eth0 netns C type veth peer name c netns N
link add eth0 netns S type veth peer name s netns N
-n C link set lo up
-n N link set lo up
-n S link set lo up
-n C link set eth0 up
-n N link set c up
-n N link set s up
-n S link set eth0 up
-n C addr add 10.9.1.2/24 dev eth0
-n N addr add 10.9.1.1/24 dev c
-n N addr add 10.9.2.1/24 dev s
-n S addr add 10.9.2.2/24 dev eth0
-n C addr add fd09:1::2/64 dev eth0 nodad
-n N addr add fd09:1::1/64 dev c nodad
-n N addr add fd09:2::1/64 dev s nodad
-n S addr add fd09:2::2/64 dev eth0 nodad
-n C route add default via 10.9.1.1
-n S route add default via 10.9.2.1
-n N route add 10.96.0.0/12 via 10.9.2.2
-n C route add default via fd09:1::1
-n S route add default via fd09:2::1
";

/// Without this, IPv6 addresses of a new link are not used for two seconds (RFC 4862, section 5.4).
const NO_DAD: &str = "for i in all default; do echo 0 > /proc/sys/net/ipv6/conf/$i/accept_dad; done";

const FORWARDING: &str =
    "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding";

/// Addresses of the client's own network that nobody has.
pub const NO_NEIGHBOUR: [&str; 2] = ["10.9.1.99", "fd09:1::99"];

/// One of the three namespaces.
#[derive(Clone, Copy)]
pub enum At {
    Client,
    Node,
    Server,
}

/// The three namespaces, removed when dropped.
pub struct Lab {
    id: String,
}

impl Lab {
    /// `None`, with a message, where namespaces cannot be made; in CI that is a failure.
    pub fn new() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let id = format!("pw{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let lab = Self { id };
        match lab.set_up() {
            Ok(()) => Some(lab),
            Err(error) => {
                assert!(std::env::var_os("CI").is_none(), "network namespaces are needed in CI: {error}");
                println!("skipped: needs root, ip and nft: {error}");
                None
            }
        }
    }

    fn set_up(&self) -> Result<(), String> {
        let batch: String = SETUP
            .lines()
            .map(|line| {
                let words = line.split(' ').map(|word| match word {
                    "C" => self.name(At::Client),
                    "N" => self.name(At::Node),
                    "S" => self.name(At::Server),
                    other => other.to_owned(),
                });
                words.collect::<Vec<_>>().join(" ") + "\n"
            })
            .collect();
        for line in batch.lines().filter(|line| !line.is_empty()) {
            run(Command::new("ip").args(line.split(' ')), None)?;
            if let Some(name) = line.strip_prefix("netns add ") {
                run(Command::new("ip").args(["netns", "exec", name, "sh", "-c", NO_DAD]), None)?;
            }
        }
        run(Command::new("ip").args(["netns", "exec", &self.name(At::Node), "sh", "-c", FORWARDING]), None)?;
        [At::Client, At::Node, At::Server].into_iter().try_for_each(|at| self.await_links(at))
    }

    /// A new link loses what is sent until the kernel has noticed that both ends are up.
    fn await_links(&self, at: At) -> Result<(), String> {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(10) {
            let all =
                Command::new("ip").args(["-n", &self.name(at), "-brief", "link", "show", "up"]).output();
            let all = all.map_err(|error| error.to_string())?;
            let all = String::from_utf8_lossy(&all.stdout);
            let mut states = all.lines().filter_map(|line| line.split_whitespace().nth(1));
            if states.all(|state| matches!(state, "UP" | "UNKNOWN")) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err(format!("links of {} do not come up", self.name(at)))
    }

    fn name(&self, at: At) -> String {
        let end = match at {
            At::Client => "c",
            At::Node => "n",
            At::Server => "s",
        };
        format!("{}{end}", self.id)
    }

    /// Replaces the rules of a namespace.
    pub fn rules(&self, at: At, rules: &str) {
        let rules = format!("flush ruleset\n{rules}\n");
        let mut nft = Command::new("ip");
        nft.args(["netns", "exec", &self.name(at), "nft", "-f", "-"]);
        run(&mut nft, Some(&rules)).unwrap();
    }

    /// Rules for what the node forwards.
    pub fn forward(&self, rules: &str) {
        self.rules(
            At::Node,
            &format!("table inet t {{ chain f {{ type filter hook forward priority 0;\n{rules}\n}}\n}}"),
        );
    }

    /// Runs something in a namespace, on a thread of its own.
    pub fn run<T: Send>(&self, at: At, what: impl FnOnce() -> T + Send) -> T {
        let file = File::open(format!("/run/netns/{}", self.name(at))).unwrap();
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                what()
            });
            thread.join().unwrap()
        })
    }

    /// Listeners on the unspecified address of both families. The kernel completes handshakes without
    /// anybody calling accept.
    pub fn listen(&self, at: At, ports: &[u16]) -> Vec<TcpListener> {
        self.run(at, || {
            let address = |port: &u16| [SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 0], *port))];
            // A dual-stack socket, as servers in Go and Rust open it.
            ports.iter().flat_map(address).map(|address| TcpListener::bind(address).unwrap()).collect()
        })
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for at in [At::Client, At::Node, At::Server] {
            // One that was not made cannot be removed.
            let _ = run(Command::new("ip").args(["netns", "del", &self.name(at)]), None);
        }
    }
}

fn run(command: &mut Command, input: Option<&str>) -> Result<(), String> {
    let words = format!("{command:?}");
    let failed = |what: String| format!("{words}: {what}");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.unwrap_or_default().as_bytes()).map_err(|error| failed(error.to_string()))?;
    drop(stdin);
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()))
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn at(host: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip(host), port)
}
