//! Reads a folder of manifests as np-guard does.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use k8s_openapi::api::networking::v1::NetworkPolicy;
use peerwalk_netpol::{ClusterPolicy, NamedPort, Namespace, Pod, Policy, Protocol, lower};
use serde_json::Value;

/// What a folder describes.
#[derive(Default)]
pub struct Manifests {
    pub namespaces: Vec<Namespace>,
    pub policies: Vec<Arc<Policy>>,
    /// One pod for each owner, by the owner's name as np-guard prints it.
    pub workloads: BTreeMap<String, Arc<Pod>>,
    pub of_cluster: Vec<Arc<ClusterPolicy>>,
}

impl Manifests {
    pub fn read(folder: &Path) -> Self {
        let mut manifests = Self::default();
        for file in files(folder) {
            let text = fs::read_to_string(&file).expect("a manifest is readable");
            let documents: Vec<Value> = serde_saphyr::from_multiple(&text)
                .unwrap_or_else(|error| panic!("{} should be YAML: {error}", file.display()));
            for document in documents {
                manifests.add(document);
            }
        }
        manifests
    }

    fn add(&mut self, mut object: Value) {
        let kind = object["kind"].as_str().unwrap_or_default().to_owned();
        match kind.as_str() {
            "NetworkPolicy" => {
                let policy: NetworkPolicy = serde_json::from_value(object).expect("a NetworkPolicy decodes");
                let policy = lower::network_policy(&policy).expect("np-guard's policies are valid");
                self.policies.push(Arc::new(policy));
            }
            "AdminNetworkPolicy" | "BaselineAdminNetworkPolicy" => {
                let lowered = match kind.as_str() {
                    "AdminNetworkPolicy" => lower::admin_network_policy(&object),
                    _ => lower::baseline_admin_network_policy(&object),
                };
                self.of_cluster.push(Arc::new(lowered.expect("np-guard's policies are valid")));
            }
            "Namespace" => self.namespaces.push(Namespace {
                name: text(&object["metadata"]["name"]),
                labels: labels(&object["metadata"]["labels"]),
            }),
            "Pod" => {
                let owner = owner(&object["metadata"]);
                self.add_workload(owner, &object["metadata"], &object["spec"], &object["metadata"]);
            }
            "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" | "Job" | "ReplicationController" => {
                let template = &object["spec"]["template"];
                self.add_template(&kind, &object["metadata"], template);
            }
            "CronJob" => {
                let template = &object["spec"]["jobTemplate"]["spec"]["template"];
                self.add_template(&kind, &object["metadata"], template);
            }
            _ if kind.ends_with("List") => {
                let item_kind = kind.trim_end_matches("List").to_owned();
                for mut item in object["items"].as_array_mut().map(std::mem::take).unwrap_or_default() {
                    if item["kind"].is_null() {
                        item["kind"] = item_kind.clone().into();
                    }
                    self.add(item);
                }
            }
            _ => {}
        }
    }

    fn add_template(&mut self, kind: &str, metadata: &Value, template: &Value) {
        let owner = format!("{}/{}[{kind}]", namespace(metadata), text(&metadata["name"]));
        self.add_workload(owner, metadata, &template["spec"], &template["metadata"]);
    }

    fn add_workload(&mut self, owner: String, metadata: &Value, spec: &Value, labelled: &Value) {
        let pod = Pod {
            namespace: namespace(metadata),
            name: text(&metadata["name"]),
            labels: labels(&labelled["labels"]),
            ips: vec![Ipv4Addr::UNSPECIFIED.into()],
            host_network: spec["hostNetwork"].as_bool().unwrap_or_default(),
            named_ports: named_ports(spec),
            ..Pod::default()
        };
        self.workloads.entry(owner).or_insert_with(|| Arc::new(pod));
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder is readable") {
        let path = entry.expect("an entry is readable").path();
        let extension = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(files(&path));
        } else if ["yaml", "yml", "json"].contains(&extension.as_str()) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn namespace(metadata: &Value) -> String {
    metadata["namespace"].as_str().filter(|name| !name.is_empty()).unwrap_or("default").to_owned()
}

fn labels(value: &Value) -> BTreeMap<String, String> {
    let labels = value.as_object().into_iter().flatten();
    labels.map(|(key, value)| (key.clone(), text(value))).collect()
}

/// The controlling owner other than a node, else the pod itself.
fn owner(metadata: &Value) -> String {
    let owners = metadata["ownerReferences"].as_array().into_iter().flatten();
    let controller = owners.into_iter().find(|owner| owner["controller"] == true && owner["kind"] != "Node");
    let (name, kind) = match controller {
        Some(owner) => (&owner["name"], owner["kind"].as_str().unwrap_or("Pod")),
        None => (&metadata["name"], "Pod"),
    };
    format!("{}/{}[{kind}]", namespace(metadata), text(name))
}

/// np-guard takes the first port of a name among the regular containers.
fn named_ports(spec: &Value) -> Vec<NamedPort> {
    let mut ports: Vec<NamedPort> = Vec::new();
    let containers = spec["containers"].as_array().into_iter().flatten();
    for port in containers.flat_map(|container| container["ports"].as_array().into_iter().flatten()) {
        let Some(name) = port["name"].as_str() else { continue };
        if ports.iter().any(|known| known.name == name) {
            continue;
        }
        let protocol = match port["protocol"].as_str() {
            Some("UDP") => Protocol::Udp,
            Some("SCTP") => Protocol::Sctp,
            _ => Protocol::Tcp,
        };
        let number = port["containerPort"].as_u64().and_then(|number| number.try_into().ok()).unwrap_or(0);
        ports.push(NamedPort { name: name.to_owned(), protocol, number, init: false });
    }
    ports
}
