//! What two clusters differ in: which policies, and which pairs by them.

use std::collections::{BTreeMap, BTreeSet};

use peerwalk_manifests::{Cluster, WorkloadName};
use peerwalk_netpol::{AddressRange, PolicyRef, PortSet, Profile};
use serde::Serialize;

use crate::names;
use crate::pairs::{Open, Pairs, Peer, cuts, merged};

/// What became of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Became {
    /// It was not there before.
    Added,
    /// It is there no more.
    Removed,
    /// It is another.
    Changed,
    /// Of a policy of one side: it may stand in what could not be read of the other.
    Undecided,
}

/// On which side something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Side {
    /// Only before.
    Before,
    /// Only after.
    After,
    /// On both.
    Both,
}

/// A pair that is open on other ports than before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Who connects.
    pub from: Peer,
    /// Who is connected to.
    pub to: Peer,
    /// What became of the pair: of one that was closed, added; of one that is closed now, removed.
    pub became: Became,
    /// The ports before: those between all pods, and those between some.
    pub before: (PortSet, PortSet),
    /// The ports after, in the same way.
    pub after: (PortSet, PortSet),
    /// Whether one of the ends is there only before or only after.
    pub other_ends: bool,
    /// Whether a policy that could not be read may decide about it, before or after.
    pub undecided: bool,
}

impl Change {
    /// What is open between some pods and was not before.
    pub fn opened(&self) -> PortSet {
        self.after.1.difference(&self.before.1)
    }

    /// What was open between all pods and is not any more.
    pub fn closed(&self) -> PortSet {
        self.before.0.difference(&self.after.0)
    }
}

/// All differences.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Policies that are others than before, ordered.
    pub policies: Vec<(PolicyRef, Became)>,
    /// Pairs that are, ordered.
    pub pairs: Vec<Change>,
    /// Policies that could not be read, ordered, and where. Pairs that they may decide about are undecided.
    pub unreadable: Vec<(PolicyRef, Side)>,
    /// Those of the policies that are others than before and have rules by names of domains, before or after: which addresses
    /// outside those are about is not known, so changes to such addresses are undecided.
    pub by_names: BTreeSet<PolicyRef>,
}

impl Changes {
    /// Compares them.
    pub fn new(before: &Cluster, after: &Cluster, profile: Profile) -> Self {
        let old = Told::new(before, profile);
        let new = Told::new(after, profile);
        let mut pairs = inside(&old, &new);
        pairs.extend(outside(&old, &new));
        pairs.sort();
        let unreadable = unreadable(before, after);
        let policies = policies(before, after);
        let mut by_names: BTreeSet<PolicyRef> =
            [before, after].into_iter().flat_map(names::policies).cloned().collect();
        by_names.retain(|named| policies.iter().any(|(policy, _)| policy == named));
        for change in &mut pairs {
            change.undecided = (matches!(change.to, Peer::Outside(_)) && !by_names.is_empty())
                || unreadable.iter().any(|(policy, _)| may_decide(policy, change));
        }
        Self { policies, pairs, unreadable, by_names }
    }

    /// Whether there may be other differences than those, by what is not known.
    pub fn is_open(&self) -> bool {
        !self.unreadable.is_empty() || !self.by_names.is_empty()
    }

    /// The pairs that differ whatever the policies say that could not be read.
    pub fn certain(&self) -> impl Iterator<Item = &Change> {
        self.pairs.iter().filter(|change| !change.undecided)
    }

    /// The changed policies that a pair may have changed by.
    pub fn behind<'a>(&'a self, change: &'a Change) -> impl Iterator<Item = &'a (PolicyRef, Became)> {
        self.policies.iter().filter(move |(policy, _)| may_decide(policy, change))
    }
}

/// Whether a policy is of the cluster, or of the namespace of one of the ends.
fn may_decide(policy: &PolicyRef, change: &Change) -> bool {
    let is_of = |peer: &Peer| match peer {
        Peer::Workload(of) => of.namespace == *policy.namespace,
        Peer::Outside(_) => false,
    };
    policy.namespace.is_empty() || is_of(&change.from) || is_of(&change.to)
}

fn unreadable(before: &Cluster, after: &Cluster) -> Vec<(PolicyRef, Side)> {
    let mut found: BTreeMap<PolicyRef, Side> = BTreeMap::new();
    found.extend(before.unreadable.iter().cloned().map(|policy| (policy, Side::Before)));
    for policy in &after.unreadable {
        let both = |side: &mut Side| {
            if *side == Side::Before {
                *side = Side::Both;
            }
        };
        found.entry(policy.clone()).and_modify(both).or_insert(Side::After);
    }
    found.into_iter().collect()
}

/// The pairs of one side, by name.
struct Told {
    pairs: Pairs,
    names: BTreeMap<WorkloadName, usize>,
}

impl Told {
    fn new(cluster: &Cluster, profile: Profile) -> Self {
        let pairs = Pairs::new(cluster, profile);
        let names = pairs.names.iter().cloned().enumerate().map(|(place, name)| (name, place)).collect();
        Self { pairs, names }
    }

    fn sets(&self, open: Option<Open>) -> (PortSet, PortSet) {
        open.map_or_else(Default::default, |open| (self.pairs.ports(open), self.pairs.some(open)))
    }
}

fn inside(old: &Told, new: &Told) -> Vec<Change> {
    let rows = |told: &Told| -> BTreeMap<(WorkloadName, WorkloadName), Open> {
        let name = |place: usize| told.pairs.names.get(place).cloned();
        let all = told.pairs.inside();
        all.filter_map(|(from, to, open)| Some(((name(from)?, name(to)?), open))).collect()
    };
    let (before, after) = (rows(old), rows(new));
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let changes = keys.into_iter().filter_map(|key| {
        let (from, to) = key.clone();
        let is_both = |name: &WorkloadName| old.names.contains_key(name) && new.names.contains_key(name);
        let other_ends = !is_both(&from) || !is_both(&to);
        let sets = (old.sets(before.get(key).copied()), new.sets(after.get(key).copied()));
        change(Peer::Workload(from), Peer::Workload(to), sets, other_ends)
    });
    changes.collect()
}

fn change(
    from: Peer,
    to: Peer,
    (before, after): ((PortSet, PortSet), (PortSet, PortSet)),
    other_ends: bool,
) -> Option<Change> {
    if before == after {
        return None;
    }
    let became = match (before.1.is_empty(), after.1.is_empty()) {
        (true, _) => Became::Added,
        (_, true) => Became::Removed,
        _ => Became::Changed,
    };
    Some(Change { from, to, became, before, after, other_ends, undecided: false })
}

fn outside(old: &Told, new: &Told) -> Vec<Change> {
    let names: BTreeSet<&WorkloadName> = old.names.keys().chain(new.names.keys()).collect();
    let mut found = Vec::new();
    for name in names {
        let places = (old.names.get(name).copied(), new.names.get(name).copied());
        let other_ends = places.0.is_none() || places.1.is_none();
        for from_outside in [true, false] {
            let of = |told: &Told, place: Option<usize>| -> Vec<(AddressRange, Open)> {
                let all = if from_outside { &told.pairs.from_outside } else { &told.pairs.to_outside };
                place.and_then(|place| all.get(place)).cloned().unwrap_or_default()
            };
            let (before, after) = (of(old, places.0), of(new, places.1));
            for (range, (was, is)) in overlaid(&before, &after) {
                let (from, to) = if from_outside {
                    (Peer::Outside(range), Peer::Workload(name.clone()))
                } else {
                    (Peer::Workload(name.clone()), Peer::Outside(range))
                };
                found.extend(change(from, to, (old.sets(was), new.sets(is)), other_ends));
            }
        }
    }
    found
}

/// What was and is open to each part of the addresses.
type Overlaid = Vec<(AddressRange, (Option<Open>, Option<Open>))>;

fn overlaid(before: &[(AddressRange, Open)], after: &[(AddressRange, Open)]) -> Overlaid {
    let at = |ranges: &[(AddressRange, Open)], part: &AddressRange| {
        let held = ranges.iter().find(|(range, _)| range.first <= part.first && part.last <= range.last);
        held.map(|(_, open)| *open)
    };
    let mut found = Vec::new();
    for v4 in [true, false] {
        let ranges =
            before.iter().chain(after).map(|(range, _)| range).filter(|range| range.first.is_ipv4() == v4);
        found.extend(cuts(ranges).into_iter().map(|part| (part, (at(before, &part), at(after, &part)))));
    }
    merged(found)
}

fn policies(before: &Cluster, after: &Cluster) -> Vec<(PolicyRef, Became)> {
    let mut found = became(
        before.policies.iter().map(|policy| (&policy.reference, policy)),
        after.policies.iter().map(|policy| (&policy.reference, policy)),
    );
    found.extend(became(
        before.cluster_policies.iter().map(|policy| (&policy.reference, policy)),
        after.cluster_policies.iter().map(|policy| (&policy.reference, policy)),
    ));
    // What one of them says is not known, so neither is whether it is another one.
    let unknown: BTreeSet<&PolicyRef> = before.unreadable.iter().chain(&after.unreadable).collect();
    found.retain(|(policy, _)| !unknown.contains(policy));
    for (_, became) in &mut found {
        let lost = (*became == Became::Removed && after.unidentified)
            || (*became == Became::Added && before.unidentified);
        if lost {
            *became = Became::Undecided;
        }
    }
    found.sort();
    found
}

fn became<'a, T: PartialEq + 'a>(
    before: impl Iterator<Item = (&'a PolicyRef, &'a T)>,
    after: impl Iterator<Item = (&'a PolicyRef, &'a T)>,
) -> Vec<(PolicyRef, Became)> {
    let (before, after): (BTreeMap<_, _>, BTreeMap<_, _>) = (before.collect(), after.collect());
    let names: BTreeSet<&&PolicyRef> = before.keys().chain(after.keys()).collect();
    let said = names.into_iter().filter_map(|name| {
        let became = match (before.get(*name), after.get(*name)) {
            (None, Some(_)) => Became::Added,
            (Some(_), None) => Became::Removed,
            (Some(was), Some(is)) if was != is => Became::Changed,
            _ => return None,
        };
        Some(((*name).clone(), became))
    });
    said.collect()
}
