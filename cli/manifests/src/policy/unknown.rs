//! Fields that a NetworkPolicy does not have. `kubectl apply` refuses the object; a server that is asked to take it all the
//! same drops them, and the rule says less than was meant: mostly, it admits more.

use serde_json::Value;

use crate::fields::Wrong;

/// `status` means nothing, and servers before 1.28 had it.
const OBJECT: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];
const SPEC: [&str; 4] = ["egress", "ingress", "podSelector", "policyTypes"];
const PEER: [&str; 3] = ["ipBlock", "namespaceSelector", "podSelector"];

/// A path, written only where it is needed.
type Path<'a> = &'a dyn Fn() -> String;

/// Tells of all of them, but for those of the metadata.
pub(super) fn fields(wrong: &mut Wrong, object: &Value) {
    only(wrong, object, &String::new, &OBJECT);
    let spec = &object["spec"];
    only(wrong, spec, &|| "spec".to_owned(), &SPEC);
    selector(wrong, &spec["podSelector"], &|| "spec.podSelector".to_owned());
    for (way, peers) in [("ingress", "from"), ("egress", "to")] {
        for (index, rule) in items(&spec[way]) {
            let path = || format!("spec.{way}[{index}]");
            only(wrong, rule, &path, &[peers, "ports"]);
            for (item, peer) in items(&rule[peers]) {
                let path = || format!("{}.{peers}[{item}]", path());
                only(wrong, peer, &path, &PEER);
                only(wrong, &peer["ipBlock"], &|| format!("{}.ipBlock", path()), &["cidr", "except"]);
                for field in ["podSelector", "namespaceSelector"] {
                    selector(wrong, &peer[field], &|| format!("{}.{field}", path()));
                }
            }
            for (item, port) in items(&rule["ports"]) {
                only(wrong, port, &|| format!("{}.ports[{item}]", path()), &["endPort", "port", "protocol"]);
            }
        }
    }
}

fn selector(wrong: &mut Wrong, value: &Value, path: Path<'_>) {
    only(wrong, value, path, &["matchExpressions", "matchLabels"]);
    for (index, expression) in items(&value["matchExpressions"]) {
        let path = || format!("{}.matchExpressions[{index}]", path());
        only(wrong, expression, &path, &["key", "operator", "values"]);
    }
}

fn items(list: &Value) -> impl Iterator<Item = (usize, &Value)> {
    list.as_array().into_iter().flatten().enumerate()
}

fn only(wrong: &mut Wrong, value: &Value, path: Path<'_>, known: &[&str]) {
    let Value::Object(fields) = value else { return };
    for name in fields.keys().filter(|name| !known.contains(&name.as_str())) {
        let path = path();
        let field = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        wrong.add(
            field,
            format!("no such field; correct its name to one of {}, or remove it", known.join(", ")),
        );
    }
}
