//! Policy kinds that exist in the cluster and that the policy engine cannot read. While one is served, no
//! claim about policy is confirmed: it may be the one that decides.

use std::time::Duration;

use kube::Client;
use peerwalk_netpol::foreign;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tracing::warn;

/// How often discovery is repeated: kinds come and go with installations only.
const REPEAT: Duration = Duration::from_mins(5);
/// The same after a failure: meanwhile no claim about policy is confirmed.
const AGAIN: Duration = Duration::from_secs(15);
/// For one discovery request.
const REQUEST: Duration = Duration::from_secs(10);

/// The kinds of the cluster's policies of Kubernetes itself, which the engine is not yet given.
const OF_KUBERNETES: &[&str] = &["ClusterNetworkPolicy", "AdminNetworkPolicy", "BaselineAdminNetworkPolicy"];

/// Tells which foreign kinds the cluster serves, now and whenever that changes, until the channel closes.
pub async fn watch(client: Client, found: mpsc::Sender<Vec<String>>) {
    let mut last = None;
    loop {
        let mut again = REPEAT;
        match look(&client).await {
            Ok(groups) => {
                if groups.iter().any(|group| group.kinds.is_err()) {
                    again = AGAIN;
                }
                let kinds = unreadable(&groups);
                if last.as_ref() != Some(&kinds) {
                    last = Some(kinds.clone());
                    if found.send(kinds).await.is_err() {
                        return;
                    }
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
    kinds: Result<Vec<String>, Error>,
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
    for group in served.groups.into_iter().filter(|group| kinds_that_decide(&group.name).is_some()) {
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

async fn kinds_of(client: &Client, versions: &[String]) -> Result<Vec<String>, Error> {
    let mut kinds = Vec::new();
    for version in versions {
        let served = timeout(REQUEST, client.list_api_group_resources(version)).await??;
        kinds.extend(served.resources.into_iter().filter(|r| !r.name.contains('/')).map(|r| r.kind));
    }
    Ok(kinds)
}

fn kinds_that_decide(group: &str) -> Option<&'static [&'static str]> {
    let others = foreign::KINDS.iter().find(|(name, _)| *name == group).map(|(_, kinds)| *kinds);
    if group == foreign::OF_KUBERNETES { Some(OF_KUBERNETES) } else { others }
}

/// What the policy engine cannot read, in words: the foreign kinds that are served, and the groups of which
/// nobody could say.
fn unreadable(groups: &[Group]) -> Vec<String> {
    let mut found = Vec::new();
    for Group { name, kinds } in groups {
        match kinds {
            Ok(kinds) => {
                let wanted = kinds_that_decide(name).unwrap_or_default();
                let served = kinds.iter().filter(|kind| wanted.contains(&kind.as_str()));
                found.extend(served.map(|kind| format!("{kind}.{name}")));
            }
            Err(_) => found.push(format!("those of group {name}, which could not be listed")),
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_kinds_are_told_and_a_group_that_fails_hides_none() {
        let group = |name: &str, kinds: Option<&[&str]>| Group {
            name: name.into(),
            kinds: kinds
                .map(|kinds| kinds.iter().map(|kind| (*kind).to_owned()).collect())
                .ok_or_else(|| Error::Request(kube::Error::LinesCodecMaxLineLengthExceeded)),
        };
        let groups = [
            group("projectcalico.org", None),
            // Two versions serve the first kind.
            group("cilium.io", Some(&["CiliumNetworkPolicy", "CiliumEndpoint", "CiliumNetworkPolicy"])),
            group("k8s.ovn.org", Some(&["EgressIP"])),
            group("networking.gke.io", Some(&["FQDNNetworkPolicy", "ManagedCertificate"])),
        ];
        let expected = [
            "CiliumNetworkPolicy.cilium.io",
            "FQDNNetworkPolicy.networking.gke.io",
            "those of group projectcalico.org, which could not be listed",
        ];
        assert_eq!(unreadable(&groups), expected);
        assert_eq!(unreadable(&[]), Vec::<String>::new(), "nothing foreign is served");
    }
}
