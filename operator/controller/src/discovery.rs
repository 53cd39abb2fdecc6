//! Policy kinds that exist in the cluster and that the policy engine cannot read. While one is served, no
//! claim about policy is confirmed: it may be the one that decides.

use std::time::Duration;

use kube::Client;
use tokio::sync::mpsc;
use tokio::time::{interval, timeout};
use tracing::warn;

/// How often discovery is repeated: kinds come and go with installations only.
const REPEAT: Duration = Duration::from_mins(5);
/// For one discovery request.
const REQUEST: Duration = Duration::from_secs(10);

/// API groups of network plugins and meshes, and the kinds in them that decide whether a connection passes.
const FOREIGN: [(&str, &[&str]); 7] = [
    ("cilium.io", &["CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy"]),
    ("crd.projectcalico.org", &["NetworkPolicy", "GlobalNetworkPolicy"]),
    ("projectcalico.org", &["NetworkPolicy", "GlobalNetworkPolicy"]),
    ("crd.antrea.io", &["NetworkPolicy", "ClusterNetworkPolicy"]),
    ("networking.k8s.aws", &["ClusterNetworkPolicy", "ApplicationNetworkPolicy"]),
    (
        "policy.networking.k8s.io",
        &["ClusterNetworkPolicy", "AdminNetworkPolicy", "BaselineAdminNetworkPolicy"],
    ),
    ("k8s.ovn.org", &["EgressFirewall"]),
];

/// Tells which foreign kinds the cluster serves, now and whenever that changes, until the channel closes.
pub async fn watch(client: Client, found: mpsc::Sender<Vec<String>>) {
    let mut last = None;
    let mut ticks = interval(REPEAT);
    loop {
        ticks.tick().await;
        match timeout(REQUEST, foreign_kinds(&client)).await {
            Ok(Ok(kinds)) if last.as_ref() != Some(&kinds) => {
                last = Some(kinds.clone());
                if found.send(kinds).await.is_err() {
                    return;
                }
            }
            Ok(Ok(_)) => {}
            Ok(Err(error)) => warn!(%error, "discovery failed, trying again later"),
            Err(_) => warn!(timeout = ?REQUEST, "discovery took too long, trying again later"),
        }
    }
}

async fn foreign_kinds(client: &Client) -> Result<Vec<String>, kube::Error> {
    let groups = client.list_api_groups().await?;
    let mut kinds = Vec::new();
    for group in groups.groups {
        let Some((_, foreign)) = FOREIGN.iter().find(|(name, _)| *name == group.name) else { continue };
        let Some(version) = group.preferred_version.or_else(|| group.versions.into_iter().next()) else {
            continue;
        };
        let served = client.list_api_group_resources(&version.group_version).await?;
        let served = served
            .resources
            .into_iter()
            .filter(|r| foreign.contains(&r.kind.as_str()) && !r.name.contains('/'));
        kinds.extend(served.map(|resource| format!("{}.{}", resource.kind, group.name)));
    }
    kinds.sort_unstable();
    kinds.dedup();
    Ok(kinds)
}
