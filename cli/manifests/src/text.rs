//! From a text to the values in it, within limits.

use serde::de::DeserializeSeed as _;
use serde_json::Value;
use serde_saphyr::Options;

use crate::head::may_be_policy;
use crate::prune::Pruned;
use crate::reader::Limits;

/// A document of a text: its value, or why there is none.
pub(crate) struct Document {
    /// The line that it begins in, from 1; 0 where it is the only one.
    pub line: usize,
    /// What it says.
    pub value: Result<Value, Unread>,
}

/// A document that cannot be read.
pub(crate) struct Unread {
    /// Why.
    pub reason: String,
    /// Whether it may hold a policy, for all that can be seen of it.
    pub may_be_policy: bool,
}

/// The documents of a text, in order. A part that cannot be read does not keep the others from it.
pub(crate) fn documents(text: &[u8], limits: Limits) -> Vec<Document> {
    if text.len() > limits.text {
        let reason = format!(
            "{} bytes are more than the {} that are read at once; give it in parts",
            text.len(),
            limits.text
        );
        return vec![Document { line: 0, value: Err(Unread { reason, may_be_policy: true }) }];
    }
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let parts = parts(text);
    let several = parts.len() > 1;
    let mut found = Vec::new();
    for (line, part) in parts {
        let place = if several { line } else { 0 };
        match values(part, line, limits) {
            Ok(values) => {
                found.extend(values.into_iter().map(|value| Document { line: place, value: Ok(value) }));
            }
            Err(reason) => {
                let may_be_policy = may_be_policy(part);
                found.push(Document { line: place, value: Err(Unread { reason, may_be_policy }) });
            }
        }
    }
    found
}

/// What stands between lines of `---`, with the number of its first line. Such a line ends a document wherever it stands,
/// also within what is quoted (YAML 1.2.2, 9.1.2), and no value of JSON can have one.
fn parts(text: &[u8]) -> Vec<(usize, &[u8])> {
    let mut found = Vec::new();
    let (mut start, mut first, mut position) = (0, 1, 0);
    for (number, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let marks =
            line.strip_prefix(b"---").is_some_and(|rest| rest.first().is_none_or(u8::is_ascii_whitespace));
        if marks && position > start {
            found.push((first, &text[start..position]));
            start = position;
            first = number + 1;
        }
        position += line.len();
    }
    found.push((first, &text[start..]));
    found.retain(|(_, part)| says_something(part));
    found
}

/// Whether there is more in it than space, comments, directives and markers.
fn says_something(part: &[u8]) -> bool {
    part.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).any(|line| {
        let bare = line.strip_prefix(b"---").map_or(line, <[u8]>::trim_ascii_start);
        !(bare.is_empty() || bare.starts_with(b"#") || bare.starts_with(b"%") || bare == b"...")
    })
}

fn values(part: &[u8], line: usize, limits: Limits) -> Result<Vec<Value>, String> {
    let text = std::str::from_utf8(part).map_err(|error| {
        let before = part.get(..error.valid_up_to()).unwrap_or_default();
        let line = line + before.split(|byte| *byte == b'\n').count().saturating_sub(1);
        format!("line {line} is not UTF-8; write the file in UTF-8")
    })?;
    let body = text.strip_prefix("---").unwrap_or(text).trim_start();
    if !body.starts_with(['{', '[']) {
        return yaml(text, line, limits).map(|value| vec![value]);
    }
    // Flow style looks like JSON at first.
    json(body, limits).or_else(|error| match yaml(text, line, limits) {
        Ok(value) => Ok(vec![value]),
        Err(_) => Err(error),
    })
}

/// Any number of values, one after another.
fn json(text: &str, limits: Limits) -> Result<Vec<Value>, String> {
    let mut found = Vec::new();
    let mut reader = serde_json::Deserializer::from_str(text);
    loop {
        if reader.end().is_ok() {
            return Ok(found);
        }
        let value = Pruned::new(limits.depth).deserialize(&mut reader);
        found.push(value.map_err(|error| format!("no JSON: {error}"))?);
    }
}

fn yaml(text: &str, line: usize, limits: Limits) -> Result<Value, String> {
    let read = serde_saphyr::with_deserializer_from_str_with_options(text, options(text, limits), |reader| {
        Pruned::new(limits.depth).deserialize(reader)
    });
    read.map_err(|error| {
        let place = error.location().map_or(0, |place| usize::try_from(place.line()).unwrap_or(0));
        let line = line + place.saturating_sub(1);
        // Its own place counts from the document, and its advice is for programs.
        let said = error.without_snippet().to_string();
        let said = said.split(" at line ").next().unwrap_or_default();
        let said = said.split(", set DuplicateKeyPolicy").next().unwrap_or_default();
        format!("no YAML, in line {line}: {said}; correct it")
    })
}

/// Every node takes a byte at least, so a text bounds its own; what aliases repeat is bounded apart.
fn options(text: &str, limits: Limits) -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: limits.depth,
            flow_nesting_limit: limits.depth,
            max_events: text.len().saturating_mul(2).saturating_add(16),
            max_nodes: text.len().saturating_add(16),
            max_total_scalar_bytes: limits.text,
            max_documents: 1,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 200_000,
            max_replay_stack_depth: 16,
        },
        with_snippet: false,
    }
}
