//! Policies of the cluster. Their API is an alpha one with its own fields in each kind, so they come as they are and
//! `lower` reads them, which says of a field that it does not know that the policy cannot be read.

use kube::ResourceExt as _;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use peerwalk_netpol::{ClusterPolicy, PolicyKind, foreign, lower};
use serde_json::Value;

use super::Kind;
use crate::cluster::record::{Named, Object, ObjectKey};

impl Kind {
    /// The kind as the API server has it, of those that are [`OPTIONAL`](Self::OPTIONAL).
    pub fn api_resource(self) -> Option<ApiResource> {
        let (version, plural) = match self {
            Self::ClusterNetworkPolicy => ("v1alpha2", "clusternetworkpolicies"),
            Self::AdminNetworkPolicy => ("v1alpha1", "adminnetworkpolicies"),
            Self::BaselineAdminNetworkPolicy => ("v1alpha1", "baselineadminnetworkpolicies"),
            _ => return None,
        };
        let kind = GroupVersionKind::gvk(foreign::OF_KUBERNETES, version, &format!("{self:?}"));
        Some(ApiResource::from_gvk_with_plural(&kind, plural))
    }

    /// The kind as the policy engine has it, of those that are policies.
    pub fn policy_kind(self) -> Option<PolicyKind> {
        match self {
            Self::NetworkPolicy => Some(PolicyKind::NetworkPolicy),
            Self::ClusterNetworkPolicy => Some(PolicyKind::ClusterNetworkPolicy),
            Self::AdminNetworkPolicy => Some(PolicyKind::AdminNetworkPolicy),
            Self::BaselineAdminNetworkPolicy => Some(PolicyKind::BaselineAdminNetworkPolicy),
            _ => None,
        }
    }
}

/// The record of an object of one of the [`OPTIONAL`](Kind::OPTIONAL) kinds, with its key.
pub fn cluster_policy(kind: Kind, object: DynamicObject) -> Named<Object> {
    let key = ObjectKey::new("", object.name_any());
    Named { key, value: Object::ClusterPolicy(kind, read(kind, object).map(Box::new)) }
}

fn read(kind: Kind, object: DynamicObject) -> Result<ClusterPolicy, String> {
    // What the API server wrote is of no interest to policies, and much of it.
    let DynamicObject { metadata, mut data, .. } = object;
    let name = Value::from(metadata.name.unwrap_or_default());
    if let Some(fields) = data.as_object_mut() {
        fields.insert("metadata".to_owned(), [("name".to_owned(), name)].into_iter().collect());
    }
    let lowered = match kind {
        Kind::ClusterNetworkPolicy => lower::cluster_network_policy(&data),
        Kind::AdminNetworkPolicy => lower::admin_network_policy(&data),
        Kind::BaselineAdminNetworkPolicy => lower::baseline_admin_network_policy(&data),
        kind => return Err(format!("{kind:?} is no policy of the cluster")),
    };
    lowered.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_kind_is_read_by_its_own_fields() {
        let subject = json!({"namespaces": {"matchLabels": {"team": "back"}}});
        let rule = |action: &str| json!([{"action": action, "from": [{"namespaces": {}}]}]);
        for (kind, name, spec) in [
            (
                Kind::ClusterNetworkPolicy,
                "isolate",
                json!({"tier": "Admin", "priority": 1, "subject": subject, "ingress": rule("Accept")}),
            ),
            (
                Kind::AdminNetworkPolicy,
                "isolate",
                json!({"priority": 1, "subject": subject, "ingress": rule("Allow")}),
            ),
            (
                Kind::BaselineAdminNetworkPolicy,
                "default",
                json!({"subject": subject, "ingress": rule("Allow")}),
            ),
        ] {
            let read = |spec: &Value| {
                let resource = kind.api_resource().unwrap();
                let whole = json!({
                    "apiVersion": resource.api_version, "kind": resource.kind,
                    "metadata": {"name": name, "uid": "1", "managedFields": [{"manager": "kubectl"}]},
                    "spec": spec, "status": {"conditions": []},
                });
                let named = cluster_policy(kind, serde_json::from_value(whole).unwrap());
                assert_eq!(named.key, ObjectKey::new("", name));
                match named.value {
                    Object::ClusterPolicy(of, policy) if of == kind => policy,
                    other => panic!("{other:?}"),
                }
            };
            let policy = read(&spec).unwrap_or_else(|error| panic!("{kind:?}: {error}"));
            assert_eq!((Some(policy.reference.kind), &*policy.reference.name), (kind.policy_kind(), name));
            let mut ambiguous = spec;
            ambiguous["ingress"][0]["from"][0]["pods"] = json!({"namespaceSelector": {}, "podSelector": {}});
            let error = read(&ambiguous).unwrap_err();
            assert!(error.contains("spec.ingress[0].from[0]: sets 2 fields"), "{error}");
        }
        assert_eq!(Kind::NetworkPolicy.api_resource(), None);
    }
}
