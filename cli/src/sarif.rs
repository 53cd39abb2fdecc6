//! SARIF 2.1.0, the form that code scanning takes.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// A sort of results.
pub struct Rule {
    /// Its name.
    pub id: &'static str,
    /// What it means, in a sentence.
    pub meaning: &'static str,
}

/// One result.
pub struct Found {
    /// The name of its rule.
    pub rule: &'static str,
    /// `error`, `warning` or `note`.
    pub level: &'static str,
    /// What was found, and what to do about it.
    pub message: String,
    /// The object, as `NetworkPolicy shop/web`.
    pub object: String,
    /// The file, with `:` and the line where there are several objects in it.
    pub source: String,
}

/// A log of one run.
pub fn log(rules: &[Rule], results: &[Found]) -> Value {
    let rules: Vec<Value> =
        rules.iter().map(|rule| json!({"id": rule.id, "shortDescription": {"text": rule.meaning}})).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "peerwalk", "version": env!("CARGO_PKG_VERSION"), "rules": rules}},
            "results": results.iter().map(result).collect::<Vec<_>>(),
        }],
    })
}

fn result(found: &Found) -> Value {
    let (file, line) = match found.source.rsplit_once(':') {
        Some((file, line)) => line.parse::<u64>().map_or((found.source.as_str(), 1), |line| (file, line)),
        None => (found.source.as_str(), 1),
    };
    json!({
        "ruleId": found.rule,
        "level": found.level,
        "message": {"text": found.message},
        "locations": [{
            "physicalLocation": {
                "artifactLocation": {"uri": uri(file)},
                "region": {"startLine": line.max(1)},
            },
            "logicalLocations": [{"fullyQualifiedName": found.object, "kind": "resource"}],
        }],
    })
}

/// A path as a relative reference: what is not plain is escaped.
fn uri(path: &str) -> String {
    let path = path.strip_prefix("./").unwrap_or(path);
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' => {
                uri.push(char::from(byte));
            }
            b'\\' => uri.push('/'),
            other => drop(write!(uri, "%{other:02X}")),
        }
    }
    uri
}
