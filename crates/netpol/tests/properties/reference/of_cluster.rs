//! Policies of the cluster, read the second way.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use peerwalk_netpol::{Flow, HostNetwork, Peer, PeerKind, Pod, Profile, ServiceAddress};
use serde_json::{Value, json};

use super::{Cluster, is_pod, name_stands_for, selects, within};

/// Whether the policies of a tier allow the flow; `None` if they do not decide.
pub fn tier(cluster: &Cluster, flow: &Flow, profile: Profile, egress: bool, tier: &str) -> Option<bool> {
    let subject = if egress { &flow.source } else { &flow.destination };
    let PeerKind::Pod(pod) = &subject.kind else { return None };
    let mut policies: Vec<&Value> =
        cluster.of_cluster.iter().filter(|object| tier_of(object) == tier).collect();
    policies.sort_by_key(|object| {
        let baseline = object["kind"] == "BaselineAdminNetworkPolicy";
        let priority = if baseline { 1001 } else { object["spec"]["priority"].as_u64().expect("a priority") };
        let admin = object["kind"] == "AdminNetworkPolicy";
        (priority, admin, object["metadata"]["name"].to_string())
    });
    for policy in policies {
        if !pods(cluster, &policy["spec"]["subject"], pod) {
            continue;
        }
        let rules = &policy["spec"][if egress { "egress" } else { "ingress" }];
        for rule in rules.as_array().into_iter().flatten() {
            let accepts = rule["action"] == "Accept" || rule["action"] == "Allow";
            if is_unknown(rule) {
                if accepts {
                    continue;
                }
                return Some(false);
            }
            if matches(cluster, rule, flow, profile, egress) {
                return if rule["action"] == "Pass" { None } else { Some(accepts) };
            }
        }
    }
    None
}

fn tier_of(object: &Value) -> &str {
    match object["kind"].as_str() {
        Some("AdminNetworkPolicy") => "Admin",
        Some("BaselineAdminNetworkPolicy") => "Baseline",
        _ => object["spec"]["tier"].as_str().expect("a tier"),
    }
}

fn is_unknown(rule: &Value) -> bool {
    let has = |list: &str, field: &str| {
        rule[list].as_array().into_iter().flatten().any(|item| item.get(field).is_some())
    };
    has("from", "sheep") || has("to", "sheep") || has("ports", "icmp") || has("protocols", "icmp")
}

fn matches(cluster: &Cluster, rule: &Value, flow: &Flow, profile: Profile, egress: bool) -> bool {
    let peers = rule[if egress { "to" } else { "from" }].as_array().expect("a rule has peers");
    let peer = if egress { &flow.destination } else { &flow.source };
    let ports: Vec<&Value> =
        ["ports", "protocols"].iter().flat_map(|list| rule[list].as_array().into_iter().flatten()).collect();
    let listed =
        |number: u16| ports.is_empty() || ports.iter().any(|item| port_matches(item, flow, number, profile));
    if let Some(service) = flow.service
        && egress
        && profile.service_address == ServiceAddress::Original
    {
        let selected = peers
            .iter()
            .any(|item| item.get("networks").is_none() && peer_matches(cluster, item, peer, profile));
        let held = peers.iter().any(|item| {
            let networks = item["networks"].as_array().into_iter().flatten();
            (service.ip().is_ipv4() || profile.ipv6)
                && networks.into_iter().any(|cidr| within(cidr.as_str().expect("a text"), service.ip()))
        });
        // Rules about addresses have no named ports, as the server insists.
        return (selected && listed(flow.port)) || (held && listed(service.port()));
    }
    peers.iter().any(|item| peer_matches(cluster, item, peer, profile)) && listed(flow.port)
}

fn peer_matches(cluster: &Cluster, item: &Value, peer: &Peer, profile: Profile) -> bool {
    let pod = match &peer.kind {
        PeerKind::Pod(pod) if !pod.finished => Some(pod),
        _ => None,
    };
    if let Some(networks) = item["networks"].as_array() {
        let of_pod = pod.is_some_and(|pod| is_pod(pod, profile));
        return (!of_pod || profile.networks_match_pods)
            && (peer.ip.is_ipv4() || profile.ipv6)
            && networks.iter().any(|cidr| within(cidr.as_str().expect("a text"), peer.ip));
    }
    if let Some(selector) = item.get("nodes") {
        let node = match &peer.kind {
            PeerKind::Node(node) => Some(&node.name),
            PeerKind::Pod(pod) if pod.host_network && !pod.finished => pod.node.as_ref(),
            _ => None,
        };
        let node = cluster.nodes.iter().find(|other| Some(&other.name) == node);
        return profile.nodes && node.is_some_and(|node| selects(&labels(selector), &node.labels));
    }
    let selectable = |pod: &Pod| !pod.host_network || profile.host_network == HostNetwork::Ignored;
    pod.is_some_and(|pod| selectable(pod) && pods(cluster, item, pod))
}

fn pods(cluster: &Cluster, item: &Value, pod: &Pod) -> bool {
    let everything = json!({});
    let (namespaces, pods) = if let Some(namespaces) = item.get("namespaces") {
        (namespaces, &everything)
    } else if let Some(both) = item.get("pods") {
        (&both["namespaceSelector"], &both["podSelector"])
    } else {
        return false;
    };
    let namespace = cluster.namespaces.iter().find(|namespace| namespace.name == pod.namespace);
    let namespace = namespace.expect("every namespace is given");
    selects(&labels(namespaces), &namespace.labels) && selects(&labels(pods), &pod.labels)
}

fn labels(selector: &Value) -> LabelSelector {
    serde_json::from_value(selector.clone()).expect("a selector")
}

fn port_matches(item: &Value, flow: &Flow, number: u16, profile: Profile) -> bool {
    let protocol = flow.protocol.to_string();
    if let Some(name) = item["namedPort"].as_str().or(item["destinationNamedPort"].as_str()) {
        return match &flow.destination.kind {
            PeerKind::Pod(pod) if !pod.finished => name_stands_for(pod, name, flow, profile),
            _ => false,
        };
    }
    let of_kind = &item[protocol.to_lowercase()]["destinationPort"];
    let (range, single) = if of_kind.is_object() {
        (&of_kind["range"], &of_kind["number"])
    } else {
        let given = [&item["portNumber"], &item["portRange"]].into_iter().find(|given| given.is_object());
        if given.is_none_or(|given| given["protocol"] != protocol) {
            return false;
        }
        (&item["portRange"], &item["portNumber"]["port"])
    };
    let number = u64::from(number);
    if let Some(single) = single.as_u64() {
        return single == number;
    }
    let end = |name: &str| range[name].as_u64().expect("an end of a range");
    (end("start")..=end("end")).contains(&number)
}
