//! Inputs and findings in short, for tables.

use peerwalk_cli::lint::{Code, Finding, Severity, findings};
use peerwalk_manifests::{Limits, Reader};

use crate::given;

/// A pod with an address or without one (`""`), and its ports as they are written in YAML.
pub fn pod(namespace: &str, name: &str, ip: &str, ports: &str) -> String {
    let status = if ip.is_empty() { String::new() } else { format!(", status: {{podIPs: [{{ip: {ip}}}]}}") };
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: {namespace}, labels: {{app: {name}}}}}, \
         spec: {{containers: [{{ports: [{ports}]}}]}}{status}}}\n---\n"
    )
}

/// The same on the network of its node.
pub fn on_host(namespace: &str, name: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: {namespace}, labels: {{app: {name}}}}}, \
         spec: {{hostNetwork: true}}}}\n---\n"
    )
}

/// A NetworkPolicy of the namespace `shop`.
pub fn policy(name: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: {name}, namespace: shop}}, spec: \
         {spec}}}\n---\n"
    )
}

/// A ClusterNetworkPolicy of the tier `Admin`.
pub fn admin(name: &str, priority: u16, rest: &str) -> String {
    format!(
        "{{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {{name: {name}}}, spec: \
         {{tier: Admin, priority: {priority}, {rest}}}}}\n---\n"
    )
}

/// One of the tier `Baseline`.
pub fn baseline(name: &str, rest: &str) -> String {
    admin(name, 5, rest).replace("tier: Admin", "tier: Baseline")
}

/// Any text, problems and all.
pub fn told(text: &str) -> Vec<Finding> {
    let mut reader = Reader::new(Limits::default());
    reader.text("text", text.as_bytes());
    findings(&reader.finish())
}

/// What is found of one sort in a text that has no problems, as `warning NetworkPolicy shop/web spec.egress`.
pub fn found(text: &str, code: Code) -> Vec<String> {
    let all = findings(&given::of(text)).into_iter().filter(|finding| finding.code == code);
    all.map(|finding| short(&finding)).collect()
}

pub fn short(finding: &Finding) -> String {
    let severity = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    format!("{severity} {} {}", finding.object, finding.field)
}

/// The whole of what is found of one sort.
pub fn whole(text: &str, code: Code) -> Vec<Finding> {
    findings(&given::of(text)).into_iter().filter(|finding| finding.code == code).collect()
}
