//! Kinds of data planes' own that decide connections too, and that nothing here reads. While there are policies of
//! them, no answer of this crate is the last word.

/// The API group of the cluster's policies of Kubernetes itself.
pub const OF_KUBERNETES: &str = "policy.networking.k8s.io";

/// API groups of network plugins, and the kinds in them that decide whether a connection passes.
pub const KINDS: [(&str, &[&str]); 12] = [
    ("cilium.io", &["CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy"]),
    ("crd.projectcalico.org", &["NetworkPolicy", "GlobalNetworkPolicy"]),
    ("projectcalico.org", &["NetworkPolicy", "GlobalNetworkPolicy"]),
    ("crd.antrea.io", &["NetworkPolicy", "ClusterNetworkPolicy"]),
    ("security.antrea.tanzu.vmware.com", &["NetworkPolicy", "ClusterNetworkPolicy"]),
    // NSX, with and without VPC.
    ("crd.nsx.vmware.com", &["SecurityPolicy"]),
    ("nsx.vmware.com", &["SecurityPolicy"]),
    // A subnet may be private, and has ACLs.
    ("kubeovn.io", &["Subnet", "SecurityGroup"]),
    ("networking.gke.io", &["FQDNNetworkPolicy"]),
    ("network.openshift.io", &["EgressNetworkPolicy"]),
    ("networking.k8s.aws", &["ClusterNetworkPolicy", "ApplicationNetworkPolicy"]),
    ("k8s.ovn.org", &["EgressFirewall"]),
];
