//! Which kinds of policies exist in the cluster besides NetworkPolicy: those that the policy engine reads, which are
//! watched while they are served, and those that it cannot read. While one of these is served, no claim about policy is
//! confirmed: it may be the one that decides.

use std::collections::BTreeSet;
use std::time::Duration;

use kube::Client;
use peerwalk_netpol::foreign;
use tokio::sync::{mpsc, watch as told};
use tokio::time::{sleep, timeout};
use tracing::warn;

use crate::cluster::decode::Kind;
use crate::watch::WatchEvent;

/// How often discovery is repeated: kinds come and go with installations only, but nothing tells of it.
const REPEAT: Duration = Duration::from_mins(1);
/// The same after a failure: meanwhile no claim about policy is confirmed.
const AGAIN: Duration = Duration::from_secs(15);
/// For one discovery request.
const REQUEST: Duration = Duration::from_secs(10);

/// What discovery finds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyKinds {
    /// What the policy engine cannot read, in words: kinds, and groups of which nobody could say what they serve.
    pub unreadable: Vec<String>,
    /// The optional kinds that are served in a version that it reads.
    pub served: BTreeSet<Kind>,
}

/// Tells which kinds of policies the cluster serves, now and whenever that changes, until the channel closes: first what
/// is found, and then those who watch what is `served`.
pub(crate) async fn watch(
    client: Client,
    found: mpsc::Sender<WatchEvent>,
    served: told::Sender<BTreeSet<Kind>>,
) {
    let mut last = None;
    loop {
        let mut again = REPEAT;
        match look(&client).await {
            Ok(groups) => {
                if groups.iter().any(|group| group.kinds.is_err()) {
                    again = AGAIN;
                }
                let kinds = policy_kinds(&groups, &served.borrow());
                if last.as_ref() != Some(&kinds) {
                    last = Some(kinds.clone());
                    if found.send(WatchEvent::PolicyKinds(kinds.clone())).await.is_err() {
                        return;
                    }
                    served.send_replace(kinds.served);
                }
            }
            Err(error) => {
                // What was found before is still the best that is known; before the first time nothing is.
                warn!(%error, "discovery failed, trying again in {AGAIN:?}");
                again = AGAIN;
            }
        }
        sleep(again).await;
    }
}

/// A group that is served, and the kinds in it.
struct Group {
    name: String,
    kinds: Result<Vec<Served>, Error>,
}

/// A kind in a version, such as `policy.networking.k8s.io/v1alpha2`.
struct Served {
    version: String,
    kind: String,
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Request(#[from] kube::Error),
    #[error("no answer within {REQUEST:?}")]
    Timeout(#[from] tokio::time::error::Elapsed),
}

/// The known groups that the cluster serves. One that fails is told as such and hides no other.
async fn look(client: &Client) -> Result<Vec<Group>, Error> {
    let served = timeout(REQUEST, client.list_api_groups()).await??;
    let mut groups = Vec::new();
    for group in served.groups.into_iter().filter(|group| is_known(&group.name)) {
        // Each version serves the kinds it has; the preferred one need not have all.
        let versions: Vec<String> = group.versions.into_iter().map(|v| v.group_version).collect();
        let kinds = kinds_of(client, &versions).await;
        if let Err(error) = &kinds {
            warn!(group = group.name, %error, "the kinds of a group cannot be listed, trying again in {AGAIN:?}");
        }
        groups.push(Group { name: group.name, kinds });
    }
    Ok(groups)
}

async fn kinds_of(client: &Client, versions: &[String]) -> Result<Vec<Served>, Error> {
    let mut kinds = Vec::new();
    for version in versions {
        let served = timeout(REQUEST, client.list_api_group_resources(version)).await??;
        let whole = served.resources.into_iter().filter(|resource| !resource.name.contains('/'));
        kinds.extend(whole.map(|resource| Served { version: version.clone(), kind: resource.kind }));
    }
    Ok(kinds)
}

fn is_known(group: &str) -> bool {
    group == foreign::OF_KUBERNETES || foreign::KINDS.iter().any(|(name, _)| *name == group)
}

/// What these groups come to. A group of which nobody could say what it serves still has what it had `before`.
fn policy_kinds(groups: &[Group], before: &BTreeSet<Kind>) -> PolicyKinds {
    let mut found = PolicyKinds::default();
    for Group { name, kinds } in groups {
        match kinds {
            Ok(kinds) if name == foreign::OF_KUBERNETES => of_kubernetes(kinds, &mut found),
            Ok(kinds) => {
                let decide = foreign::KINDS.iter().filter(|(group, _)| group == name).flat_map(|(_, k)| *k);
                let decide: BTreeSet<&str> = decide.copied().collect();
                let served = kinds.iter().filter(|served| decide.contains(served.kind.as_str()));
                found.unreadable.extend(served.map(|served| format!("{}.{name}", served.kind)));
            }
            Err(_) => {
                found.unreadable.push(format!("those of group {name}, which could not be listed"));
                if name == foreign::OF_KUBERNETES {
                    found.served.extend(before);
                }
            }
        }
    }
    found.unreadable.sort_unstable();
    found.unreadable.dedup();
    found
}

fn of_kubernetes(kinds: &[Served], found: &mut PolicyKinds) {
    for kind in Kind::OPTIONAL {
        let Some(resource) = kind.api_resource() else { continue };
        let mut versions = kinds.iter().filter(|served| served.kind == resource.kind).peekable();
        if versions.peek().is_none() {
            continue;
        }
        if versions.any(|served| served.version == resource.api_version) {
            found.served.insert(kind);
        } else {
            found.unreadable.push(format!("{}.{}", resource.kind, resource.group));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str, kinds: Option<&[(&str, &str)]>) -> Group {
        let served = |(version, kind): &(&str, &str)| Served {
            version: format!("{name}/{version}"),
            kind: (*kind).to_owned(),
        };
        Group {
            name: name.into(),
            kinds: kinds
                .map(|kinds| kinds.iter().map(served).collect())
                .ok_or_else(|| Error::Request(kube::Error::LinesCodecMaxLineLengthExceeded)),
        }
    }

    #[test]
    fn foreign_kinds_are_told_and_a_group_that_fails_hides_none() {
        let groups = [
            group("projectcalico.org", None),
            // Two versions serve the first kind.
            group(
                "cilium.io",
                Some(&[
                    ("v2", "CiliumNetworkPolicy"),
                    ("v2", "CiliumEndpoint"),
                    ("v2alpha1", "CiliumNetworkPolicy"),
                ]),
            ),
            group("k8s.ovn.org", Some(&[("v1", "EgressIP")])),
            group("networking.gke.io", Some(&[("v1", "FQDNNetworkPolicy"), ("v1", "ManagedCertificate")])),
        ];
        let expected = [
            "CiliumNetworkPolicy.cilium.io",
            "FQDNNetworkPolicy.networking.gke.io",
            "those of group projectcalico.org, which could not be listed",
        ];
        let none = BTreeSet::new();
        assert_eq!(policy_kinds(&groups, &none).unreadable, expected);
        assert_eq!(policy_kinds(&[], &none), PolicyKinds::default(), "nothing is served");
    }

    #[test]
    fn policies_of_the_cluster_are_watched_in_the_version_that_is_read() {
        use Kind::{AdminNetworkPolicy, ClusterNetworkPolicy};
        let ours = |kinds: Option<&[(&str, &str)]>| [group(foreign::OF_KUBERNETES, kinds)];
        let found = policy_kinds(
            &ours(Some(&[
                ("v1beta1", "ClusterNetworkPolicy"),
                ("v1alpha2", "ClusterNetworkPolicy"),
                ("v1alpha1", "AdminNetworkPolicy"),
                ("v1beta1", "BaselineAdminNetworkPolicy"),
            ])),
            &BTreeSet::new(),
        );
        assert_eq!(found.served, [ClusterNetworkPolicy, AdminNetworkPolicy].into());
        assert_eq!(found.unreadable, ["BaselineAdminNetworkPolicy.policy.networking.k8s.io"]);
        let failed = policy_kinds(&ours(None), &found.served);
        assert_eq!(failed.served, found.served, "nobody said that they are gone");
        assert_eq!(failed.unreadable, ["those of group policy.networking.k8s.io, which could not be listed"]);
    }
}
