//! Fields of an object, and what is wrong with them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use peerwalk_model::Protocol;
use serde_json::Value;

/// How much of a value a reason repeats, in characters.
const REPEATED: usize = 60;

/// What was found wrong with an object: paths of fields, and reasons.
#[derive(Debug, Default)]
pub(crate) struct Wrong(pub Vec<(String, String)>);

impl Wrong {
    pub(crate) fn add(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        self.0.push((field.into(), reason.into()));
    }

    /// A text; none where it is not given.
    pub(crate) fn text<'v>(&mut self, value: &'v Value, at: impl Fn() -> String) -> Option<&'v str> {
        match value {
            Value::Null => None,
            Value::String(text) => Some(text),
            other => {
                self.add(at(), format!("{} is no text; write it in quotes", shown(other)));
                None
            }
        }
    }

    /// A truth; false where it is not given.
    pub(crate) fn truth(&mut self, value: &Value, at: impl Fn() -> String) -> bool {
        match value {
            Value::Null => false,
            Value::Bool(truth) => *truth,
            other => {
                self.add(at(), format!("{} is neither true nor false; write one of them", shown(other)));
                false
            }
        }
    }

    /// A list; empty where it is not given.
    pub(crate) fn list<'v>(&mut self, value: &'v Value, at: impl Fn() -> String) -> &'v [Value] {
        match value {
            Value::Null => &[],
            Value::Array(items) => items,
            other => {
                self.add(at(), format!("{} is no list; begin each item with a hyphen", shown(other)));
                &[]
            }
        }
    }

    /// Labels, or the selector of a Service; none where they are not given.
    pub(crate) fn labels(&mut self, value: &Value, at: impl Fn() -> String) -> BTreeMap<String, String> {
        let Value::Object(labels) = value else {
            if !value.is_null() {
                self.add(at(), format!("{} is no set of labels; write key: value", shown(value)));
            }
            return BTreeMap::new();
        };
        let mut found = BTreeMap::new();
        for (key, value) in labels {
            match value {
                // What is not given is empty, as the API server decodes it.
                Value::Null => found.insert(key.clone(), String::new()),
                Value::String(text) => found.insert(key.clone(), text.clone()),
                other => {
                    self.add(
                        format!("{}.{key}", at()),
                        format!("{} is no text; write it in quotes", shown(other)),
                    );
                    None
                }
            };
        }
        found
    }

    /// A port; none where it is not given, or is none.
    pub(crate) fn port(&mut self, value: &Value, at: impl Fn() -> String) -> Option<u16> {
        if value.is_null() {
            return None;
        }
        let port = value.as_u64().and_then(|number| u16::try_from(number).ok()).filter(|port| *port != 0);
        if port.is_none() {
            self.add(at(), format!("{} is not a port; use a number from 1 to 65535", shown(value)));
        }
        port
    }

    /// A protocol, TCP by default.
    pub(crate) fn protocol(&mut self, value: &Value, at: impl Fn() -> String) -> Option<Protocol> {
        match value.as_str() {
            Some("TCP") => Some(Protocol::Tcp),
            Some("UDP") => Some(Protocol::Udp),
            Some("SCTP") => Some(Protocol::Sctp),
            None if value.is_null() => Some(Protocol::Tcp),
            _ => {
                self.add(at(), format!("{} is not a protocol; use TCP, UDP or SCTP", shown(value)));
                None
            }
        }
    }

    /// An address; none where it is not given or empty.
    pub(crate) fn address(&mut self, value: &Value, at: impl Fn() -> String) -> Option<IpAddr> {
        let text = self.text(value, &at)?;
        if text.is_empty() {
            return None;
        }
        let address = text.parse().ok();
        if address.is_none() {
            self.add(
                at(),
                format!("{} is not an address; write it as 192.0.2.7 or 2001:db8::7", shown(value)),
            );
        }
        address
    }
}

/// The beginning of a value, as JSON.
pub(crate) fn shown(value: &Value) -> String {
    let what = match value {
        Value::Array(_) => return "a list".to_owned(),
        Value::Object(_) => return "a mapping".to_owned(),
        scalar => scalar.to_string(),
    };
    if what.chars().count() <= REPEATED {
        return what;
    }
    what.chars().take(REPEATED).chain(['…']).collect()
}
