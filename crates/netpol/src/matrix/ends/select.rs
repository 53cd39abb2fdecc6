//! Which classes selectors select, and where they stand.

use super::Ends;
use crate::matrix::words::Query;
use crate::span::{self, Span};

impl Ends {
    /// The classes of a namespace that a selector selects, ascending.
    pub fn select_in(&self, namespace: u32, selector: &Query) -> Vec<u32> {
        let all = self.namespaces.get(namespace as usize).map_or(&[][..], |of| &of.classes);
        if selector.is_everything() {
            return all.to_vec();
        }
        let chosen = |class: &u32| self.class_labels.matches(*class, selector);
        match self.class_labels.candidates(selector) {
            Some(few) if few.len() < all.len() => few
                .iter()
                .copied()
                .filter(|class| self.classes[*class as usize].namespace == namespace && chosen(class))
                .collect(),
            _ => all.iter().copied().filter(chosen).collect(),
        }
    }

    /// Every class of these namespaces that a selector selects.
    pub fn select_among(&self, namespaces: &[u32], selector: &Query) -> Vec<u32> {
        match self.class_labels.candidates(selector) {
            Some(few) if few.len() < namespaces.len() => few
                .iter()
                .copied()
                .filter(|class| {
                    namespaces.binary_search(&self.classes[*class as usize].namespace).is_ok()
                        && self.class_labels.matches(*class, selector)
                })
                .collect(),
            _ => namespaces.iter().flat_map(|namespace| self.select_in(*namespace, selector)).collect(),
        }
    }

    /// Where these classes stand.
    pub fn spans(&self, classes: impl IntoIterator<Item = u32>) -> Vec<Span<u32>> {
        let of = |class: u32| self.classes.get(class as usize).map_or(&[][..], |class| &class.spans);
        span::normal(classes.into_iter().flat_map(|class| of(class).iter().copied()).collect())
    }
}
