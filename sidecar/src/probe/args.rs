//! The arguments of `probe`.

use std::ffi::OsStr;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Args, Command, ValueEnum};
use peerwalk_diagnosis::Known;
use peerwalk_model::verdict::Expectation;
use peerwalk_probe::Family;

use super::{Target, decision};

const EXAMPLES: &str = "\
Examples:
  peerwalk-sidecar probe tcp://postgres.ledger.svc:5432
  peerwalk-sidecar probe http://catalog.shop.svc/healthz dns:kubernetes.default.svc
  peerwalk-sidecar probe udp://10.244.1.9:9000?send=70696e67
  peerwalk-sidecar probe tcp://10.244.1.8:5432 --control 10.244.1.8:8080 --output json
  peerwalk-sidecar probe tcp://10.244.1.8:5432 --expect denied --decision decision.json

Exit codes: 0 everything as expected, 1 something is not, 2 wrong usage, 3 something is unknown.
The worst wins, in the order 2, 1, 3, 0. Without --decision a probe knows no policy: with --expect denied, a
target that does not answer is unknown.";

/// Walk targets once and say what was found.
///
/// Names are resolved as the C library would, by /etc/hosts and /etc/resolv.conf; each address is dialled
/// with new sockets. A target that stays silent is diagnosed with more source ports, for up to 3.5 seconds
/// whatever the timeout. Where proxy variables are set, http(s) targets are tried both ways.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ProbeArgs {
    /// tcp://HOST:PORT, udp://HOST:PORT[?send=HEX], http://HOST[:PORT]/PATH, https://HOST[:PORT]/PATH or dns:NAME.
    ///
    /// A UDP target is sent one datagram, of the bytes that are given (at most 512) or empty; any answer will do.
    #[arg(value_name = "TARGET", required = true, value_parser = TargetParser)]
    pub targets: Vec<Target>,
    /// Lines to read, or one JSON object a target and line (docs/probe-output.md).
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
    /// Time for all attempts of one target, such as 500ms or 3s.
    #[arg(long, value_name = "D", default_value = "3s", value_parser = duration)]
    pub timeout: Duration,
    /// Only IPv4 or only IPv6; both otherwise.
    #[arg(long, value_enum)]
    pub family: Option<FamilyArg>,
    /// An address that answers when the way to the targets is whole; dialled when a target is silent. Another
    /// port of the target's own host proves most.
    #[arg(long, value_name = "HOST:PORT")]
    pub control: Vec<ControlName>,
    /// The socket of a `peerwalk-sidecar attest` in a network namespace that dials may lead to; it is asked what it
    /// holds of them. May be given several times.
    #[arg(long, value_name = "PATH")]
    pub peer: Vec<PathBuf>,
    /// What the policies say, as the operator gives it at /explain/NAMESPACE/CHECK?output=json; - reads it from the
    /// standard input (docs/decision.md).
    #[arg(long, value_name = "FILE", value_parser = decision::parse)]
    pub decision: Option<Arc<Known>>,
    /// What is expected of the targets.
    #[arg(long, value_enum, default_value = "reachable")]
    pub expect: Expect,
}

/// The form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FamilyArg {
    /// IPv4.
    #[value(name = "4")]
    V4,
    /// IPv6.
    #[value(name = "6")]
    V6,
}

/// What is expected of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Expect {
    /// Every stage passes.
    Reachable,
    /// A policy denies it.
    Denied,
}

impl ProbeArgs {
    /// An address whose family `--family` excludes: it would be dialled all the same, as no name is resolved.
    pub(super) fn conflict(&self) -> Option<String> {
        let family = self.family?.family();
        let word = if family == Family::V4 { "4" } else { "6" };
        let targets = self.targets.iter().map(|target| (target.address(), format!("target {target}")));
        let controls = self.control.iter().map(|c| (c.host.parse().ok(), format!("--control {c}")));
        // An IPv4-mapped address is spoken to over IPv4.
        let other = |ip: IpAddr| Family::of(ip.to_canonical()) != family;
        let (_, what) = targets.chain(controls).find(|(ip, _)| ip.is_some_and(other))?;
        Some(format!(
            "{what} is no address of --family {word}; write a name or an IPv{word} address, or leave --family out"
        ))
    }
}

impl Expect {
    /// The word of the model.
    pub fn expectation(self) -> Expectation {
        match self {
            Self::Reachable => Expectation::Reachable,
            Self::Denied => Expectation::Denied,
        }
    }
}

/// Reads targets. Clap's own parsers repeat the value in their errors, and it may hold a credential.
#[derive(Clone, Debug)]
struct TargetParser;

impl TypedValueParser for TargetParser {
    type Value = Target;

    fn parse_ref(&self, command: &Command, _: Option<&Arg>, value: &OsStr) -> Result<Target, clap::Error> {
        let parsed = value.to_str().ok_or_else(|| "a target is no text; write tcp://host:port".to_owned());
        parsed.and_then(str::parse).map_err(|error| command.clone().error(ErrorKind::ValueValidation, error))
    }
}

/// A control as it is given: a name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlName {
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl FromStr for ControlName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no HOST:PORT; write name:port, 10.0.0.1:80 or [fd00::1]:80");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = bracketed.unwrap_or(host);
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
        if host.is_empty() || (bracketed.is_none() && host.contains(':')) {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for ControlName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// `500ms`, `3s` or `1m`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        _ => 0,
    };
    let ms = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    match ms {
        Some(ms) if (1..=600_000).contains(&ms) => Ok(Duration::from_millis(ms)),
        _ => Err(format!("{text:?} is no time from 1ms to 10m; write 500ms, 3s or 1m")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("3s"), Ok(Duration::from_secs(3)));
        assert_eq!(duration("1m"), Ok(Duration::from_mins(1)));
        for wrong in ["", "3", "s", "-1s", "0s", "11m", "3h", "99999999999999999999s"] {
            assert!(duration(wrong).is_err(), "{wrong:?} is refused");
        }
    }

    #[test]
    fn controls_have_a_host_and_a_port() {
        for (text, host) in [("ping:80", "ping"), ("10.0.0.1:80", "10.0.0.1"), ("[fd00::1]:80", "fd00::1")] {
            let control: ControlName = text.parse().unwrap();
            assert_eq!((control.host.as_str(), control.port), (host, 80), "{text}");
            assert_eq!(control.to_string(), text);
        }
        for wrong in ["ping", ":80", "ping:0", "ping:x", "fd00::1:80", "[]:80"] {
            assert!(wrong.parse::<ControlName>().is_err(), "{wrong:?} is refused");
        }
    }
}
