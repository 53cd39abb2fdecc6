//! Names of policies to add: what they say, so that one of other content never takes the place of another.

use std::collections::BTreeMap;

use peerwalk_netpol::{AdmittingPeer, AdmittingRule, Direction, Protocol};
use serde_json::{Value, json};

/// The longest name of an object that is a label as well.
const NAME: usize = 63;

/// Labels that name an application, and those that name a part of it.
const APPLICATION: [&str; 4] = ["app.kubernetes.io/name", "app", "k8s-app", "name"];
const PART: [&str; 3] = ["app.kubernetes.io/component", "component", "tier"];

/// `allow-postgres-from-shop.web-5432`: whose pods, whom, and where. What that does not tell of the policy, or what does
/// not fit, is told apart by a digest; a name that cannot be taken gets a number.
pub fn of(rule: &AdmittingRule, spec: &Value, mut take: impl FnMut(&str) -> bool) -> String {
    let way = match rule.direction {
        Direction::Ingress => "from",
        Direction::Egress => "to",
    };
    let peer = match &rule.peer {
        AdmittingPeer::IpBlock(cidr) => cidr.addr().to_string(),
        AdmittingPeer::Pods { namespace, labels } if labels.is_empty() => namespace.clone(),
        AdmittingPeer::Pods { namespace, labels } => format!("{namespace}.{}", application(labels)),
    };
    let protocol = match rule.protocol {
        Protocol::Tcp => String::new(),
        other => format!("-{other}").to_ascii_lowercase(),
    };
    let subject = if rule.subject.is_empty() { "all".to_owned() } else { application(&rule.subject) };
    let whole = format!("allow-{subject}-{way}-{peer}-{}{protocol}", rule.port);
    let name = fitting(&whole);
    let is_told = name == whole
        && name.len() <= NAME
        && ["-from-", "-to-"].map(|way| name.matches(way).count()).iter().sum::<usize>() == 1
        && tells(&subject, &spec["podSelector"])
        && match &rule.peer {
            AdmittingPeer::IpBlock(cidr) => cidr.addr().is_ipv4(),
            AdmittingPeer::Pods { labels, .. } => {
                labels.is_empty() || tells(&application(labels), &json!({"matchLabels": labels}))
            }
        };
    let name = if is_told { name } else { with(&name, &digest(&format!("{}{spec}", rule.namespace))) };
    let numbered = (2..).map(|number: usize| with(&name, &number.to_string()));
    std::iter::once(name.clone()).chain(numbered).find(|name| take(name)).unwrap_or(name)
}

/// How people call the pods with these labels.
fn application(labels: &BTreeMap<String, String>) -> String {
    let first =
        |keys: &[&str]| keys.iter().find_map(|key| labels.get(*key)).filter(|value| !value.is_empty());
    match (first(&APPLICATION), first(&PART)) {
        (Some(name), Some(part)) if name != part => format!("{name}-{part}"),
        (Some(one), _) | (None, Some(one)) => one.clone(),
        (None, None) => {
            labels.values().find(|value| !value.is_empty()).cloned().unwrap_or_else(|| "labelled".to_owned())
        }
    }
}

/// Whether a word says all of a selector: the label that most people use, and nothing beside it.
fn tells(word: &str, selector: &Value) -> bool {
    !word.contains('.') && *selector == json!({"matchLabels": {"app": word}})
}

/// What a name may hold: parts of letters, digits and dashes, with dots between them.
fn fitting(text: &str) -> String {
    let fitting = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c.to_ascii_lowercase() } else { '-' };
    let text: String = text.chars().map(fitting).collect();
    let parts = text.split('.').map(|part| part.trim_matches('-')).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(".")
}

/// A name that ends with something, cut where it is too long for it.
fn with(name: &str, end: &str) -> String {
    let kept: String = name.chars().take(NAME - 1 - end.len()).collect();
    format!("{}-{end}", kept.trim_end_matches(['-', '.']))
}

/// A short digest (FNV-1a): the same for the same text on every machine and in every version.
fn digest(text: &str) -> String {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    format!("{:08x}", (hash >> 32) ^ (hash & 0xffff_ffff))
}
