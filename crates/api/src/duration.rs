//! Durations as users write them: `500ms`, `10s`, `1m30s`, `1h`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// The form of Gateway API's durations (GEP-2257): up to four numbers of up to five digits with a unit.
pub const PATTERN: &str = "^([0-9]{1,5}(h|m|s|ms)){1,4}$";

/// The longest text [`PATTERN`] admits, in bytes.
const MAX_LENGTH: usize = 28;

/// A duration that keeps the text it was written as.
///
/// In JSON it is that text; a text of another form is refused when decoding.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DurationString {
    text: String,
    value: Duration,
}

/// A text that is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no duration; write it like 500ms, 10s, 1m30s or 1h")]
pub struct ParseDurationError(pub String);

impl DurationString {
    /// The duration meant.
    pub const fn get(&self) -> Duration {
        self.value
    }

    /// The text as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl From<Duration> for DurationString {
    /// Writes it in the largest unit that divides it; what is below a millisecond is cut off.
    fn from(value: Duration) -> Self {
        let ms = value.as_millis();
        let (unit, size) = [("h", 3_600_000), ("m", 60_000), ("s", 1_000)]
            .into_iter()
            .find(|(_, size)| ms > 0 && ms.is_multiple_of(*size))
            .unwrap_or(("ms", 1));
        let value = Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX));
        Self { text: format!("{}{unit}", ms / size), value }
    }
}

impl FromStr for DurationString {
    type Err = ParseDurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let value = parse(text).ok_or_else(|| ParseDurationError(text.to_owned()))?;
        Ok(Self { text: text.to_owned(), value })
    }
}

/// Sums the parts; `None` where [`PATTERN`] would not match.
fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    for _ in 0..4 {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if !(1..=5).contains(&digits) {
            return None;
        }
        let (number, tail) = rest.split_at(digits);
        let number: u64 = number.parse().ok()?;
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        total += Duration::from_millis(match unit {
            "h" => number * 3_600_000,
            "m" => number * 60_000,
            "s" => number * 1_000,
            "ms" => number,
            _ => return None,
        });
        if tail.is_empty() {
            return Some(total);
        }
        rest = tail;
    }
    None
}

impl TryFrom<String> for DurationString {
    type Error = ParseDurationError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<DurationString> for String {
    fn from(duration: DurationString) -> Self {
        duration.text
    }
}

impl fmt::Display for DurationString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl JsonSchema for DurationString {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": PATTERN, "maxLength": MAX_LENGTH })
    }
}
