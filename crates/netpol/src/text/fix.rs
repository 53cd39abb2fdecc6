//! How fixes read, and how rules are written in policies.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter};

use peerwalk_model::Direction;

use crate::admit::{AdmittingPeer, AdmittingRule, Fix};
use crate::selector::{Operator, Requirement};

impl Display for Fix {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add(rule) if rule.isolates => {
                write!(f, "{rule} (it isolates every pod that it selects: everything else is denied then)")
            }
            Self::Add(rule) => write!(f, "{rule}"),
            Self::Change { direction, rule } => write!(
                f,
                "no NetworkPolicy can admit it for {direction}: {rule} denies it and would have to change"
            ),
        }
    }
}

impl Display for AdmittingRule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let way = match self.direction {
            Direction::Egress => "to",
            Direction::Ingress => "from",
        };
        write!(f, "{} {way} {}, port {}/{}", self.direction, self.peer, self.port, self.protocol)
    }
}

impl AdmittingRule {
    /// The rule as one item of `spec.ingress` or `spec.egress` of a `NetworkPolicy` of its namespace: JSON in one line,
    /// which is YAML as well. Prints as
    /// `{"to":[{"ipBlock":{"cidr":"192.0.2.7/32"}}],"ports":[{"port":443,"protocol":"TCP"}]}`.
    pub fn item(&self) -> impl Display {
        let way = match self.direction {
            Direction::Egress => "to",
            Direction::Ingress => "from",
        };
        let peer = match &self.peer {
            AdmittingPeer::IpBlock(cidr) => format!(r#""ipBlock":{{"cidr":"{cidr}"}}"#),
            AdmittingPeer::Pods { namespace, labels } => {
                let of = [("kubernetes.io/metadata.name".to_owned(), namespace.clone())].into();
                let pods =
                    if labels.is_empty() { String::new() } else { format!(",{}", selector("pod", labels)) };
                selector("namespace", &of) + &pods
            }
        };
        let (port, protocol) = (self.port, self.protocol);
        format!(r#"{{"{way}":[{{{peer}}}],"ports":[{{"port":{port},"protocol":"{protocol}"}}]}}"#)
    }

    /// Where the item goes, and the item. Prints as
    /// `in spec.egress of a NetworkPolicy of namespace shop: {"to":…}`.
    pub fn to_copy(&self) -> impl Display {
        let (namespace, direction) = (&self.namespace, self.direction);
        format!("in spec.{direction} of a NetworkPolicy of namespace {namespace}: {}", self.item())
    }

    /// The pods that it would select, as `spec.podSelector` of its policy, in the same form.
    pub fn pod_selector(&self) -> impl Display {
        // One value is as good as a label, unless there are others for it.
        let is_label = |requirement: &&Requirement| {
            let others = self.also.iter().filter(|other| other.key == requirement.key).count();
            requirement.operator == Operator::In && requirement.values.len() == 1 && others == 1
        };
        let (labels, expressions): (Vec<&Requirement>, Vec<&Requirement>) =
            self.also.iter().partition(is_label);
        let labels = labels.into_iter().filter_map(|label| Some((&label.key, label.values.first()?)));
        let labels: BTreeMap<&String, &String> = self.subject.iter().chain(labels).collect();
        let labels: Vec<String> =
            labels.into_iter().map(|(key, value)| format!(r#""{key}":"{value}""#)).collect();
        let mut parts = Vec::new();
        if !labels.is_empty() {
            parts.push(format!(r#""matchLabels":{{{}}}"#, labels.join(",")));
        }
        if !expressions.is_empty() {
            let expressions: Vec<String> = expressions.into_iter().map(expression).collect();
            parts.push(format!(r#""matchExpressions":[{}]"#, expressions.join(",")));
        }
        format!("{{{}}}", parts.join(","))
    }

    /// What to mind before it is added: whom it isolates, and where it is about more than was asked because the pod has no
    /// labels to be told by.
    pub fn cautions(&self) -> Vec<String> {
        let (namespace, direction) = (&self.namespace, self.direction);
        let mut cautions = Vec::new();
        if self.isolates {
            let pods = if self.subject.is_empty() {
                format!("all pods of namespace {namespace}")
            } else {
                format!("all pods of namespace {namespace} with {}", Labels(&self.subject))
            };
            cautions.push(format!(
                "it isolates {pods} for {direction}, those that no NetworkPolicy isolates so far as well: everything else \
                 in this direction ends with it"
            ));
        }
        if self.subject.is_empty() {
            let those = if self.also.is_empty() { "" } else { " that meet the rest of its selector" };
            cautions.push(format!(
                "the pod has no labels of its own to select it by: the policy is about all pods of namespace \
                 {namespace}{those}"
            ));
        }
        if let AdmittingPeer::Pods { namespace, labels } = &self.peer
            && labels.is_empty()
        {
            let admitted = match direction {
                Direction::Ingress => "may connect",
                Direction::Egress => "may be connected to",
            };
            cautions.push(format!(
                "the other pod has no labels of its own to select it by: all pods of namespace {namespace} {admitted}"
            ));
        }
        cautions
    }

    /// The rule as a `NetworkPolicy` that holds nothing else, in the same form.
    pub fn object(&self) -> impl Display {
        let way = match self.direction {
            Direction::Egress => ("egress", "Egress"),
            Direction::Ingress => ("ingress", "Ingress"),
        };
        let metadata = format!(r#"{{"name":"{}","namespace":"{}"}}"#, self.name(), self.namespace);
        let subject = self.pod_selector();
        let spec = format!(
            r#"{{"podSelector":{subject},"policyTypes":["{}"],"{}":[{}]}}"#,
            way.1,
            way.0,
            self.item()
        );
        format!(
            r#"{{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{metadata},"spec":{spec}}}"#
        )
    }

    /// A name for that object, such as `allow-ingress-shop-web-5432`.
    pub fn name(&self) -> String {
        let peer = match &self.peer {
            AdmittingPeer::IpBlock(cidr) => cidr.addr().to_string(),
            AdmittingPeer::Pods { namespace, labels } => {
                let values: Vec<&str> = labels.values().map(String::as_str).collect();
                format!("{namespace}-{}", values.join("-"))
            }
        };
        let text = format!("allow-{}-{peer}", self.direction).to_lowercase();
        let kept = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(200);
        format!("{}-{}", kept.collect::<String>().trim_end_matches('-'), self.port)
    }
}

/// An item of `matchExpressions`.
fn expression(requirement: &Requirement) -> String {
    let operator = match requirement.operator {
        Operator::In => "In",
        Operator::NotIn => "NotIn",
        Operator::Exists => "Exists",
        Operator::DoesNotExist => "DoesNotExist",
    };
    let values = |values: &BTreeSet<String>| {
        let quoted: Vec<String> = values.iter().map(|value| format!(r#""{value}""#)).collect();
        format!(r#","values":[{}]"#, quoted.join(","))
    };
    let values = if requirement.values.is_empty() { String::new() } else { values(&requirement.values) };
    format!(r#"{{"key":"{}","operator":"{operator}"{values}}}"#, requirement.key)
}

/// A selector. Keys and values of labels have nothing in them that JSON would escape.
fn selector(of: &str, labels: &BTreeMap<String, String>) -> String {
    let labels: Vec<String> = labels.iter().map(|(key, value)| format!(r#""{key}":"{value}""#)).collect();
    format!(r#""{of}Selector":{{"matchLabels":{{{}}}}}"#, labels.join(","))
}

impl Display for AdmittingPeer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pods { namespace, labels } if labels.is_empty() => {
                write!(f, "namespace {namespace}, all pods")
            }
            Self::Pods { namespace, labels } => {
                write!(f, "namespace {namespace}, pods {}", Labels(labels))
            }
            Self::IpBlock(cidr) => write!(f, "{cidr}"),
        }
    }
}

struct Labels<'a>(&'a BTreeMap<String, String>);

impl Display for Labels<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let labels: Vec<String> = self.0.iter().map(|(key, value)| format!("{key}={value}")).collect();
        f.write_str(&labels.join(","))
    }
}
