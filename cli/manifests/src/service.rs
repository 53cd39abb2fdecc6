//! Services, and what stands behind them.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use peerwalk_model::Protocol;
use peerwalk_netpol::Pod;
use serde_json::Value;

use crate::cluster::{Endpoint, Service, ServicePort};
use crate::fields::Wrong;

/// A Service as it was read.
pub(crate) struct ReadService {
    pub service: Service,
    selector: BTreeMap<String, String>,
    /// By the places of its ports.
    targets: Vec<Target>,
}

/// `targetPort`.
enum Target {
    Number(u16),
    Name(String),
}

/// Reads a Service.
pub(crate) fn service(wrong: &mut Wrong, namespace: &str, name: &str, object: &Value) -> ReadService {
    let spec = &object["spec"];
    let headless = is_headless(spec);
    // Nothing translates to what stands behind these two.
    let translated = !headless && spec["type"] != "ExternalName";
    let mut service = Service {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        addresses: addresses(wrong, spec),
        headless,
        external: if translated { external(wrong, object) } else { Vec::new() },
        ports: Vec::new(),
        endpoints: Vec::new(),
    };
    let mut targets = Vec::new();
    for (index, port) in wrong.list(&spec["ports"], || "spec.ports".into()).iter().enumerate() {
        let at = |field: &str| format!("spec.ports[{index}].{field}");
        let name = wrong.text(&port["name"], || at("name")).unwrap_or_default().to_owned();
        let protocol = wrong.protocol(&port["protocol"], || at("protocol"));
        let number = wrong.port(&port["port"], || at("port"));
        if port["port"].is_null() {
            wrong.add(at("port"), "missing; use a number from 1 to 65535");
        }
        let (Some(protocol), Some(number)) = (protocol, number) else { continue };
        let target = match &port["targetPort"] {
            Value::String(name) => {
                Some(name.parse().map_or_else(|_| Target::Name(name.clone()), Target::Number))
            }
            Value::Null => Some(Target::Number(number)),
            // As the API server reads it: what is not given is 0.
            zero if *zero == 0 => Some(Target::Number(number)),
            given => wrong.port(given, || at("targetPort")).map(Target::Number),
        };
        let Some(target) = target else { continue };
        // As with `targetPort`, 0 is none.
        let given = if port["nodePort"] == 0 { &Value::Null } else { &port["nodePort"] };
        let node_port = wrong.port(given, || at("nodePort")).filter(|_| translated);
        service.ports.push(ServicePort { name, protocol, port: number, node_port });
        targets.push(target);
    }
    let selector = wrong.labels(&spec["selector"], || "spec.selector".into());
    let selector = if spec["type"] == "ExternalName" { BTreeMap::new() } else { selector };
    ReadService { service, selector, targets }
}

/// Whether a Service has no address of its own, as it says itself: one in a file mostly says nothing.
fn is_headless(spec: &Value) -> bool {
    spec["clusterIP"] == "None" || spec["clusterIPs"][0] == "None"
}

/// Addresses beside the Service's own at which every node takes connections for it.
fn external(wrong: &mut Wrong, object: &Value) -> Vec<IpAddr> {
    let mut found = Vec::new();
    let listed = wrong.list(&object["spec"]["externalIPs"], || "spec.externalIPs".into());
    for (index, ip) in listed.iter().enumerate() {
        found.extend(wrong.address(ip, || format!("spec.externalIPs[{index}]")));
    }
    let balancer = &object["status"]["loadBalancer"]["ingress"];
    let listed = wrong.list(balancer, || "status.loadBalancer.ingress".into());
    for (index, point) in listed.iter().enumerate() {
        found.extend(wrong.address(&point["ip"], || format!("status.loadBalancer.ingress[{index}].ip")));
    }
    found
}

fn addresses(wrong: &mut Wrong, spec: &Value) -> Vec<IpAddr> {
    let listed = wrong.list(&spec["clusterIPs"], || "spec.clusterIPs".into());
    let single = (spec["clusterIP"].clone(), "spec.clusterIP".to_owned());
    let mut given: Vec<(Value, String)> = listed
        .iter()
        .enumerate()
        .map(|(index, ip)| (ip.clone(), format!("spec.clusterIPs[{index}]")))
        .collect();
    if given.is_empty() {
        given.push(single);
    }
    given
        .iter()
        .filter(|(ip, _)| *ip != "None")
        .filter_map(|(ip, path)| wrong.address(ip, || path.clone()))
        .collect()
}

/// An EndpointSlice.
pub(crate) struct Slice {
    /// Its own namespace and name.
    pub named: (String, String),
    /// Namespace and name of its Service.
    pub of: (String, String),
    endpoints: Vec<SliceEndpoint>,
    ports: Vec<SlicePort>,
}

struct SliceEndpoint {
    addresses: Vec<IpAddr>,
    pod: Option<(String, String)>,
    ready: bool,
}

struct SlicePort {
    name: String,
    protocol: Protocol,
    /// None stands for every port.
    port: Option<u16>,
}

/// Reads an EndpointSlice; none where it is of no Service.
pub(crate) fn slice(wrong: &mut Wrong, namespace: &str, name: &str, object: &Value) -> Option<Slice> {
    let service = object["metadata"]["labels"]["kubernetes.io/service-name"].as_str()?;
    let mut slice = Slice {
        named: (namespace.to_owned(), name.to_owned()),
        of: (namespace.to_owned(), service.to_owned()),
        endpoints: Vec::new(),
        ports: Vec::new(),
    };
    // Names are nothing that a policy sees.
    if object["addressType"] == "FQDN" {
        return None;
    }
    for (index, endpoint) in wrong.list(&object["endpoints"], || "endpoints".into()).iter().enumerate() {
        let listed = wrong.list(&endpoint["addresses"], || format!("endpoints[{index}].addresses"));
        let mut addresses = Vec::new();
        for (place, address) in listed.iter().enumerate() {
            addresses.extend(wrong.address(address, || format!("endpoints[{index}].addresses[{place}]")));
        }
        let target = &endpoint["targetRef"];
        let pod = match (target["kind"].as_str(), target["name"].as_str()) {
            (Some("Pod"), Some(name)) => {
                Some((target["namespace"].as_str().unwrap_or(namespace).to_owned(), name.to_owned()))
            }
            _ => None,
        };
        let ready = endpoint["conditions"]["ready"].as_bool().unwrap_or(true);
        slice.endpoints.push(SliceEndpoint { addresses, pod, ready });
    }
    for (index, port) in wrong.list(&object["ports"], || "ports".into()).iter().enumerate() {
        let name = port["name"].as_str().unwrap_or_default().to_owned();
        let protocol = wrong.protocol(&port["protocol"], || format!("ports[{index}].protocol"));
        let number = wrong.port(&port["port"], || format!("ports[{index}].port"));
        if let Some(protocol) = protocol {
            slice.ports.push(SlicePort { name, protocol, port: number });
        }
    }
    Some(slice)
}

/// Pods by what leads to them.
pub(crate) struct Pods<'a> {
    /// Those of a namespace, and whether they are ready.
    pub by_namespace: HashMap<&'a str, Vec<(&'a Arc<Pod>, bool)>>,
    /// By namespace and name.
    pub by_name: HashMap<(&'a str, &'a str), &'a Arc<Pod>>,
    /// By address. One that runs is preferred.
    pub by_address: HashMap<IpAddr, &'a Arc<Pod>>,
}

impl ReadService {
    /// The Service with what stands behind it: what its slices say, or without any, its selector.
    pub(crate) fn resolved(self, slices: &[Slice], pods: &Pods<'_>) -> Service {
        let mut service = self.service.clone();
        service.endpoints = if slices.is_empty() { self.selected(pods) } else { self.sliced(slices, pods) };
        service
    }

    fn selected(&self, pods: &Pods<'_>) -> Vec<Endpoint> {
        let mut found = Vec::new();
        if self.selector.is_empty() {
            return found;
        }
        for (pod, ready) in pods.by_namespace.get(self.service.namespace.as_str()).into_iter().flatten() {
            let selected = self.selector.iter().all(|(key, value)| pod.labels.get(key) == Some(value));
            if !selected || pod.finished {
                continue;
            }
            for (port, target) in self.targets.iter().enumerate() {
                let protocol = self.service.ports.get(port).map(|port| port.protocol);
                let number = match target {
                    Target::Number(number) => Some(*number),
                    Target::Name(name) => pod
                        .named_ports
                        .iter()
                        .find(|port| {
                            port.name == *name && Some(port.protocol) == protocol && port.number != 0
                        })
                        .map(|port| port.number),
                };
                let Some(target_port) = number else { continue };
                let endpoint =
                    |ip| Endpoint { port, pod: Some(Arc::clone(pod)), ip, target_port, ready: *ready };
                if pod.ips.is_empty() {
                    found.push(endpoint(None));
                }
                found.extend(pod.ips.iter().map(|ip| endpoint(Some(*ip))));
            }
        }
        found
    }

    fn sliced(&self, slices: &[Slice], pods: &Pods<'_>) -> Vec<Endpoint> {
        let mut found = Vec::new();
        for slice in slices {
            for endpoint in &slice.endpoints {
                for (port, of) in self.service.ports.iter().enumerate() {
                    let listed =
                        slice.ports.iter().find(|port| port.name == of.name && port.protocol == of.protocol);
                    let Some(listed) = listed else { continue };
                    let target_port = listed.port.unwrap_or(of.port);
                    for ip in &endpoint.addresses {
                        let by_name = endpoint.pod.as_ref().and_then(|(namespace, name)| {
                            pods.by_name.get(&(namespace.as_str(), name.as_str()))
                        });
                        let pod = by_name.or_else(|| pods.by_address.get(ip)).map(|pod| Arc::clone(pod));
                        let ready = endpoint.ready;
                        found.push(Endpoint { port, pod, ip: Some(*ip), target_port, ready });
                    }
                }
            }
        }
        found
    }
}
