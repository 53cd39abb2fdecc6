//! A case as its file has it: what is broken, what is probed, and what must be said.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

use crate::lab::{At, Topology};

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
    /// Who listens; one that accepts on 8080 and 8082 of `server` unless it is said otherwise.
    #[serde(default = "usual_servers")]
    pub servers: Vec<Listening>,
    /// What is broken, in this order.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// What is asked.
    pub probe: Probe,
    /// What must be said.
    pub expect: Expect,
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
    /// Milliseconds before each answer.
    pub delay_ms: u64,
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
    /// The rules, a line each.
    pub text: String,
}

/// What is asked of the one-shot probe.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// The target.
    pub target: String,
    /// Further arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// The pod's resolv.conf.
    #[serde(default)]
    pub resolv_conf: String,
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
    /// `Reachable`, `Unreachable`, `Unknown`.
    pub result: Words,
    /// The code; `none` for what is reachable.
    pub reason: Words,
    /// The stage.
    pub stage: Words,
    /// The confidence.
    pub confidence: Words,
    /// Seconds in which it must be said.
    pub within: f64,
    /// JSON pointers into the answer, and what is there.
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
        let (service, nobody) =
            if self.v6 { ("fd00:96::10", "fd00:244::99") } else { ("10.96.0.10", "10.244.0.99") };
        put("service", service);
        put("nobody", nobody);
        text
    }
}
