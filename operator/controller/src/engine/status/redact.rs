//! What a tenant's status leaves out of other namespaces, where the operator's configuration says so: their policies and
//! what these say, those of the cluster too, names of their pods, and of nodes. The explanation, which only the operator's own people can
//! read, stays whole.

use std::borrow::Cow;
use std::collections::BTreeSet;

use peerwalk_api::ConnectivityCheck;
use peerwalk_model::verdict::Topic;
use peerwalk_model::{Because, Verdict};

use crate::cluster::index::Index;
use crate::settings::Details;

/// What may be told of one check's pairs.
pub(in crate::engine) struct Discretion<'a> {
    details: Details,
    own: &'a str,
    /// Services that the check names itself, as `namespace/name`.
    targets: BTreeSet<String>,
    index: &'a Index,
}

impl<'a> Discretion<'a> {
    /// For a check of the namespace `own`.
    pub(in crate::engine) fn new(
        details: Details,
        own: &'a str,
        check: &ConnectivityCheck,
        index: &'a Index,
    ) -> Self {
        let services = check.spec.targets.iter().filter_map(|target| target.service.as_ref());
        let name = |service: &peerwalk_api::target::ServiceTarget| {
            format!("{}/{}", service.namespace.as_deref().unwrap_or(own), service.name)
        };
        Self { details, own, targets: services.map(name).collect(), index }
    }

    /// The verdict as the status may show it.
    pub(in crate::engine) fn shown<'v>(&self, verdict: &'v Verdict) -> Cow<'v, Verdict> {
        if self.details == Details::Full {
            return Cow::Borrowed(verdict);
        }
        let mut of: BTreeSet<String> = BTreeSet::new();
        let mut told: Vec<Because> = Vec::new();
        for because in &verdict.because {
            let (text, policies_of) = self.masked(&because.text);
            // What is said of their policies is what they say.
            if policies_of.is_empty() {
                told.push(Because { text, ..because.clone() });
            }
            of.extend(policies_of);
        }
        let policy = verdict.policy.as_ref().filter(|policy| policy.namespace != self.own);
        let text = match policy {
            Some(policy) => {
                Some(format!("an {} policy of {} decides it", policy.direction, whose(&policy.namespace)))
            }
            None if of.is_empty() => None,
            None => {
                let of: Vec<String> = of.iter().map(|namespace| whose(namespace)).collect();
                Some(format!("policies of {} decide it", of.join(", ")))
            }
        };
        let text = text.map(|text| format!("{text}; names are shown to who may read there"));
        told.splice(0..0, text.map(|text| Because::new(Topic::Policy, text)));
        let policy = verdict.policy.clone().filter(|policy| policy.namespace == self.own);
        Cow::Owned(Verdict { policy, because: told, ..verdict.clone() })
    }

    /// A text without the names of others, and the namespaces whose policies it names; an empty one for those of the
    /// cluster.
    fn masked(&self, text: &str) -> (String, BTreeSet<String>) {
        let (mut masked, mut of, mut rest) = (String::new(), BTreeSet::new(), text);
        while let Some(begin) = rest.find(in_name) {
            let length = rest[begin..].find(|c| !in_name(c)).unwrap_or(rest.len() - begin);
            let word = &rest[begin..begin + length];
            let name = word.trim_end_matches(['.', '/']);
            masked.push_str(&rest[..begin]);
            let policy = masked.ends_with("Policy ");
            if OF_CLUSTER.iter().any(|kind| masked.ends_with(kind)) {
                of.insert(String::new());
            }
            match self.hidden(name) {
                Some(instead) => {
                    masked.push_str(&instead);
                    masked.push_str(&word[name.len()..]);
                    if policy {
                        of.extend(name.split_once('/').map(|(namespace, _)| namespace.to_owned()));
                    }
                }
                None => masked.push_str(word),
            }
            rest = &rest[begin + length..];
        }
        masked.push_str(rest);
        (masked, of)
    }

    /// What stands for a name that is not told.
    fn hidden(&self, name: &str) -> Option<String> {
        if self.index.node(name).is_some() {
            return Some("…".to_owned());
        }
        let (namespace, _) = name.split_once('/')?;
        let other = namespace != self.own && self.index.namespace(namespace).is_some();
        (other && !self.targets.contains(name)).then(|| format!("{namespace}/…"))
    }
}

/// What stands before the name of a policy of the cluster.
const OF_CLUSTER: [&str; 2] = ["ClusterNetworkPolicy ", "AdminNetworkPolicy "];

/// Whose policies those of a namespace are, of which those of the cluster have none.
fn whose(namespace: &str) -> String {
    if namespace.is_empty() { "the cluster".to_owned() } else { format!("namespace {namespace}") }
}

/// What names of Kubernetes are written with, and what joins them.
fn in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '/')
}
