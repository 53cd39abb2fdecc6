//! Policies of data planes' own kinds, which nothing here reads: whether there are any.

use std::time::Duration;

use kube::Client;
use kube::api::{ListParams, Request};
use peerwalk_netpol::foreign;
use serde_json::Value;
use tokio::time::timeout;

use super::kind::Kind;
use super::rights::Missing;
use crate::check::told;

/// For one request.
const WITHIN: Duration = Duration::from_secs(30);
/// A policy that is none of Kubernetes' own is among so many, if there is one.
const LOOKED_AT: u32 = 500;
/// Calico shows NetworkPolicies of Kubernetes among its own, under this name.
const SHOWN_AGAIN: &str = "knp.default.";

/// The groups that the cluster serves, each with its versions, as `policy.networking.k8s.io/v1alpha2`.
pub(super) struct Served {
    groups: Vec<(String, Vec<String>)>,
    /// Kinds of `policy.networking.k8s.io`, each with its version.
    of_cluster: Vec<(String, String)>,
}

impl Served {
    /// Whether a kind of policies of the cluster is served.
    pub(super) fn has(&self, kind: &Kind) -> bool {
        self.of_cluster.iter().any(|(version, name)| *version == kind.api_version() && name == kind.kind)
    }
}

async fn within<T>(asked: impl Future<Output = kube::Result<T>>) -> Result<T, String> {
    match timeout(WITHIN, asked).await {
        Ok(answer) => answer.map_err(|error| told(&error)),
        Err(_) => Err(format!("no answer within {} s", WITHIN.as_secs())),
    }
}

/// Asks what is served.
///
/// # Errors
/// Why nobody says so, in words.
pub(super) async fn served(client: &Client) -> Result<Served, String> {
    let groups = within(client.list_api_groups()).await?.groups;
    let versions = |group: &k8s_openapi::apimachinery::pkg::apis::meta::v1::APIGroup| {
        group.versions.iter().map(|version| version.group_version.clone()).collect()
    };
    let groups: Vec<(String, Vec<String>)> =
        groups.iter().map(|group| (group.name.clone(), versions(group))).collect();
    let mut of_cluster = Vec::new();
    for version in groups.iter().filter(|(name, _)| name == foreign::OF_KUBERNETES).flat_map(|(_, v)| v) {
        let resources = within(client.list_api_group_resources(version)).await?.resources;
        let whole = resources.into_iter().filter(|resource| !resource.name.contains('/'));
        of_cluster.extend(whole.map(|resource| (version.clone(), resource.kind)));
    }
    Ok(Served { groups, of_cluster })
}

/// The foreign kinds of which there are policies, as `CiliumNetworkPolicy.cilium.io`, and those of which nobody may say.
pub(super) async fn used(client: &Client, served: &Served) -> (Vec<String>, Vec<Missing>) {
    let (mut used, mut missing) = (Vec::new(), Vec::new());
    for (group, kinds) in foreign::KINDS {
        let versions =
            served.groups.iter().filter(|(name, _)| name == group).flat_map(|(_, versions)| versions);
        let mut seen: Vec<String> = Vec::new();
        for version in versions {
            let resources = match within(client.list_api_group_resources(version)).await {
                Ok(list) => list.resources,
                Err(error) => {
                    missing.push(Missing::of_foreign("*", group, kinds[0], &error));
                    continue;
                }
            };
            for resource in resources {
                let kind = resource.kind.as_str();
                let of_policies = kinds.contains(&kind) && !resource.name.contains('/');
                if !of_policies || seen.contains(&resource.name) {
                    continue;
                }
                seen.push(resource.name.clone());
                match any(client, version, &resource.name).await {
                    Ok(true) => used.push(format!("{kind}.{group}")),
                    Ok(false) => {}
                    Err(error) => missing.push(Missing::of_foreign(&resource.name, group, kind, &error)),
                }
            }
        }
    }
    (used, missing)
}

/// Whether there is any policy of a kind.
async fn any(client: &Client, version: &str, resource: &str) -> Result<bool, String> {
    let request = Request::new(format!("/apis/{version}/{resource}"));
    let request =
        request.list_metadata(&ListParams::default().limit(LOOKED_AT)).map_err(|e| e.to_string())?;
    let list = within(client.request::<Value>(request)).await?;
    let items = list["items"].as_array().into_iter().flatten();
    let mut names = items.map(|item| item["metadata"]["name"].as_str().unwrap_or_default());
    let more = list["metadata"]["continue"].as_str().is_some_and(|token| !token.is_empty());
    Ok(more || names.any(|name| !name.starts_with(SHOWN_AGAIN)))
}
