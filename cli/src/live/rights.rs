//! Rights that are missing: which, what follows, and how to get them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fmt::Write as _;

use super::kind::Kind;
use crate::print::clean;

/// Something that may not be listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The kind, such as `Pod`.
    pub kind: String,
    /// In the plural, as roles have it; empty where no role helps.
    pub resource: String,
    /// Its API group; empty for the core.
    pub group: String,
    /// Whether its objects have namespaces.
    pub namespaced: bool,
    /// The one namespace that was read all the same.
    pub only: Option<String>,
    /// What follows.
    pub without: String,
    /// What the server says.
    pub said: String,
}

impl Missing {
    pub(super) fn of(kind: &Kind, only: Option<&str>, said: &str) -> Self {
        Self {
            kind: kind.kind.to_owned(),
            resource: kind.resource.to_owned(),
            group: kind.group.to_owned(),
            namespaced: kind.namespaced,
            only: only.map(str::to_owned),
            without: kind.without.to_owned(),
            said: said.to_owned(),
        }
    }

    /// Policies that nothing here reads, of which it is not known whether there are any.
    pub(super) fn of_foreign(resource: &str, group: &str, kind: &str, said: &str) -> Self {
        Self {
            kind: format!("{kind}.{group}"),
            resource: resource.to_owned(),
            group: group.to_owned(),
            namespaced: false,
            only: None,
            without:
                "whether there are such policies is not known: every answer that one could turn is undecided"
                    .to_owned(),
            said: said.to_owned(),
        }
    }

    /// What the cluster serves is not known.
    pub(super) fn of_discovery(said: &str) -> Self {
        Self {
            kind: DISCOVERY.to_owned(),
            resource: String::new(),
            group: String::new(),
            namespaced: false,
            only: None,
            without: "which kinds of policies the cluster serves is not known: every answer that one could turn is \
                      undecided"
                .to_owned(),
            said: said.to_owned(),
        }
    }

    fn resource_name(&self) -> String {
        if self.group.is_empty() {
            self.resource.clone()
        } else {
            format!("{}.{}", self.resource, self.group)
        }
    }
}

/// Stands for the list of what is served.
pub(super) const DISCOVERY: &str = "discovery";

impl fmt::Display for Missing {
    /// `pods cannot be listed in all namespaces, only in shop: other pods are not known, and nothing is said of them`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.resource.is_empty() {
            return write!(f, "the API server does not say what it serves ({}): {}", self.said, self.without);
        }
        let place = if self.namespaced { " in all namespaces" } else { "" };
        write!(f, "{} cannot be listed{place}", self.resource_name())?;
        if let Some(only) = &self.only {
            write!(f, ", only in {only}")?;
        }
        write!(f, ": {}", self.without)
    }
}

/// What is missing, what follows and how to get it, a line each; empty where nothing is.
pub fn told(missing: &[Missing]) -> String {
    let mut text = String::new();
    for missing in missing {
        let _ = writeln!(text, "warning: {}", clean(&missing.to_string()));
    }
    text + &remedy(missing)
}

/// How to get the rights: the questions to `kubectl`, and a role to ask for. Empty where none is missing.
pub fn remedy(missing: &[Missing]) -> String {
    let wanted: Vec<&Missing> = missing.iter().filter(|missing| !missing.resource.is_empty()).collect();
    let mut text = String::new();
    if wanted.is_empty() {
        return text;
    }
    text.push_str("You may ask what you may:\n");
    for missing in &wanted {
        let place = if missing.namespaced { " --all-namespaces" } else { "" };
        let _ = writeln!(text, "  kubectl auth can-i list {}{place}", missing.resource_name());
    }
    let mut groups: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for missing in &wanted {
        groups.entry(&missing.group).or_default().insert(&missing.resource);
    }
    text.push_str(
        "A role that has what is missing, to be bound by a ClusterRoleBinding:\n\
         apiVersion: rbac.authorization.k8s.io/v1\n\
         kind: ClusterRole\n\
         metadata:\n  name: peerwalk-reader\n\
         rules:\n",
    );
    for (group, resources) in groups {
        let resources: Vec<String> = resources.into_iter().map(|resource| format!("{resource:?}")).collect();
        let _ = writeln!(
            text,
            "- apiGroups: [{group:?}]\n  resources: [{}]\n  verbs: [list]",
            resources.join(", ")
        );
    }
    text
}
