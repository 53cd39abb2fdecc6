//! The head of an object: which kind it is of, and which it was meant to be of.

use peerwalk_netpol::foreign::{KINDS, OF_KUBERNETES};
use peerwalk_netpol::{PolicyKind, PolicyRef};

use crate::cluster::WorkloadName;

/// The head of an object.
pub(crate) struct Head<'a> {
    pub source: &'a str,
    pub kind: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
    pub of_cluster: bool,
}

impl Head<'_> {
    /// `NetworkPolicy shop/web`.
    pub fn shown(&self) -> String {
        match (self.name, self.of_cluster) {
            ("", _) => format!("{} of {}", self.kind, self.source),
            (name, true) => format!("{} {name}", self.kind),
            (name, false) => format!("{} {}/{name}", self.kind, self.namespace),
        }
    }

    pub fn workload(&self) -> WorkloadName {
        WorkloadName {
            namespace: self.namespace.to_owned(),
            name: self.name.to_owned(),
            kind: self.kind.to_owned(),
        }
    }
}

/// Where the API server has a kind of policies.
pub(crate) fn api_version(kind: PolicyKind) -> &'static str {
    match kind {
        PolicyKind::NetworkPolicy => "networking.k8s.io/v1",
        PolicyKind::ClusterNetworkPolicy => "policy.networking.k8s.io/v1alpha2",
        PolicyKind::AdminNetworkPolicy | PolicyKind::BaselineAdminNetworkPolicy => {
            "policy.networking.k8s.io/v1alpha1"
        }
    }
}

/// What may be a policy.
pub(crate) enum Policy {
    /// One that is read.
    Ours(PolicyKind),
    /// One of a data plane's own, which nothing here evaluates.
    Foreign,
    /// One that no server serves like this: which it was meant to be, the field that is wrong, and why.
    Meant(PolicyKind, &'static str, String),
}

/// Whether it is a policy, or was meant to be one. Of an object within a list, the list may have said its version.
pub(crate) fn policy(api_version: &str, kind: &str) -> Option<Policy> {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    if is_foreign(group, kind) {
        return Some(Policy::Foreign);
    }
    let ours = [
        PolicyKind::NetworkPolicy,
        PolicyKind::ClusterNetworkPolicy,
        PolicyKind::AdminNetworkPolicy,
        PolicyKind::BaselineAdminNetworkPolicy,
    ];
    let letters = folded(kind);
    let Some(meant) = ours.into_iter().find(|known| folded(&known.to_string()) == letters) else {
        // A name that is misspelt otherwise, in a group where nothing else has such a name.
        let near = group == OF_KUBERNETES || (group == "networking.k8s.io" && letters.contains("pol"));
        let meant =
            if group == OF_KUBERNETES { PolicyKind::ClusterNetworkPolicy } else { PolicyKind::NetworkPolicy };
        let reason = format!("no server serves {kind:?} of {api_version}; is {meant} meant?");
        return near.then_some(Policy::Meant(meant, "kind", reason));
    };
    let served = self::api_version(meant);
    if kind != meant.to_string() {
        let reason = format!("no server serves {kind:?}; use kind {meant} of apiVersion {served}");
        return Some(Policy::Meant(meant, "kind", reason));
    }
    if api_version == served {
        return Some(Policy::Ours(meant));
    }
    let reason = if api_version.is_empty() {
        format!("missing; use apiVersion {served}")
    } else {
        format!("no server serves {kind} of {api_version:?}; use apiVersion {served}")
    };
    Some(Policy::Meant(meant, "apiVersion", reason))
}

/// What a policy that cannot be read is called. Where its namespace is not known, or a stranger's kind may mean anything,
/// it may decide about every pod.
pub(crate) fn reference(kind: PolicyKind, api_version: &str, head: &Head<'_>, is_placed: bool) -> PolicyRef {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    let of_kubernetes = !group.contains('.') || group.ends_with("k8s.io");
    let nameless = format!("(of {})", head.source);
    let name = if head.name.is_empty() { nameless.as_str() } else { head.name };
    match kind {
        PolicyKind::NetworkPolicy if of_kubernetes && is_placed => {
            PolicyRef::network_policy(head.namespace, name)
        }
        of_cluster if of_kubernetes && of_cluster != PolicyKind::NetworkPolicy => {
            PolicyRef::of_cluster(of_cluster, name)
        }
        _ => any(&head.shown()),
    }
}

/// Stands for what may decide about every pod.
pub(crate) fn any(what: &str) -> PolicyRef {
    PolicyRef::of_cluster(PolicyKind::ClusterNetworkPolicy, format!("({what})"))
}

/// The kind of the items of a list; empty where each says its own.
pub(crate) fn listed(kind: &str) -> Option<&str> {
    let (of, suffix) = kind.split_at_checked(kind.len().checked_sub("List".len())?)?;
    suffix.eq_ignore_ascii_case("List").then_some(of)
}

/// Whether an object is a policy of a data plane's own that nothing here evaluates.
fn is_foreign(group: &str, kind: &str) -> bool {
    let kinds = KINDS.iter().filter(|(name, _)| *name == group).flat_map(|(_, kinds)| *kinds);
    let letters = folded(kind);
    kinds.into_iter().any(|known| folded(known) == letters)
}

/// A kind without what people write otherwise: case, hyphens and the plural.
fn folded(kind: &str) -> String {
    let letters: String =
        kind.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect();
    match (letters.strip_suffix("ies"), letters.strip_suffix('s')) {
        (Some(stem), _) => format!("{stem}y"),
        (None, Some(stem)) => stem.to_owned(),
        (None, None) => letters,
    }
}

/// Whether this is one of the kinds that are read, but for policies: others have the same names. Of an object within a
/// list, the list may say it alone; one that says nothing is taken for what its kind is called.
pub(crate) fn fits(api_version: &str, kind: &str) -> bool {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    let expected: &[&str] = match kind {
        "Pod" | "Namespace" | "Node" | "Service" | "ReplicationController" => &[""],
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" => &["apps", "extensions"],
        "Job" | "CronJob" => &["batch"],
        "EndpointSlice" => &["discovery.k8s.io"],
        _ => return false,
    };
    api_version.is_empty() || expected.contains(&group)
}

/// Whether a text that cannot be read may hold a policy: where it says of which kinds its objects are, and none is one, it
/// does not.
pub(crate) fn may_be_policy(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    let at_start: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("kind:")).collect();
    let kinds: Vec<&str> = if at_start.is_empty() {
        // In flow style, as in JSON, it may stand anywhere.
        let anywhere = text.match_indices("kind").filter_map(|(place, word)| {
            let rest = text.get(place + word.len()..)?.trim_start_matches(['"', '\'']).trim_start();
            rest.strip_prefix(':')
        });
        anywhere.collect()
    } else {
        at_start
    };
    let word = |rest: &&str| -> String {
        let rest = rest.trim_start().trim_start_matches(['"', '\'']);
        rest.chars().take_while(|letter| !letter.is_whitespace() && !"\"',}#".contains(*letter)).collect()
    };
    let mut words = kinds.iter().map(word).peekable();
    let other = |kind: String| {
        let letters = folded(&kind);
        let any_group = KINDS.iter().flat_map(|(_, kinds)| *kinds);
        !(letters.is_empty()
            || letters.contains("polic")
            || letters.ends_with("list")
            || any_group.into_iter().any(|known| folded(known) == letters))
    };
    words.peek().is_none() || !words.all(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_text_that_names_other_kinds_is_no_policy() {
        for (text, expected) in [
            ("", true),
            ("a: [", true),
            ("kind: Deployment\nspec:\n\ta: b\n", false),
            ("kind: \"ConfigMap\" # a comment\ndata: [", false),
            ("kind: Deployment\nkind: Service\n", false),
            ("kind: Deployment\nkind: networkpolicy\n", true),
            ("kind: List\nitems:\n- kind: Pod\n\tx", true),
            ("kind: EgressFirewall\n\tx", true),
            ("kind:\n\tx", true),
            // What stands deeper is not the head.
            ("kind: Ingress\nspec:\n  ref:\n    kind: NetworkPolicy\n\tx", false),
            ("{\"kind\": \"Pod\", ", false),
            ("{\"kind\":\"List\",\"items\":[{\"kind\":\"Pod\"", true),
            ("{apiVersion: v1, kind: Pod, metadata: {", false),
        ] {
            assert_eq!(may_be_policy(text.as_bytes()), expected, "{text:?}");
        }
    }
}
