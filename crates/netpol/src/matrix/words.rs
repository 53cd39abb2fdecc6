//! Labels as numbers, and who has them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::selector::{Operator, Selector};

/// Every text once.
#[derive(Clone, Debug, Default)]
pub(super) struct Words(HashMap<Arc<str>, u32>);

impl Words {
    pub fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.0.get(text) {
            return *number;
        }
        let number = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0.insert(text.into(), number);
        number
    }

    /// `None` for a text that nobody has.
    pub fn find(&self, text: &str) -> Option<u32> {
        self.0.get(text).copied()
    }

    /// Sorted by key.
    pub fn labels(&mut self, labels: &BTreeMap<String, String>) -> Box<[Label]> {
        let mut numbers: Vec<Label> =
            labels.iter().map(|(key, value)| (self.number(key), self.number(value))).collect();
        numbers.sort_unstable();
        numbers.into()
    }
}

/// Key and value.
pub(super) type Label = (u32, u32);

/// Things with labels, by their numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Labelled {
    labels: Vec<Box<[Label]>>,
    /// Who has a label, ascending.
    having: HashMap<Label, Vec<u32>>,
}

impl Labelled {
    /// The next thing.
    pub fn push(&mut self, labels: Box<[Label]>) -> u32 {
        let number = u32::try_from(self.labels.len()).unwrap_or(u32::MAX);
        for label in &labels {
            self.having.entry(*label).or_default().push(number);
        }
        self.labels.push(labels);
        number
    }

    /// Gives a thing other labels.
    pub fn replace(&mut self, number: u32, labels: Box<[Label]>) {
        let Some(place) = self.labels.get_mut(number as usize) else { return };
        for label in std::mem::replace(place, labels) {
            if let Some(having) = self.having.get_mut(&label) {
                having.retain(|other| *other != number);
            }
        }
        for label in &*self.labels[number as usize] {
            let having = self.having.entry(*label).or_default();
            having.insert(having.partition_point(|other| *other < number), number);
        }
    }

    pub fn of(&self, number: u32) -> &[Label] {
        self.labels.get(number as usize).map_or(&[], |labels| labels)
    }

    pub fn count(&self) -> u32 {
        u32::try_from(self.labels.len()).unwrap_or(u32::MAX)
    }

    pub fn matches(&self, number: u32, selector: &Query) -> bool {
        selector.matches(self.of(number))
    }

    /// Those that have a label which the selector demands, if it demands one: no more than these can match.
    pub fn candidates(&self, selector: &Query) -> Option<&[u32]> {
        let demanded = selector.0.iter().filter_map(|requirement| match requirement {
            Need::In { key, values } if values.len() <= 1 => Some(match values.first() {
                Some(value) => self.having.get(&(*key, *value)).map_or(&[][..], Vec::as_slice),
                None => &[],
            }),
            _ => None,
        });
        demanded.min_by_key(|having| having.len())
    }

    /// Those that match, ascending.
    pub fn select(&self, selector: &Query) -> Vec<u32> {
        match self.candidates(selector) {
            Some(few) => few.iter().copied().filter(|number| self.matches(*number, selector)).collect(),
            None => (0..self.count()).filter(|number| self.matches(*number, selector)).collect(),
        }
    }
}

/// A selector in numbers.
#[derive(Clone, Debug)]
pub(super) struct Query(Vec<Need>);

#[derive(Clone, Debug)]
enum Need {
    In { key: u32, values: Vec<u32> },
    NotIn { key: u32, values: Vec<u32> },
    Exists(u32),
    DoesNotExist(u32),
    Never,
}

impl Query {
    /// A text that is no word is on nobody's labels.
    pub fn new(selector: &Selector, words: &Words) -> Self {
        let needs = selector.requirements.iter().filter_map(|requirement| {
            let values = || requirement.values.iter().filter_map(|value| words.find(value)).collect();
            match (requirement.operator, words.find(&requirement.key)) {
                (Operator::In, Some(key)) => Some(Need::In { key, values: values() }),
                (Operator::NotIn, Some(key)) => Some(Need::NotIn { key, values: values() }),
                (Operator::Exists, Some(key)) => Some(Need::Exists(key)),
                (Operator::DoesNotExist, Some(key)) => Some(Need::DoesNotExist(key)),
                (Operator::In | Operator::Exists, None) => Some(Need::Never),
                (Operator::NotIn | Operator::DoesNotExist, None) => None,
            }
        });
        Self(needs.collect())
    }

    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    pub fn matches(&self, labels: &[Label]) -> bool {
        let value = |key: u32| {
            let place = labels.partition_point(|label| label.0 < key);
            labels.get(place).filter(|label| label.0 == key).map(|label| label.1)
        };
        self.0.iter().all(|need| match need {
            Need::In { key, values } => value(*key).is_some_and(|value| values.contains(&value)),
            Need::NotIn { key, values } => value(*key).is_none_or(|value| !values.contains(&value)),
            Need::Exists(key) => value(*key).is_some(),
            Need::DoesNotExist(key) => value(*key).is_none(),
            Need::Never => false,
        })
    }
}
