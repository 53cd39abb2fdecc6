//! Every set of ports once.

use std::collections::HashMap;
use std::sync::Arc;

use crate::port_set::PortSet;

/// A set of ports of a [`Matrix`](super::Matrix); equal numbers of one matrix are equal sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortsId(pub(super) u32);

/// No port.
pub(super) const NONE: PortsId = PortsId(0);
/// Every port.
pub(super) const ALL: PortsId = PortsId(1);

#[derive(Clone, Debug)]
pub(super) struct Table {
    sets: Vec<Arc<PortSet>>,
    ids: HashMap<Arc<PortSet>, PortsId>,
}

impl Default for Table {
    fn default() -> Self {
        let mut table = Self { sets: Vec::new(), ids: HashMap::new() };
        table.id(PortSet::none());
        table.id(PortSet::all());
        table
    }
}

impl Table {
    pub fn id(&mut self, set: PortSet) -> PortsId {
        if let Some(known) = self.ids.get(&set) {
            return *known;
        }
        let id = PortsId(u32::try_from(self.sets.len()).unwrap_or(u32::MAX));
        let set = Arc::new(set);
        self.sets.push(Arc::clone(&set));
        self.ids.insert(set, id);
        id
    }

    pub fn set(&self, id: PortsId) -> &PortSet {
        let all = &self.sets[ALL.0 as usize];
        self.sets.get(id.0 as usize).unwrap_or(all)
    }

    /// For each number of another table, the one of the same set in this one.
    pub fn translation(&self, other: &Self) -> Vec<Option<PortsId>> {
        other.sets.iter().map(|set| self.ids.get(set).copied()).collect()
    }

    /// What is in both sets.
    pub fn both(&self, one: PortsId, other: PortsId) -> PortSet {
        match (one, other) {
            (NONE, _) | (_, NONE) => PortSet::none(),
            (ALL, id) | (id, ALL) => self.set(id).clone(),
            (one, other) if one == other => self.set(one).clone(),
            (one, other) => self.set(one).intersection(self.set(other)),
        }
    }
}
