//! Who is where: pods, Services and nodes by the addresses, ports and nodes that lead to them.

use std::net::{IpAddr, SocketAddr};

use peerwalk_model::Protocol;

use super::Index;
use crate::cluster::record::{Node, ObjectKey, Pod};

impl Index {
    /// The pods of a node, by namespace and name.
    pub fn pods_on(&self, node: &str) -> impl Iterator<Item = &Pod> {
        self.by_node.get(node).into_iter().flatten().filter_map(|key| self.pods.get(key))
    }

    /// The pod that holds an address: a live one rather than a finished one, whose address may be reused.
    /// Host-network pods share their node's address and are never the answer.
    pub fn pod_by_ip(&self, ip: IpAddr) -> Option<&Pod> {
        self.pods_at(ip).filter(|pod| !pod.host_network).max_by_key(|pod| pod.running)
    }

    /// The pods at an address that are not finished; host-network ones are there together.
    pub fn pods_at(&self, ip: IpAddr) -> impl Iterator<Item = &Pod> {
        let keys = self.by_ip.get(&ip).into_iter().flatten();
        keys.filter_map(|key| self.pods.get(key)).filter(|pod| !pod.finished)
    }

    /// Whether an address is one that nodes give to pods (`spec.podCIDRs`), as far as they say.
    pub fn is_of_pods(&self, ip: IpAddr) -> bool {
        self.nodes.values().flat_map(|node| &node.pod_networks).any(|network| network.contains(&ip))
    }

    /// The node that has an address.
    pub fn node_at(&self, ip: IpAddr) -> Option<(&String, &Node)> {
        self.nodes.iter().find(|(_, node)| node.addresses.contains(&ip))
    }

    /// The Service that has an address as its own.
    pub fn service_by_ip(&self, ip: IpAddr) -> Option<&ObjectKey> {
        self.services_by_ip.get(&ip)?.first()
    }

    /// Whether an address that is no Service's own may lead to a Service or pod all the same: a load
    /// balancer's, an external address, or a port of a node. Some data planes translate it where the connection
    /// begins, some where it arrives.
    pub fn may_lead_elsewhere(&self, to: SocketAddr, protocol: Protocol) -> bool {
        let foreign = self.services_by_foreign_ip.get(&to.ip()).into_iter().flatten();
        let listed = foreign
            .filter_map(|key| self.services.get(key))
            .flat_map(|service| &service.ports)
            .any(|port| port.number == to.port() && port.protocol == protocol);
        let of_a_node =
            || self.node_at(to.ip()).is_some_and(|(name, _)| self.leads_off(name, to.port(), protocol));
        listed || (self.pod_by_ip(to.ip()).is_none() && of_a_node())
    }

    /// Whether a port of a node leads to a Service, or to a pod there with a network of its own.
    fn leads_off(&self, node: &str, number: u16, protocol: Protocol) -> bool {
        let services = self.services_by_node_port.get(&number).into_iter().flatten();
        let of_a_service = services
            .filter_map(|key| self.services.get(key))
            .flat_map(|service| &service.ports)
            .any(|port| port.on_nodes == Some(number) && port.protocol == protocol);
        // The API server gives ports of host-network pods a `hostPort` too, and these lead nowhere else.
        let mut pods = self.pods_on(node).filter(|pod| !pod.finished && !pod.host_network);
        of_a_service
            || pods.any(|pod| {
                pod.ports.iter().any(|port| port.on_node == Some(number) && port.protocol == protocol)
            })
    }
}
