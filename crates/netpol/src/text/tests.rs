//! How decisions read.

use crate::fixture::*;
use crate::flow::Flow;
use crate::policy::Policy;
use crate::selector::{Operator, Requirement, Selector};
use peerwalk_model::Direction;

/// A pod of shop, as a Deployment makes it, to a database in ledger.
fn web_to_postgres() -> Flow {
    let mut web = pod("shop", "web-7c9", "10.244.1.7");
    web.labels =
        [("app".to_owned(), "web".to_owned()), ("pod-template-hash".to_owned(), "7c9".to_owned())].into();
    flow(at(web), at(pod("ledger", "postgres-0", "10.244.1.8")))
}

#[test]
fn a_denial_names_the_policy_and_who_is_not_admitted() {
    let decision = decide([policy("ledger", "default-deny", Some(vec![]), None)], &web_to_postgres());
    assert_eq!(
        decision.to_string(),
        "ingress to ledger/postgres-0 is isolated by NetworkPolicy ledger/default-deny; \
         no rule admits shop/web-7c9 on port 5432/TCP"
    );
    assert_eq!(decision.denying(), Some(Direction::Ingress));
    let rules: Vec<String> = decision.admitting_rules().iter().map(ToString::to_string).collect();
    assert_eq!(
        rules,
        ["ingress from namespace shop, pods app=web, port 5432/TCP"],
        "labels of one replica are left out"
    );
}

#[test]
fn a_denial_on_both_sides_tells_both() {
    let policies = [
        policy("ledger", "default-deny", Some(vec![]), None),
        policy("shop", "default-deny", Some(vec![]), Some(vec![])),
    ];
    let decision = decide(policies, &web_to_postgres());
    assert_eq!(
        decision.to_string(),
        "egress of shop/web-7c9 is isolated by NetworkPolicy shop/default-deny; \
         no rule admits ledger/postgres-0 on port 5432/TCP; \
         ingress to ledger/postgres-0 is isolated by NetworkPolicy ledger/default-deny; \
         no rule admits shop/web-7c9 on port 5432/TCP"
    );
    assert_eq!(decision.denying(), Some(Direction::Egress), "the first on the way of a packet");
    assert_eq!(decision.admitting_rules().len(), 2, "both directions need a rule");
}

#[test]
fn an_allowed_flow_tells_who_admits() {
    let admits = rule([pods(Some("shop"), "web")], [tcp(5432)]);
    let decision = decide([policy("ledger", "allow-web", Some(vec![admits]), None)], &web_to_postgres());
    assert_eq!(
        decision.to_string(),
        "egress of shop/web-7c9 is not isolated by any NetworkPolicy; \
         ingress to ledger/postgres-0 is allowed by rule 1 of NetworkPolicy ledger/allow-web"
    );
}

#[test]
fn an_exempt_end_tells_why() {
    let decision = decide([], &flow(external("192.0.2.1"), at(pod("shop", "web", "10.244.1.7"))));
    assert_eq!(
        decision.sentence(Direction::Egress).to_string(),
        "egress of 192.0.2.1 is not subject to policies: it is not a pod"
    );
}

#[test]
fn many_policies_are_counted() {
    let names = ["a", "b", "c", "d", "e"];
    let policies =
        |count: usize| names[..count].iter().map(|name| policy("ledger", name, Some(vec![]), None));
    let sentence = |count| decide(policies(count), &web_to_postgres()).to_string();
    assert!(sentence(2).contains("by NetworkPolicy ledger/a and NetworkPolicy ledger/b;"), "{}", sentence(2));
    assert!(
        sentence(3).contains("by NetworkPolicy ledger/a, NetworkPolicy ledger/b and NetworkPolicy ledger/c;"),
        "{}",
        sentence(3)
    );
    assert!(sentence(5).contains("NetworkPolicy ledger/c and 2 more;"), "{}", sentence(5));
}

#[test]
fn nearest_misses_name_the_one_thing() {
    let table = [
        (
            rule([pods(Some("shop"), "web")], [tcp(80), named("db")]),
            "it lists only 80/TCP, db/TCP (the destination has no such port)",
        ),
        (rule([pods(Some("shop"), "api")], []), "the pod's labels do not meet app=api (it has app=web)"),
        (
            rule([pods(Some("store"), "web")], []),
            "namespace shop does not meet kubernetes.io/metadata.name=store \
             (it has kubernetes.io/metadata.name=shop)",
        ),
        (rule([pods(None, "web")], []), "it selects pods of namespace ledger only, not of shop"),
        (
            rule([block("10.244.0.0/16", &["10.244.1.0/24"])], []),
            "10.244.1.7 is in 10.244.1.0/24, which it excepts from 10.244.0.0/16",
        ),
    ];
    for (near, text) in table {
        let decision = decide([policy("ledger", "near", Some(vec![near]), None)], &web_to_postgres());
        let miss = decision.ingress.nearest_miss().map(ToString::to_string);
        let expected = format!("rule 1 of NetworkPolicy ledger/near would admit it, but {text}");
        assert_eq!(miss, Some(expected));
    }
}

#[test]
fn an_admitting_rule_uses_the_labels_that_last() {
    // Labels of the source, and how the peer reads.
    let table: [(&[(&str, &str)], &str); 6] = [
        (
            &[("app", "web"), ("version", "2"), ("pod-template-hash", "7c9")],
            "namespace shop, pods app=web,version=2",
        ),
        (
            &[
                ("app.kubernetes.io/name", "web"),
                ("app.kubernetes.io/instance", "eu"),
                ("app.kubernetes.io/version", "1.2"),
                ("helm.sh/chart", "web-1"),
            ],
            "namespace shop, pods app.kubernetes.io/instance=eu,app.kubernetes.io/name=web",
        ),
        (&[("app", "shop"), ("component", "cron")], "namespace shop, pods app=shop,component=cron"),
        (&[("role", "front"), ("pod-template-hash", "7c9")], "namespace shop, pods role=front"),
        (
            &[("helm.sh/chart", "web-1"), ("pod-template-hash", "7c9")],
            "namespace shop, pods helm.sh/chart=web-1",
        ),
        (&[("pod-template-hash", "7c9")], "namespace shop, all pods"),
    ];
    for (labels, peer) in table {
        let mut web = pod("shop", "web-7c9", "10.244.1.7");
        web.labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let flow = flow(at(web), at(pod("ledger", "postgres-0", "10.244.1.8")));
        let decision = decide([policy("ledger", "default-deny", Some(vec![]), None)], &flow);
        let rules: Vec<String> =
            decision.admitting_rules().iter().map(|rule| rule.peer.to_string()).collect();
        assert_eq!(rules, [peer], "for {labels:?}");
    }
}

#[test]
fn an_admitting_rule_is_written_as_an_item_of_a_policy() {
    let admits = |source, destination| {
        let policies = [
            policy("ledger", "default-deny", Some(vec![]), None),
            policy("shop", "default-deny", None, Some(vec![])),
        ];
        let decision = decide(policies, &flow(source, destination));
        decision.admitting_rules().iter().map(|rule| rule.item().to_string()).collect::<Vec<_>>()
    };
    let ports = r#""ports":[{"port":5432,"protocol":"TCP"}]"#;
    let of = |namespace: &str| {
        format!(r#""namespaceSelector":{{"matchLabels":{{"kubernetes.io/metadata.name":"{namespace}"}}}}"#)
    };
    let pods = |name: &str| format!(r#","podSelector":{{"matchLabels":{{"app":"{name}"}}}}"#);
    let (web, postgres) = (pod("shop", "web", "10.244.1.7"), pod("ledger", "postgres", "10.244.1.8"));
    let egress = format!(r#"{{"to":[{{{}{}}}],{ports}}}"#, of("ledger"), pods("postgres"));
    let ingress = format!(r#"{{"from":[{{{}{}}}],{ports}}}"#, of("shop"), pods("web"));
    assert_eq!(admits(at(web), at(postgres.clone())), [egress, ingress]);

    let mut without_labels = pod("shop", "web", "10.244.1.7");
    without_labels.labels.clear();
    let all_pods = format!(r#"{{"from":[{{{}}}],{ports}}}"#, of("shop"));
    assert_eq!(admits(at(without_labels), at(postgres.clone()))[1..], [all_pods]);

    let block = format!(r#"{{"from":[{{"ipBlock":{{"cidr":"2001:db8::7/128"}}}}],{ports}}}"#);
    assert_eq!(admits(external("2001:db8::7"), at(postgres)), [block]);
}

/// A selector of requirements as `kubectl` writes them.
fn selecting(requirements: &[(&str, Operator, &[&str])]) -> Selector {
    let requirements = requirements.iter().map(|(key, operator, values)| Requirement {
        key: (*key).to_owned(),
        operator: *operator,
        values: values.iter().map(|value| (*value).to_owned()).collect(),
    });
    Selector { requirements: requirements.collect() }
}

#[test]
fn an_admitting_policy_selects_what_is_isolated_already() {
    let pod_name = "statefulset.kubernetes.io/pod-name";
    // Selectors that isolate the pod app=pg,old=yes of a StatefulSet, and that of the fix.
    let table: [(&[Selector], &str); 6] = [
        (&[Selector::labels([("old", "yes")])], ""),
        (&[Selector::everything()], ""),
        (
            &[Selector::everything(), selecting(&[("debug", Operator::DoesNotExist, &[])])],
            r#","matchExpressions":[{"key":"debug","operator":"DoesNotExist"}]"#,
        ),
        (
            &[selecting(&[
                ("app", Operator::In, &["db", "pg"]),
                ("tier", Operator::NotIn, &["a", "b"]),
                ("old", Operator::Exists, &[]),
                ("tier", Operator::NotIn, &["a", "b"]),
            ])],
            r#","matchExpressions":[{"key":"tier","operator":"NotIn","values":["a","b"]}]"#,
        ),
        (&[Selector::labels([(pod_name, "pg-1")])], r#""statefulset.kubernetes.io/pod-name":"pg-1""#),
        (&[Selector::labels([(pod_name, "pg-1")]), Selector::everything()], ""),
    ];
    for (selectors, more) in table {
        let mut postgres = pod("ledger", "pg-1", "10.244.1.8");
        let labels = [("app", "pg"), ("old", "yes"), (pod_name, "pg-1")];
        postgres.labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let policies = (0..).zip(selectors).map(|(number, subject)| Policy {
            subject: subject.clone(),
            ..policy("ledger", &format!("policy-{number}"), Some(vec![]), None)
        });
        let decision = decide(policies, &flow(at(pod("shop", "web", "10.244.1.7")), at(postgres)));
        let rules = decision.admitting_rules();
        let [rule] = rules.as_slice() else { panic!("one is needed, not {rules:?}") };
        let wanted = if more.starts_with('"') {
            format!(r#"{{"matchLabels":{{"app":"pg","old":"yes",{more}}}}}"#)
        } else {
            format!(r#"{{"matchLabels":{{"app":"pg","old":"yes"}}{more}}}"#)
        };
        assert_eq!(rule.pod_selector().to_string(), wanted, "with {selectors:?}");
        assert_eq!((rule.isolates, rule.cautions()), (false, vec![]), "it takes nothing away");
    }
}

#[test]
fn what_is_about_more_than_was_asked_is_told() {
    let bare = |namespace: &str, name: &str, ip: &str| {
        let mut pod = pod(namespace, name, ip);
        pod.labels.clear();
        at(pod)
    };
    let denied = decide(
        [policy("ledger", "default-deny", Some(vec![]), None)],
        &flow(bare("shop", "web", "10.244.1.7"), bare("ledger", "pg", "10.244.1.8")),
    );
    let cautions: Vec<String> =
        denied.admitting_rules().iter().flat_map(crate::AdmittingRule::cautions).collect();
    assert_eq!(
        cautions,
        [
            "the pod has no labels of its own to select it by: the policy is about all pods of namespace ledger",
            "the other pod has no labels of its own to select it by: all pods of namespace shop may connect",
        ]
    );
}

#[test]
fn an_admitting_rule_for_an_address_is_a_block() {
    let table = [
        ("192.0.2.7", "192.0.2.7/32"),
        ("2001:db8::7", "2001:db8::7/128"),
        ("::ffff:192.0.2.7", "192.0.2.7/32"),
    ];
    for (address, block) in table {
        let flow = flow(external(address), at(pod("ledger", "postgres-0", "10.244.1.8")));
        let decision = decide([policy("ledger", "default-deny", Some(vec![]), None)], &flow);
        let rules: Vec<String> = decision.admitting_rules().iter().map(ToString::to_string).collect();
        assert_eq!(rules, [format!("ingress from {block}, port 5432/TCP")]);
    }
}
