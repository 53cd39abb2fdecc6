//! Items of `from` and `to`.

use serde_json::Value;

use super::{ADDRESSES, pods, selector};
use crate::cluster_policy::ClusterPeer;
use crate::lower::object::Object;
use crate::lower::{Errors, Problem, block};

pub(super) fn peer(errors: &mut Errors, path: String, value: &Value, known: &[&str]) -> Option<ClusterPeer> {
    let item = Object::new(errors, path, value)?;
    let set = item.names();
    let [field] = set.as_slice() else {
        let fields = if known.len() > 2 {
            "namespaces, pods, nodes, networks and domainNames"
        } else {
            "namespaces and pods"
        };
        errors.add(item.path(), Problem::OneOf { given: set.len(), fields });
        return None;
    };
    if !known.contains(field) {
        return Some(ClusterPeer::Unknown(vec![(*field).to_owned()]));
    }
    match *field {
        "nodes" => selector(errors, &item.at("nodes"), item.get("nodes")?).map(ClusterPeer::Nodes),
        "networks" => {
            let mut networks = Vec::new();
            for (path, text) in item.texts(errors, "networks", ADDRESSES) {
                match block::parse_strictly(text) {
                    Some(network) => networks.push(network),
                    None => errors.add(path, Problem::Cidr(text.to_owned())),
                }
            }
            Some(ClusterPeer::Networks(networks))
        }
        "domainNames" => {
            let mut names = Vec::new();
            for (path, text) in item.texts(errors, "domainNames", ADDRESSES) {
                if is_domain_name(text) {
                    names.push(text.to_owned());
                } else {
                    errors.add(path, Problem::DomainName(text.to_owned()));
                }
            }
            Some(ClusterPeer::DomainNames(names))
        }
        _ => pods(errors, &item).map(ClusterPeer::Pods),
    }
}

/// The pattern of the CRD: labels of letters, digits, hyphens and underscores, at least two of them, perhaps after `*.`
/// and perhaps before a final dot.
fn is_domain_name(text: &str) -> bool {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let name = name.strip_suffix('.').unwrap_or(name);
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
        label.bytes().all(inner) && edge(label.bytes().next()) && edge(label.bytes().last())
    };
    name.contains('.') && name.split('.').all(label)
}
