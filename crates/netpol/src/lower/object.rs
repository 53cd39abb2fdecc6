//! Objects of the kinds that no library has, read field by field, so that every error has its path.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::{Errors, Problem};

/// An object at its path. A field that is null is absent.
pub(super) struct Object<'a> {
    path: String,
    fields: &'a Map<String, Value>,
}

impl<'a> Object<'a> {
    pub fn new(errors: &mut Errors, path: impl Into<String>, value: &'a Value) -> Option<Self> {
        let path = path.into();
        match value {
            Value::Object(fields) => Some(Self { path, fields }),
            other => {
                errors.add(path, Problem::Type { given: type_of(other), wanted: "an object" });
                None
            }
        }
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    /// The path of a field.
    pub fn at(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    pub fn get(&self, name: &str) -> Option<&'a Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The names of the fields that are set.
    pub fn names(&self) -> Vec<&'a str> {
        let set = self.fields.iter().filter(|(_, value)| !value.is_null());
        set.map(|(name, _)| name.as_str()).collect()
    }

    /// The names of the fields that are set and not among these.
    pub fn unknown(&self, known: &[&str]) -> Vec<&'a str> {
        self.names().into_iter().filter(|name| !known.contains(name)).collect()
    }

    /// Refuses every field that is not among these, whatever it is set to.
    pub fn only(&self, errors: &mut Errors, known: &[&str]) {
        for name in self.fields.keys().filter(|name| !known.contains(&name.as_str())) {
            errors.add(self.at(name), Problem::UnknownField);
        }
    }

    pub fn required(&self, errors: &mut Errors, name: &str, remedy: &'static str) -> Option<&'a Value> {
        let value = self.get(name);
        if value.is_none() {
            errors.add(self.at(name), Problem::Missing(remedy));
        }
        value
    }

    pub fn object(&self, errors: &mut Errors, name: &str) -> Option<Self> {
        Self::new(errors, self.at(name), self.get(name)?)
    }

    pub fn text(&self, errors: &mut Errors, name: &str) -> Option<&'a str> {
        text(errors, &self.at(name), self.get(name)?)
    }

    /// A number within a range.
    pub fn number(&self, errors: &mut Errors, name: &str, range: RangeInclusive<u16>) -> Option<u16> {
        let value = self.get(name)?;
        let Value::Number(given) = value else {
            errors.add(self.at(name), Problem::Type { given: type_of(value), wanted: "a number" });
            return None;
        };
        let number = given.as_u64().and_then(|number| u16::try_from(number).ok());
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let (low, high) = range.into_inner();
            errors.add(self.at(name), Problem::Range { given: given.to_string(), low, high });
        }
        number
    }

    /// The items of a list, each with its path; none where it is absent, and of one that is too long the first.
    pub fn list(&self, errors: &mut Errors, name: &str, most: usize) -> Vec<(String, &'a Value)> {
        let path = self.at(name);
        let items = match self.get(name) {
            None => return Vec::new(),
            Some(Value::Array(items)) => items,
            Some(other) => {
                errors.add(path, Problem::Type { given: type_of(other), wanted: "a list" });
                return Vec::new();
            }
        };
        if items.len() > most {
            errors.add(path.as_str(), Problem::TooMany { given: items.len(), most });
        }
        let kept = items.iter().take(most).enumerate();
        kept.map(|(index, item)| (format!("{path}[{index}]"), item)).collect()
    }

    /// The same, of a list that must have an item.
    pub fn filled(
        &self,
        errors: &mut Errors,
        name: &str,
        most: usize,
        or: &'static str,
    ) -> Vec<(String, &'a Value)> {
        if matches!(self.get(name), Some(Value::Array(items)) if items.is_empty()) {
            errors.add(self.at(name), Problem::Empty(or));
        }
        self.list(errors, name, most)
    }

    /// A list of different texts, each with its path.
    pub fn texts(&self, errors: &mut Errors, name: &str, most: usize) -> Vec<(String, &'a str)> {
        let mut found: Vec<(String, &str)> = Vec::new();
        for (path, item) in self.filled(errors, name, most, "") {
            let Some(text) = text(errors, &path, item) else { continue };
            if found.iter().any(|(_, other)| *other == text) {
                errors.add(path, Problem::Twice(text.to_owned()));
            } else {
                found.push((path, text));
            }
        }
        found
    }
}

pub(super) fn text<'a>(errors: &mut Errors, path: &str, value: &'a Value) -> Option<&'a str> {
    let text = value.as_str();
    if text.is_none() {
        errors.add(path, Problem::Type { given: type_of(value), wanted: "a text" });
    }
    text
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
