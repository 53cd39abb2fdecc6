//! What is decided between pods of which some have no address yet: a policy that denies such a one denies it at whatever
//! address it gets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use peerwalk_manifests::Cluster;
use peerwalk_netpol::{
    ClusterPeer, Decision, Direction, DirectionDecision, Flow, Peer, Pod, PolicyIndex, Profile, Protocol,
    RulePeer, Tier, Verdict, evaluate,
};

/// What is asked.
pub struct Question<'a> {
    /// Who connects.
    pub source: &'a Arc<Pod>,
    /// Who is connected to.
    pub destination: &'a Arc<Pod>,
    /// Transport protocol.
    pub protocol: Protocol,
    /// The port of the destination.
    pub port: u16,
    /// The Service's address that is connected to, with its port.
    pub service: Option<SocketAddr>,
}

/// Who answers.
pub struct Asked {
    pub index: PolicyIndex,
    /// The unspecified addresses of the families that pods have: where nobody has any, of IPv4.
    families: Vec<IpAddr>,
}

impl Asked {
    pub fn of(cluster: &Cluster) -> Self {
        let pods = cluster.workloads.iter().flat_map(|workload| &workload.pods);
        let known = pods.flat_map(|pod| pod.ips.iter().copied());
        let known = known.chain(cluster.pod_networks.iter().map(IpNet::addr));
        let known =
            known.chain(cluster.services.iter().flat_map(|service| service.addresses.iter().copied()));
        let mut families: Vec<IpAddr> = known.map(unspecified).collect();
        families.sort_unstable();
        families.dedup();
        if families.is_empty() {
            families.push(Ipv4Addr::UNSPECIFIED.into());
        }
        Self { index: cluster.index(), families }
    }

    /// The decision. Where an address is not known, it is the one by which most is allowed.
    pub fn ask(&self, question: &Question<'_>) -> Decision {
        let sources = self.stand_ins(Direction::Ingress, question.destination, question.source);
        let destinations = self.stand_ins(Direction::Egress, question.source, question.destination);
        let ask = |source: &Peer, destination: &Peer| {
            self.flow(&Flow {
                source: source.clone(),
                destination: destination.clone(),
                protocol: question.protocol,
                port: question.port,
                service: question.service,
            })
        };
        let first = ask(&sources.0, &destinations.0);
        let mut best = (rank(&first.egress), destinations.0);
        for destination in destinations.1 {
            let rank = rank(&ask(&sources.0, &destination).egress);
            if rank < best.0 {
                best = (rank, destination);
            }
        }
        let (_, destination) = best;
        let mut best = ask(&sources.0, &destination);
        for source in sources.1 {
            let decision = ask(&source, &destination);
            if rank(&decision.ingress) < rank(&best.ingress) {
                best = decision;
            }
        }
        best
    }

    /// The decision about a flow whose addresses are known.
    pub fn flow(&self, flow: &Flow) -> Decision {
        evaluate(&self.index, flow, &Profile::UPSTREAM)
    }

    /// A pod at its address, or where it has none, at one of each range of addresses that the policies of a pod of the
    /// other end do not tell apart.
    fn stand_ins(&self, way: Direction, subject: &Pod, pod: &Arc<Pod>) -> (Peer, Vec<Peer>) {
        if let Some(ip) = pod.ips.first() {
            return (Peer::pod(Arc::clone(pod), *ip), Vec::new());
        }
        let at = |ip| Peer::pod(Arc::new(Pod { ips: vec![ip], ..Pod::clone(pod) }), ip);
        let mut starts = self.families.clone();
        for network in networks(&self.index, way, subject) {
            if self.families.contains(&unspecified(network.addr())) {
                // A range begins where a network does, or behind one.
                starts.push(network.network());
                starts.extend(after(network.broadcast()));
            }
        }
        starts.sort_unstable();
        starts.dedup();
        let mut peers = starts.into_iter().map(at);
        (peers.next().unwrap_or_else(|| at(Ipv4Addr::UNSPECIFIED.into())), peers.collect())
    }
}

/// What is allowed comes first, then what is not certain.
fn rank(said: &DirectionDecision) -> (bool, bool) {
    (said.verdict == Verdict::Denied, said.caveats.is_empty())
}

fn unspecified(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

fn after(ip: IpAddr) -> Option<IpAddr> {
    match ip {
        IpAddr::V4(ip) => u32::from(ip).checked_add(1).map(|next| Ipv4Addr::from(next).into()),
        IpAddr::V6(ip) => u128::from(ip).checked_add(1).map(|next| Ipv6Addr::from(next).into()),
    }
}

/// The networks, blocks and exceptions of the policies that may select a pod.
fn networks(index: &PolicyIndex, way: Direction, subject: &Pod) -> Vec<IpNet> {
    let mut found = Vec::new();
    let policies = index.policies(&subject.namespace).iter();
    for policy in policies.filter(|policy| policy.subject.matches(&subject.labels)) {
        for peer in policy.rules(way).unwrap_or_default().iter().flat_map(|rule| &rule.peers) {
            if let RulePeer::IpBlock { cidr, except } = peer {
                found.push(*cidr);
                found.extend(except);
            }
        }
    }
    for policy in [Tier::Admin, Tier::Baseline].into_iter().flat_map(|tier| index.cluster_policies(tier)) {
        for peer in policy.rules(way).iter().flat_map(|rule| &rule.peers) {
            if let ClusterPeer::Networks(networks) = peer {
                found.extend(networks);
            }
        }
    }
    found
}
