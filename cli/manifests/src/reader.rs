//! From texts and objects to a cluster.

use std::collections::HashMap;

use ipnet::IpNet;
use peerwalk_netpol::{Namespace, Node, PolicyKind, PolicyRef};
use serde_json::Value;

use crate::assemble::{Stored, Template, assemble};
use crate::cluster::{Cluster, ObjectProblem, WorkloadName};
use crate::fields::{Wrong, shown};
use crate::service::{ReadService, Slice};
use crate::{pod, policy, replicas, service, text};

/// What hostile input may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one text.
    pub text: usize,
    /// Levels of nesting in a text.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { text: 256 * 1024 * 1024, depth: 64 }
    }
}

/// Takes objects, and gives the cluster that they make.
#[derive(Default)]
pub struct Reader {
    limits: Limits,
    cluster: Cluster,
    pub(crate) as_np_guard: bool,
    pub(crate) pods: Vec<Stored>,
    /// Places of pods by namespace and name. Of two, the last counts, as when they are applied in order.
    places: HashMap<(String, String), usize>,
    /// Names of pods by their uids.
    uids: HashMap<String, (String, String)>,
    pub(crate) templates: Vec<Template>,
    /// What controls a workload.
    pub(crate) owners: HashMap<WorkloadName, WorkloadName>,
    pub(crate) services: Vec<ReadService>,
    pub(crate) slices: Vec<Slice>,
}

/// The head of an object.
struct Head<'a> {
    source: &'a str,
    kind: &'a str,
    namespace: &'a str,
    name: &'a str,
    of_cluster: bool,
}

impl Reader {
    /// One that takes texts within these limits.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Groups pods as np-guard does: by the controller that they name alone, beside the templates of what controls those,
    /// and with pods that have finished among them.
    #[must_use]
    pub fn as_np_guard(self) -> Self {
        Self { as_np_guard: true, ..self }
    }

    /// Reads a text of any number of objects: YAML documents or JSON values, lists among them. What cannot be read of it
    /// is a problem of the cluster; the rest is read all the same.
    pub fn text(&mut self, source: &str, text: &[u8]) {
        for document in text::documents(text, self.limits) {
            let named =
                if document.line == 0 { source.to_owned() } else { format!("{source}:{}", document.line) };
            match document.value {
                Ok(value) => self.object(&named, &value),
                Err(reason) => self.problem(&named, None, "", reason),
            }
        }
    }

    /// Reads one object, as a server gives it or a text has it.
    pub fn object(&mut self, source: &str, object: &Value) {
        match object {
            Value::Null => {}
            Value::Array(items) => items.iter().for_each(|item| self.object(source, item)),
            Value::Object(_) => self.one(source, object, None),
            other => {
                self.problem(source, None, "", format!("{} is no object of Kubernetes", shown(other)));
            }
        }
    }

    /// The cluster of everything that was read.
    pub fn finish(mut self) -> Cluster {
        let mut cluster = std::mem::take(&mut self.cluster);
        assemble(self, &mut cluster);
        cluster
    }

    fn one(&mut self, source: &str, object: &Value, implied: Option<(&str, &str)>) {
        let (implied_version, implied_kind) = implied.unwrap_or_default();
        let kind = object["kind"].as_str().unwrap_or(implied_kind);
        let version = object["apiVersion"].as_str().unwrap_or(implied_version);
        if kind.is_empty() {
            // Folders hold other files too; each is told of once.
            let reason = "missing; nothing but objects of Kubernetes is read here".to_owned();
            let last = self.cluster.problems.last();
            if last.is_some_and(|last| last.source == source && last.reason == reason) {
                return;
            }
            return self.problem(source, None, "kind", reason);
        }
        if let (Some(of), Some(items)) = (kind.strip_suffix("List"), object["items"].as_array()) {
            for item in items {
                if item.is_object() {
                    self.one(source, item, Some((version, of)));
                } else {
                    self.object(source, item);
                }
            }
            return;
        }
        self.kind(source, version, kind, object);
    }

    /// Reads an object of a kind that matters; others are none of the engine's.
    fn kind(&mut self, source: &str, version: &str, kind: &str, object: &Value) {
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let of_cluster = policy::of_cluster(kind).is_some() || matches!(kind, "Namespace" | "Node");
        let mut wrong = Wrong::default();
        let metadata = &object["metadata"];
        let name = wrong.text(&metadata["name"], || "metadata.name".into());
        let name = name.or_else(|| metadata["generateName"].as_str()).unwrap_or_default();
        let namespace = wrong.text(&metadata["namespace"], || "metadata.namespace".into());
        let namespace = namespace.filter(|name| !name.is_empty()).unwrap_or("default");
        let head = Head { source, kind, namespace, name, of_cluster };
        if policy::is_foreign(group, kind) {
            // It may deny whatever is allowed, and comes before everything in some data planes.
            let any = PolicyRef::of_cluster(PolicyKind::ClusterNetworkPolicy, format!("({})", head.shown()));
            self.cluster.unreadable.push(any);
            let reason =
                "not evaluated: a kind of one data plane's own; answers that it may change are undecided";
            return self.problem(source, Some(head.shown()), "", reason.to_owned());
        }
        if (group, kind) == ("kustomize.config.k8s.io", "Kustomization") {
            let reason = "not built here, and the files beside it are read as they are; give what `kustomize build` \
                          prints, with -f -";
            return self.problem(source, Some(head.shown()), "", reason.to_owned());
        }
        if !fits(group, version, kind) {
            return;
        }
        if name.is_empty() && wrong.0.is_empty() {
            wrong.add("metadata.name", "missing; give it a name");
        }
        if wrong.0.is_empty() {
            self.named(&head, object, &mut wrong);
        }
        for (field, reason) in wrong.0 {
            self.problem(source, Some(head.shown()), &field, reason);
        }
    }

    fn named(&mut self, head: &Head<'_>, object: &Value, wrong: &mut Wrong) {
        let (namespace, name) = (head.namespace, head.name);
        match head.kind {
            "Pod" => {
                let mut read = pod::pod(wrong, namespace, name, object);
                // Who copies an object in a file copies its uid with it; the two are not one pod.
                if !read.pod.uid.is_empty() {
                    let named = (namespace.to_owned(), name.to_owned());
                    if *self.uids.entry(read.pod.uid.clone()).or_insert_with(|| named.clone()) != named {
                        read.pod.uid.clear();
                    }
                }
                self.pod(Stored { pod: read.pod.into(), owner: read.owner, ready: read.ready });
            }
            "Namespace" => {
                let labels = wrong.labels(&object["metadata"]["labels"], || "metadata.labels".into());
                self.cluster.namespaces.push(Namespace { name: name.to_owned(), labels });
            }
            "Node" => self.node(name, object, wrong),
            "Service" => self.services.push(service::service(wrong, namespace, name, object)),
            "EndpointSlice" => self.slices.extend(service::slice(wrong, namespace, object)),
            "NetworkPolicy" => {
                let reference = PolicyRef::network_policy(namespace, name);
                match policy::network_policy(wrong, namespace, name, object) {
                    Some(policy) => self.cluster.policies.push(policy.into()),
                    None => self.cluster.unreadable.push(reference.clone()),
                }
                self.cluster.origins.insert(reference, head.source.to_owned());
            }
            "CronJob" => {
                self.template(
                    head,
                    object,
                    &object["spec"]["jobTemplate"]["spec"],
                    "spec.jobTemplate.spec.",
                    wrong,
                );
            }
            kind => match policy::of_cluster(kind) {
                Some(kind) => {
                    let reference = PolicyRef::of_cluster(kind, name);
                    match policy::cluster_policy(wrong, kind, object) {
                        Some(policy) => self.cluster.cluster_policies.push(policy.into()),
                        None => self.cluster.unreadable.push(reference.clone()),
                    }
                    self.cluster.origins.insert(reference, head.source.to_owned());
                }
                None => self.template(head, object, &object["spec"], "spec.", wrong),
            },
        }
    }

    fn pod(&mut self, stored: Stored) {
        let place = (stored.pod.namespace.clone(), stored.pod.name.clone());
        if let Some(known) = self.places.get(&place).and_then(|place| self.pods.get_mut(*place)) {
            *known = stored;
            return;
        }
        self.places.insert(place, self.pods.len());
        self.pods.push(stored);
    }

    /// A workload, of which its template says what its pods are like.
    fn template(&mut self, head: &Head<'_>, object: &Value, spec: &Value, path: &str, wrong: &mut Wrong) {
        let name = head.workload();
        if let Some(owner) = pod::controller(&object["metadata"], head.namespace, false) {
            self.owners.insert(name.clone(), owner);
        }
        let mut pod = pod::templated(wrong, &format!("{path}template."), &spec["template"]);
        pod.namespace.clone_from(&name.namespace);
        pod.name.clone_from(&name.name);
        // Pods of different workloads may have one name here.
        pod.uid = format!("{}/{}/{}", name.namespace, name.kind, name.name);
        let several = replicas::are_several(head.kind, object);
        self.templates.push(Template { name, pod: pod.into(), several });
    }

    fn node(&mut self, name: &str, object: &Value, wrong: &mut Wrong) {
        let labels = wrong.labels(&object["metadata"]["labels"], || "metadata.labels".into());
        let listed = wrong.list(&object["status"]["addresses"], || "status.addresses".into());
        // Names of hosts are among them.
        let addresses = listed.iter().filter_map(|item| item["address"].as_str()?.parse().ok()).collect();
        let node = Node { name: name.to_owned(), labels, addresses };
        self.cluster.nodes.push(node.into());
        let ranges = wrong.list(&object["spec"]["podCIDRs"], || "spec.podCIDRs".into());
        self.cluster
            .pod_networks
            .extend(ranges.iter().filter_map(|range| range.as_str()?.parse::<IpNet>().ok()));
    }

    fn problem(&mut self, source: &str, object: Option<String>, field: &str, reason: String) {
        let (source, field) = (source.to_owned(), field.to_owned());
        self.cluster.problems.push(ObjectProblem { source, object, field, reason });
    }
}

impl Head<'_> {
    /// `NetworkPolicy shop/web`.
    fn shown(&self) -> String {
        match (self.name, self.of_cluster) {
            ("", _) => format!("{} of {}", self.kind, self.source),
            (name, true) => format!("{} {name}", self.kind),
            (name, false) => format!("{} {}/{name}", self.kind, self.namespace),
        }
    }

    fn workload(&self) -> WorkloadName {
        WorkloadName {
            namespace: self.namespace.to_owned(),
            name: self.name.to_owned(),
            kind: self.kind.to_owned(),
        }
    }
}

/// Whether this is one of the kinds that are read: others have the same names. Of an object within a list, the list may
/// say it alone; one that says nothing is taken for what its kind is called.
fn fits(group: &str, version: &str, kind: &str) -> bool {
    let expected: &[&str] = match kind {
        "Pod" | "Namespace" | "Node" | "Service" | "ReplicationController" => &[""],
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" => &["apps", "extensions"],
        "Job" | "CronJob" => &["batch"],
        "EndpointSlice" => &["discovery.k8s.io"],
        "NetworkPolicy" => &["networking.k8s.io", "extensions"],
        _ if policy::of_cluster(kind).is_some() => &["policy.networking.k8s.io"],
        _ => return false,
    };
    (group.is_empty() && version.is_empty()) || expected.contains(&group)
}

/// For `Debug` of a half-read cluster.
impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("limits", &self.limits)
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}
