//! Pieces of schema that several types share: CEL rules with their messages.

use serde_json::{Value, json};

use crate::duration::PATTERN;

/// `x-kubernetes-validations` from pairs of rule and message.
pub(crate) fn rules(pairs: &[(&str, &str)]) -> Value {
    pairs.iter().map(|(rule, message)| json!({ "rule": rule, "message": message })).collect()
}

/// The rule that keeps a duration between two others, both included.
///
/// It holds the pattern as well, because the message of a schema pattern shows only the expression.
pub(crate) fn within(field: &str, least: &str, most: &str) -> Value {
    let rule = format!(
        "self.matches('{PATTERN}') && duration(self) >= duration('{least}') && duration(self) <= duration('{most}')"
    );
    let message =
        format!("{field} must be between {least} and {most}; write it like 500ms, 10s, 1m30s or 1h");
    rules(&[(&rule, &message)])
}

/// The rule that a field is a DNS name and no address.
pub(crate) fn dns_name(field: &str) -> Value {
    let name = "self.matches('^([A-Za-z0-9_]([-A-Za-z0-9_]{0,61}[A-Za-z0-9_])?[.])*\
                [A-Za-z0-9_]([-A-Za-z0-9_]{0,61}[A-Za-z0-9_])?[.]?$')";
    let syntax = format!(
        "{field} must be a DNS name: labels of up to 63 letters, digits, '-' and '_', joined by dots; \
         correct the spelling"
    );
    let address = format!("{field} must be a name, not an IP address: remove it, or use url for an address");
    rules(&[(name, &syntax), ("!isIP(self)", &address)])
}
