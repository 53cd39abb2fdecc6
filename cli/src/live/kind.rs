//! The kinds that are read.

/// A kind, as the API server has it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// The API group; empty for the core.
    pub group: &'static str,
    pub version: &'static str,
    /// In the plural, as paths and roles have it.
    pub resource: &'static str,
    pub kind: &'static str,
    pub namespaced: bool,
    /// Only who owns whom is of interest.
    pub only_metadata: bool,
    /// Not every cluster serves it.
    pub optional: bool,
    /// What follows when it cannot be listed.
    pub without: &'static str,
}

const BASE: Kind = Kind {
    group: "",
    version: "v1",
    resource: "",
    kind: "",
    namespaced: true,
    only_metadata: false,
    optional: false,
    without: "",
};

const OF_CLUSTER: Kind = Kind {
    group: "policy.networking.k8s.io",
    version: "v1alpha1",
    namespaced: false,
    optional: true,
    without: "every answer that a policy which was not read could turn is undecided",
    ..BASE
};

/// In the order in which they are read.
pub(super) const KINDS: [Kind; 11] = [
    Kind {
        resource: "namespaces",
        kind: "Namespace",
        namespaced: false,
        without: "labels of namespaces are not known: policies that select by them are taken for unreadable",
        ..BASE
    },
    Kind {
        resource: "nodes",
        kind: "Node",
        namespaced: false,
        without: "nodes are known by the pods on them: the address of another one is taken for one outside the cluster",
        ..BASE
    },
    Kind {
        resource: "pods",
        kind: "Pod",
        without: "other pods are not known, and nothing is said of them",
        ..BASE
    },
    Kind {
        resource: "services",
        kind: "Service",
        without: "other Services are not known: name a workload, a pod or an address instead",
        ..BASE
    },
    Kind {
        group: "discovery.k8s.io",
        resource: "endpointslices",
        kind: "EndpointSlice",
        without: "what stands behind a Service is taken from its selector",
        ..BASE
    },
    Kind {
        group: "apps",
        resource: "replicasets",
        kind: "ReplicaSet",
        only_metadata: true,
        without: "Deployments are named by the names of their pods' ReplicaSets",
        ..BASE
    },
    Kind {
        group: "batch",
        resource: "jobs",
        kind: "Job",
        only_metadata: true,
        without: "pods of CronJobs are shown under their Jobs",
        ..BASE
    },
    Kind {
        group: "networking.k8s.io",
        resource: "networkpolicies",
        kind: "NetworkPolicy",
        without: "every answer that a policy which was not read could turn is undecided",
        ..BASE
    },
    Kind {
        version: "v1alpha2",
        resource: "clusternetworkpolicies",
        kind: "ClusterNetworkPolicy",
        ..OF_CLUSTER
    },
    Kind { resource: "adminnetworkpolicies", kind: "AdminNetworkPolicy", ..OF_CLUSTER },
    Kind { resource: "baselineadminnetworkpolicies", kind: "BaselineAdminNetworkPolicy", ..OF_CLUSTER },
];

impl Kind {
    /// The path of its objects, everywhere or in a namespace.
    pub fn path(&self, namespace: Option<&str>) -> String {
        let root = if self.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", self.group) };
        match namespace {
            Some(namespace) => format!("{root}/{}/namespaces/{namespace}/{}", self.version, self.resource),
            None => format!("{root}/{}/{}", self.version, self.resource),
        }
    }

    /// As `kubectl` names it without ambiguity: `networkpolicies.networking.k8s.io`.
    pub fn resource_name(&self) -> String {
        if self.group.is_empty() {
            self.resource.to_owned()
        } else {
            format!("{}.{}", self.resource, self.group)
        }
    }

    /// `apiVersion` of its objects, which a list says once.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
}
