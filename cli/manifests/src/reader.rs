//! From texts and objects to a cluster.

use std::collections::HashMap;

use ipnet::IpNet;
use peerwalk_netpol::{Namespace, Node, PolicyRef};
use serde_json::Value;

use crate::assemble::{Stored, Template, assemble};
use crate::cluster::{Cluster, Effect, ObjectProblem, WorkloadName};
use crate::fields::{Wrong, shown};
use crate::head::{self, Head};
use crate::seen::{Seen, last};
use crate::service::{ReadService, Slice};
use crate::text::Unread;
use crate::{name, pod, policy, service, text};

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
    seen: Seen,
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
                Ok(value @ (Value::Null | Value::Array(_) | Value::Object(_))) => self.object(&named, &value),
                Ok(other) => {
                    self.unknown(&named, "", format!("{} is no object of Kubernetes", shown(&other)));
                }
                Err(Unread { reason, may_be_policy: true }) => self.unknown(&named, "", reason),
                Err(Unread { reason, .. }) => {
                    self.cluster.objects += 1;
                    self.problem(&named, None, "", reason, Effect::Refused);
                }
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
                let reason = format!("{} is no object of Kubernetes", shown(other));
                self.problem(source, None, "", reason, Effect::Other);
            }
        }
    }

    /// How many objects were read so far, of whatever kind, with those that could not be read.
    pub fn objects(&self) -> usize {
        self.cluster.objects
    }

    /// The cluster of everything that was read.
    pub fn finish(mut self) -> Cluster {
        let mut cluster = std::mem::take(&mut self.cluster);
        last(&mut cluster.unreadable, PolicyRef::clone);
        self.seen.keep_last(&mut cluster);
        if self.seen.several {
            last(&mut self.services, |read| (read.service.namespace.clone(), read.service.name.clone()));
            last(&mut self.slices, |slice| slice.named.clone());
            last(&mut self.templates, |template| template.name.clone());
        }
        assemble(self, &mut cluster);
        cluster
    }

    fn one(&mut self, source: &str, object: &Value, implied: Option<(&str, &str)>) {
        let (implied_version, implied_kind) = implied.unwrap_or_default();
        let kind = match &object["kind"] {
            Value::Null => implied_kind,
            Value::String(kind) => kind,
            other => {
                return self.unknown(source, "kind", format!("{} is no kind; write a name", shown(other)));
            }
        };
        let version = object["apiVersion"].as_str().unwrap_or(implied_version);
        if kind.is_empty() {
            let reason = "missing; nothing but objects of Kubernetes is read here".to_owned();
            if !version.is_empty() || object["metadata"].is_object() {
                return self.unknown(source, "kind", reason);
            }
            // Folders hold other files too; each is told of once.
            let last = self.cluster.problems.last();
            if last.is_some_and(|last| last.source == source && last.reason == reason) {
                return;
            }
            return self.problem(source, None, "kind", reason, Effect::Other);
        }
        // As where it is encrypted, or a template has not filled it in.
        if !kind.chars().all(|letter| letter.is_ascii_alphanumeric()) && head::policy(version, kind).is_none()
        {
            return self.unknown(source, "kind", format!("{kind:?} is no kind; write what it is to be"));
        }
        if let (Some(of), items @ (Value::Array(_) | Value::Null)) = (head::listed(kind), &object["items"]) {
            for item in items.as_array().into_iter().flatten() {
                if item.is_object() {
                    self.one(source, item, Some((version, of)));
                } else {
                    self.object(source, item);
                }
            }
            return;
        }
        self.cluster.objects += 1;
        self.kind(source, version, kind, object);
    }

    /// Reads an object of a kind that matters; others are none of the engine's.
    fn kind(&mut self, source: &str, version: &str, kind: &str, object: &Value) {
        let policy = head::policy(version, kind);
        let of_cluster = match &policy {
            Some(head::Policy::Ours(kind) | head::Policy::Meant(kind, ..)) => policy::is_of_cluster(*kind),
            _ => matches!(kind, "Namespace" | "Node"),
        };
        let mut wrong = Wrong::default();
        let metadata = &object["metadata"];
        let own = wrong.text(&metadata["name"], || "metadata.name".into()).filter(|name| !name.is_empty());
        let name = own.or_else(|| metadata["generateName"].as_str()).unwrap_or_default();
        let namespace = wrong.text(&metadata["namespace"], || "metadata.namespace".into());
        let namespace = namespace.filter(|name| !name.is_empty()).unwrap_or("default");
        let head = Head { source, kind, namespace, name, of_cluster };
        match &policy {
            Some(head::Policy::Foreign) => {
                // It may deny whatever is allowed, and comes before everything in some data planes.
                self.unreadable(head::any(&head.shown()), source);
                let reason =
                    "not evaluated: a kind of one data plane's own; answers that it may change are undecided";
                return self.problem(source, Some(head.shown()), "", reason.to_owned(), Effect::NotEvaluated);
            }
            Some(head::Policy::Meant(_, field, reason)) => wrong.add(*field, reason.as_str()),
            // np-guard asks for no names.
            Some(head::Policy::Ours(_)) if !self.as_np_guard && !name.is_empty() => {
                let (field, holds) = match own {
                    Some(name) => ("metadata.name", name::is_subdomain(name)),
                    None => ("metadata.generateName", name::is_beginning(name)),
                };
                if !holds {
                    wrong.add(field, format!("{name:?} {}", name::REASON));
                }
            }
            None if (kind, version.split_once('/').map(|(group, _)| group))
                == ("Kustomization", Some("kustomize.config.k8s.io")) =>
            {
                let reason = "not built here, and the files beside it are read as they are; give what `kustomize build` \
                              prints, with -f -";
                return self.problem(source, Some(head.shown()), "", reason.to_owned(), Effect::NotEvaluated);
            }
            None if !head::fits(version, kind) => return,
            Some(head::Policy::Ours(_)) | None => {}
        }
        if name.is_empty() && wrong.0.is_empty() {
            wrong.add("metadata.name", "missing; give it a name");
        }
        if wrong.0.is_empty() {
            // Of a name that is only begun, the server makes another one each time.
            if let Some(place) = own.and_then(|_| self.seen.add(&head, object)) {
                let reason = format!(
                    "another one is in {place}; this one counts, the last, as with `kubectl apply`: remove one of them"
                );
                self.problem(source, Some(head.shown()), "", reason, Effect::Counts);
            }
            self.named(&head, object, &mut wrong);
        } else if let Some(head::Policy::Ours(meant) | head::Policy::Meant(meant, ..)) = policy {
            let is_placed = wrong.0.iter().all(|(field, _)| field != "metadata.namespace");
            self.cluster.unidentified |= name.is_empty() || !is_placed;
            self.unreadable(head::reference(meant, version, &head, is_placed), source);
        }
        for (field, reason) in wrong.0 {
            self.problem(source, Some(head.shown()), &field, reason, Effect::Refused);
        }
    }

    /// Takes in that a policy is there, or may be, and cannot be read.
    fn unreadable(&mut self, reference: PolicyRef, source: &str) {
        self.seen.policy(&reference, false);
        self.cluster.unreadable.push(reference.clone());
        self.cluster.origins.insert(reference, source.to_owned());
    }

    /// Takes in what cannot be read so far that anybody knew whether it is a policy.
    fn unknown(&mut self, source: &str, field: &str, reason: String) {
        self.cluster.objects += 1;
        self.cluster.unidentified = true;
        self.unreadable(head::any(&format!("what {source} holds")), source);
        self.problem(source, None, field, reason, Effect::Refused);
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
            "EndpointSlice" => self.slices.extend(service::slice(wrong, namespace, name, object)),
            "NetworkPolicy" => {
                let reference = PolicyRef::network_policy(namespace, name);
                match policy::network_policy(wrong, namespace, name, object) {
                    Some(policy) => {
                        self.seen.policy(&reference, true);
                        self.cluster.policies.push(policy.into());
                        self.cluster.origins.insert(reference, head.source.to_owned());
                    }
                    None => self.unreadable(reference, head.source),
                }
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
                        Some(policy) => {
                            self.seen.policy(&reference, true);
                            self.cluster.cluster_policies.push(policy.into());
                            self.cluster.origins.insert(reference, head.source.to_owned());
                        }
                        None => self.unreadable(reference, head.source),
                    }
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
        match pod::controller(&object["metadata"], head.namespace, false) {
            Some(owner) => drop(self.owners.insert(name.clone(), owner)),
            None => drop(self.owners.remove(&name)),
        }
        let mut pod = pod::templated(wrong, &format!("{path}template."), &spec["template"]);
        pod.namespace.clone_from(&name.namespace);
        pod.name.clone_from(&name.name);
        // Pods of different workloads may have one name here.
        pod.uid = format!("{}/{}/{}", name.namespace, name.kind, name.name);
        self.templates.push(Template { name, pod: pod.into() });
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

    fn problem(&mut self, source: &str, object: Option<String>, field: &str, reason: String, effect: Effect) {
        let (source, field) = (source.to_owned(), field.to_owned());
        self.cluster.problems.push(ObjectProblem { source, object, field, reason, effect });
    }
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
