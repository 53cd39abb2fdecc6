//! Fields that a NetworkPolicy does not have. `kubectl apply` refuses them; a server that takes the object all the same
//! drops them, and the rule says less than was meant: mostly, it admits more.

use serde_json::Value;

use crate::fields::Wrong;

const SPEC: [&str; 4] = ["egress", "ingress", "podSelector", "policyTypes"];
const PEER: [&str; 3] = ["ipBlock", "namespaceSelector", "podSelector"];

/// A path, written only where it is needed.
type Path<'a> = &'a dyn Fn() -> String;

/// Tells of all of them.
pub(super) fn fields(wrong: &mut Wrong, spec: &Value) {
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
        let reason = format!("no such field, and nothing is read of it; use one of {}", known.join(", "));
        wrong.add(format!("{}.{name}", path()), reason);
    }
}
