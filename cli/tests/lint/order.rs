//! Rules of the cluster's policies that earlier ones leave nothing to, and those whose order is not defined.

use peerwalk_cli::lint::Code;

use crate::words::{admin, baseline, found, pod};

const ALL: &str = "subject: {namespaces: {}}";

/// A rule of ingress.
fn rule(action: &str, from: &str, more: &str) -> String {
    format!("{{action: {action}, from: [{from}]{more}}}")
}

/// A rule of egress.
fn to(action: &str, to: &str, more: &str) -> String {
    format!("{{action: {action}, to: [{to}]{more}}}")
}

fn namespace(name: &str) -> String {
    format!("{{namespaces: {{matchLabels: {{kubernetes.io/metadata.name: {name}}}}}}}")
}

const EVERY: &str = "{namespaces: {}}";
const LATER: &str = "{serviceAccounts: {}}";

/// `second` is asked after `first`: whether its only rule is shadowed.
#[test]
fn a_rule_is_shadowed_where_earlier_ones_decide_for_sure() {
    let (shop, web) =
        (namespace("shop"), "{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}}");
    let both = format!("{EVERY}, {LATER}");
    let range = |from: u16, to: u16| {
        format!(", protocols: [{{tcp: {{destinationPort: {{range: {{start: {from}, end: {to}}}}}}}}}]")
    };
    let number = |port: u16| format!(", protocols: [{{tcp: {{destinationPort: {{number: {port}}}}}}}]");
    let names = "{domainNames: [example.com]}";
    let nodes = "{nodes: {}}";
    // First rule, second rule, and whether nothing is left to it.
    let ingress: Vec<(&str, String, String, bool)> = vec![
        ("Deny of all", rule("Deny", EVERY, ""), rule("Accept", &shop, ""), true),
        ("Pass of all", rule("Pass", EVERY, ""), rule("Accept", &shop, ""), true),
        ("the other way around", rule("Deny", &shop, ""), rule("Accept", EVERY, ""), false),
        ("by the pods that there are", rule("Deny", web, ""), rule("Accept", &shop, ""), true),
        ("Accept that fails closed", rule("Accept", &both, ""), rule("Accept", &shop, ""), false),
        (
            "Deny that fails closed, what is known of it",
            rule("Deny", &both, ""),
            rule("Accept", &shop, ""),
            true,
        ),
        ("Deny that fails closed, the rest", rule("Deny", LATER, ""), rule("Accept", &shop, ""), false),
        (
            "a Deny that fails closed is of everything",
            rule("Deny", EVERY, ""),
            rule("Deny", LATER, ""),
            false,
        ),
        (
            "an unknown port alike",
            rule("Deny", &shop, ""),
            rule("Deny", &shop, ", protocols: [{icmp: {}}]"),
            false,
        ),
        (
            "a range of ports",
            rule("Deny", EVERY, &range(1, 100)),
            rule("Accept", &shop, &range(80, 100)),
            true,
        ),
        (
            "beyond its end",
            rule("Deny", EVERY, &range(1, 100)),
            rule("Accept", &shop, &range(80, 101)),
            false,
        ),
        ("all ports", rule("Deny", EVERY, &number(80)), rule("Accept", &shop, ""), false),
    ];
    let egress: Vec<(&str, String, String, bool)> = vec![
        ("names", to("Accept", names, ""), to("Accept", names, ""), false),
        ("nodes", to("Deny", nodes, ""), to("Accept", nodes, ""), false),
        (
            "two halves of a network",
            to("Deny", "{networks: [10.0.0.0/9, 10.128.0.0/9]}", ""),
            to("Accept", "{networks: [10.0.0.0/8]}", ""),
            true,
        ),
        ("networks hold pods", to("Deny", "{networks: [10.0.0.0/8]}", ""), to("Accept", EVERY, ""), true),
        ("not all of them", to("Deny", "{networks: [10.0.0.1/32]}", ""), to("Accept", EVERY, ""), false),
        (
            "one half of it",
            to("Deny", "{networks: [10.0.0.0/9]}", ""),
            to("Accept", "{networks: [10.0.0.0/8]}", ""),
            false,
        ),
    ];
    let pods = pod("shop", "web", "10.0.0.1", "") + &pod("ledger", "pg", "10.0.0.2", "");
    let rows =
        ingress.into_iter().map(|row| ("ingress", row)).chain(egress.into_iter().map(|row| ("egress", row)));
    for (way, (case, first, second, shadowed)) in rows {
        let second = admin("second", 2, &format!("{ALL}, {way}: [{second}]"));
        let text = format!("{pods}{}{second}", admin("first", 1, &format!("{ALL}, {way}: [{first}]")));
        let expected = if shadowed {
            vec![format!("warning ClusterNetworkPolicy second spec.{way}[0]")]
        } else {
            vec![]
        };
        assert_eq!(found(&text, Code::Shadowed), expected, "{case}");
    }
}

#[test]
fn what_admin_policies_decide_comes_to_no_baseline() {
    let (pods, deny) =
        (pod("shop", "web", "10.0.0.1", ""), format!("{ALL}, ingress: [{}]", rule("Deny", EVERY, "")));
    let pass = format!("{ALL}, ingress: [{}]", rule("Pass", EVERY, ""));
    let base = baseline("base", &format!("{ALL}, ingress: [{}]", rule("Accept", EVERY, "")));
    for (case, first, shadowed) in [
        ("Deny", admin("a", 900, &deny), true),
        ("Pass", admin("a", 900, &pass), false),
        ("Deny behind a Pass", admin("a", 1, &pass) + &admin("b", 2, &deny), false),
    ] {
        let found = found(&format!("{pods}{first}{base}"), Code::Shadowed);
        let of_base = found.iter().any(|line| line.contains("base"));
        assert_eq!(of_base, shadowed, "{case}: {found:?}");
    }
}

#[test]
fn subjects_of_namespaces_that_were_not_given_shadow_nothing() {
    let deny = format!("ingress: [{}]", rule("Deny", EVERY, ""));
    let pods = pod("shop", "web", "", "") + &pod("ledger", "pg", "", "");
    let labelled = "{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: a}}}\n---\n";
    let text = |first: &str| {
        let policies = admin("a", 1, &format!("subject: {{namespaces: {first}}}, {deny}"));
        let second = "{matchExpressions: [{key: team, operator: Exists}]}";
        format!(
            "{pods}{labelled}{policies}{}",
            admin("b", 2, &format!("subject: {{namespaces: {second}}}, {deny}"))
        )
    };
    let by_name = text("{matchLabels: {kubernetes.io/metadata.name: shop}}");
    assert_eq!(found(&by_name, Code::Shadowed), Vec::<String>::new(), "ledger may have the label too");
    let given = by_name + "{apiVersion: v1, kind: Namespace, metadata: {name: ledger}}\n";
    assert_eq!(found(&given, Code::Shadowed), ["warning ClusterNetworkPolicy b spec.ingress[0]"]);
}

#[test]
fn one_priority_matters_where_policies_disagree() {
    let (shop, ledger) = (namespace("shop"), namespace("ledger"));
    let port = |port: u16| format!(", protocols: [{{tcp: {{destinationPort: {{number: {port}}}}}}}]");
    let of = |rules: &str| format!("{ALL}, ingress: [{rules}]");
    let deny = of(&rule("Deny", &shop, ""));
    let egress = format!("{ALL}, egress: [{}]", to("Accept", EVERY, ""));
    let pods = pod("shop", "web", "10.0.0.1", "") + &pod("ledger", "pg", "10.0.0.2", "");
    let anp = |rules: &str| {
        format!(
            "{{apiVersion: policy.networking.k8s.io/v1alpha1, kind: AdminNetworkPolicy, metadata: {{name: other}}, spec: \
             {{priority: 7, {rules}}}}}"
        )
    };
    for (case, first, second, told) in [
        ("Deny and Accept", deny.clone(), admin("b", 7, &of(&rule("Accept", EVERY, ""))), 1),
        ("Deny and Pass", deny.clone(), admin("b", 7, &of(&rule("Pass", EVERY, ""))), 1),
        ("Deny and Deny", deny.clone(), admin("b", 7, &of(&rule("Deny", EVERY, ""))), 0),
        ("of others", deny.clone(), admin("b", 7, &of(&rule("Accept", &ledger, ""))), 0),
        (
            "other ports",
            of(&rule("Deny", &shop, &port(80))),
            admin("b", 7, &of(&rule("Accept", &shop, &port(81)))),
            0,
        ),
        ("another direction", deny.clone(), admin("b", 7, &egress), 0),
        ("no rules", deny.clone(), admin("b", 7, ALL), 0),
        ("another priority", deny.clone(), admin("b", 8, &of(&rule("Accept", EVERY, ""))), 0),
        ("AdminNetworkPolicy", deny, anp(&of(&rule("Allow", EVERY, ""))), 1),
    ] {
        let text = format!("{pods}{}{second}", admin("a", 7, &first));
        assert_eq!(found(&text, Code::EqualPriority).len(), told, "{case}");
    }
}

#[test]
fn rules_that_fail_closed_are_told() {
    let text = format!(
        "{}{}",
        pod("shop", "web", "", ""),
        admin(
            "a",
            1,
            &format!(
                "{ALL}, ingress: [{}, {}]",
                rule("Accept", &format!("{EVERY}, {LATER}"), ""),
                rule("Deny", EVERY, ", protocols: [{icmp: {}}]")
            )
        )
    );
    let expected = [
        "warning ClusterNetworkPolicy a spec.ingress[0].from[1]",
        "warning ClusterNetworkPolicy a spec.ingress[1].protocols[0]",
    ];
    assert_eq!(found(&text, Code::UnknownField), expected);
}
