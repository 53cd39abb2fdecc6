//! A case as its file has it: what is broken, what is probed, and what must be said.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

use crate::lab::{At, Topology};

mod cluster;

pub use cluster::{Cluster, Step};

/// One file of `cases/`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What is the matter, for people.
    pub about: String,
    /// Where it is tried; both forms unless it is said otherwise.
    #[serde(default = "both_topologies")]
    pub topologies: Vec<Topology>,
    /// In which families, 4 and 6; both unless it is said otherwise.
    #[serde(default = "both_families")]
    pub families: Vec<u8>,
    /// Which rows of `coverage.yaml` it is of.
    #[serde(default)]
    pub covers: Vec<String>,
    /// It takes long, and is played only where time is no matter.
    #[serde(default)]
    pub long: bool,
    /// Who says it.
    #[serde(default)]
    pub by: By,
    /// Who listens; one that accepts on 8080 and 8082 of `server` unless it is said otherwise.
    #[serde(default = "usual_servers")]
    pub servers: Vec<Listening>,
    /// Where a sidecar attests; the probe asks them all.
    #[serde(default)]
    pub peers: Vec<At>,
    /// Connections of the client that are there before anything is broken, and stay.
    #[serde(default)]
    pub held: Vec<String>,
    /// What is broken, in this order.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// Questions of others to the name server at `server`, each second, while the probe asks.
    #[serde(default, rename = "questionsPerSecond")]
    pub questions_per_second: u32,
    /// What is asked of the probe.
    #[serde(default)]
    pub probe: Probe,
    /// What the API server would tell, for `by: cluster`.
    #[serde(default)]
    pub cluster: Cluster,
    /// What must be said.
    pub expect: Expect,
    /// What happens after that was said, one after the other, for `by: cluster`.
    #[serde(default)]
    pub then: Vec<Step>,
}

/// Who says what is the matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// The one-shot probe alone.
    #[default]
    Probe,
    /// Hub, sidecars and judge, as the status of a check.
    Cluster,
}

/// A server of the case.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listening {
    /// Where.
    pub at: At,
    /// On which address of it; the unspecified one of both families unless it is said otherwise.
    #[serde(default)]
    pub address: Option<String>,
    /// On which port.
    pub port: u16,
    /// What it does with who comes.
    pub does: Does,
}

/// What a server does.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Does {
    /// The kernel completes handshakes; nobody reads.
    Accept,
    /// Closes each connection at once, with FIN.
    Close,
    /// Ends each connection at once, with RST.
    Reset,
    /// Its accept queue is full.
    Full,
    /// Answers each request with this status.
    Http(u16),
    /// Answers each request with a head of so many bytes.
    HeadOf(usize),
    /// The kernel completes handshakes with the smallest receive buffer; nobody reads.
    NeverReads,
    /// UDP: sends back what comes.
    Echo,
    /// UDP: takes what comes and says nothing.
    Mute,
    /// Reads once and ends the connection with RST.
    ReadThenReset,
    /// Says this line at once and closes the connection with FIN.
    Says(String),
    /// A name server.
    Dns(Dns),
}

/// How a name server answers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Dns {
    /// Names it knows, with their addresses of both families.
    pub names: BTreeMap<String, Vec<String>>,
    /// Over UDP.
    pub udp: Answers,
    /// Over TCP.
    pub tcp: Answers,
    /// To questions for AAAA over UDP, where that is different.
    pub aaaa: Option<Answers>,
    /// Names that get SERVFAIL.
    pub failing: BTreeSet<String>,
    /// To questions for names that it does not know, where that is different.
    pub others: Option<Answers>,
    /// Milliseconds before each answer.
    pub delay_ms: u64,
    /// Only the first question of each source port is answered, as where conntrack loses the second of a pair.
    pub first_only: bool,
}

/// What comes of a question.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum Answers {
    /// What the zone has, and NXDOMAIN for what it has not.
    #[default]
    Truly,
    /// Nothing.
    Never,
    /// REFUSED.
    Refused,
    /// SERVFAIL.
    ServerFailure,
    /// The truncation bit and no records.
    Truncated,
    /// Bytes that are no message, behind the right id.
    Garbage,
    /// The right answer under another id.
    WrongId,
    /// NOERROR without a record.
    Empty,
}

/// One thing that is broken.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Where.
    pub at: At,
    /// Rules of nftables.
    #[serde(default)]
    pub rules: Option<Rules>,
    /// Lines of `ip`; those that begin with `-6` are IPv6's.
    #[serde(default)]
    pub ip: Option<String>,
    /// What is below `/proc/sys/net`.
    #[serde(default)]
    pub sysctls: BTreeMap<String, String>,
}

/// A chain.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// `prerouting`, `input`, `forward`, `output` or `postrouting`.
    pub hook: String,
    /// `filter` or `nat`.
    #[serde(default = "filter")]
    pub kind: String,
    /// Where it comes between other chains of the hook; 0, or before Services for `nat`, unless it is said otherwise.
    #[serde(default)]
    pub priority: Option<i32>,
    /// The rules, a line each.
    pub text: String,
}

/// What is asked of the one-shot probe.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// The target.
    pub target: String,
    /// Pods that ask at the same time, each for itself; the client alone unless it is said otherwise.
    #[serde(default = "client")]
    pub from: Vec<At>,
    /// Further arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// What the policies say, as `docs/decision.md` has it; the probe gets it as `--decision`.
    #[serde(default)]
    pub decision: Option<Value>,
    /// The pod's resolv.conf.
    #[serde(default)]
    pub resolv_conf: String,
    /// What the pod's hosts file has beside the usual.
    #[serde(default)]
    pub hosts: String,
    /// Environment variables.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Whether the probe gets only a part of a hundredth of a core.
    #[serde(default)]
    pub starved: bool,
}

/// What must be said. A word, or a list of words of which each is right.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// `Reachable`, `Unreachable`, `Unknown`, and by a cluster `Denied`.
    pub result: Words,
    /// `AsExpected`, `Failed`, `Unknown`, by a cluster alone.
    #[serde(default)]
    pub outcome: Option<Words>,
    /// The name of the policy that decides, by a cluster alone.
    #[serde(default)]
    pub policy: Option<Words>,
    /// Codes that are not wrong while other traffic goes on, said of what is `Unreachable`.
    #[serde(default)]
    pub loaded: Vec<String>,
    /// Codes that may be claimed on the way there, by a cluster alone.
    #[serde(default)]
    pub meanwhile: Vec<String>,
    /// The code; `none` for what is reachable.
    pub reason: Words,
    /// The stage.
    pub stage: Words,
    /// The confidence.
    pub confidence: Words,
    /// Seconds in which it must be said.
    pub within: f64,
    /// JSON pointers into the answer, by a cluster the status of the check, and what is there.
    #[serde(default)]
    pub evidence: BTreeMap<String, Value>,
    /// Words that some line of the explanation has.
    #[serde(default)]
    pub because: Vec<String>,
}

/// One word, or any of some.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Words {
    /// This one.
    One(String),
    /// Any of these.
    Any(Vec<String>),
}

impl Words {
    /// Whether it is one of them.
    pub fn has(&self, word: &str) -> bool {
        match self {
            Self::One(one) => one == word,
            Self::Any(any) => any.iter().any(|one| one == word),
        }
    }

    /// All of them.
    pub fn all(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Any(any) => any,
        }
    }

    /// The one that is meant first.
    pub fn first(&self) -> &str {
        match self {
            Self::One(one) => one,
            Self::Any(any) => any.first().map_or("", String::as_str),
        }
    }
}

fn both_topologies() -> Vec<Topology> {
    vec![Topology::Bridge, Topology::Routed]
}

fn both_families() -> Vec<u8> {
    vec![4, 6]
}

fn client() -> Vec<At> {
    vec![At::Client]
}

fn filter() -> String {
    "filter".to_owned()
}

fn usual_servers() -> Vec<Listening> {
    let open = |port| Listening { at: At::Server, address: None, port, does: Does::Accept };
    vec![open(8080), open(8082)]
}

impl Case {
    /// Reads a file; unknown keys are errors.
    pub fn read(file: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        serde_saphyr::from_str(&text).with_context(|| format!("{} is no case", file.display()))
    }

    /// The case alone, without other traffic: nothing else is right then.
    #[must_use]
    pub fn alone(&self) -> Self {
        let mut case = self.clone();
        case.expect.loaded.clear();
        case
    }

    /// The cases below a folder with their names, in order.
    pub fn all(folder: &Path) -> Result<Vec<(String, Self)>> {
        let mut found = Vec::new();
        let mut folders = vec![folder.to_path_buf()];
        while let Some(below) = folders.pop() {
            let unreadable = || format!("cannot read {}", below.display());
            for entry in std::fs::read_dir(&below).with_context(unreadable)? {
                let path = entry.with_context(unreadable)?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "yaml") {
                    let name = path.strip_prefix(folder).unwrap_or(&path).with_extension("");
                    found.push((name.display().to_string(), Self::read(&path)?));
                }
            }
        }
        found.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(found)
    }
}

/// A case in one topology and one family.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The form of the network.
    pub topology: Topology,
    /// IPv6 rather than IPv4.
    pub v6: bool,
}

impl Setting {
    /// Fills in addresses: `{server}` and the like, `[{server}]` in URLs also for IPv4, and `{ip}` as nftables names
    /// the family.
    pub fn fill(self, text: &str) -> String {
        let mut text = text.replace("{ip}", if self.v6 { "ip6" } else { "ip" });
        text = text.replace("{family}", if self.v6 { "IPv6" } else { "IPv4" });
        let mut put = |name: &str, address: &str| {
            let bracketed = if self.v6 { format!("[{address}]") } else { address.to_owned() };
            text =
                text.replace(&format!("[{{{name}}}]"), &bracketed).replace(&format!("{{{name}}}"), address);
        };
        for (name, at) in
            [("client", At::Client), ("node", At::Node), ("server", At::Server), ("other", At::Other)]
        {
            put(name, &at.address(self.topology, self.v6));
        }
        let by_family = if self.v6 {
            [
                ("service", "fd00:96::10"),
                ("nobody", "fd00:244::99"),
                ("hubService", "fd00:96::99"),
                ("dnsService", "fd00:96::53"),
                ("hub", "fd80:9::2"),
                ("dns", "fd80:9::3"),
            ]
        } else {
            [
                ("service", "10.96.0.10"),
                ("nobody", "10.244.0.99"),
                ("hubService", "10.96.0.99"),
                ("dnsService", "10.96.0.53"),
                ("hub", "10.244.9.2"),
                ("dns", "10.244.9.3"),
            ]
        };
        for (name, address) in by_family {
            put(name, address);
        }
        text
    }

    /// Fills in every text of a value.
    pub fn fill_value(self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.fill(&text)),
            Value::Array(values) => values.into_iter().map(|value| self.fill_value(value)).collect(),
            Value::Object(fields) => {
                fields.into_iter().map(|(name, value)| (name, self.fill_value(value))).collect()
            }
            other => other,
        }
    }
}
