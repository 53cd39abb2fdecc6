//! Policies that keep pods from asking DNS.

use peerwalk_cli::lint::{Code, findings};

use crate::given;
use crate::words::{admin, baseline, found, pod, policy, whole};

/// What answers, at an address or without one.
fn servers(ip: &str) -> String {
    let status = if ip.is_empty() { String::new() } else { format!(", status: {{podIPs: [{{ip: {ip}}}]}}") };
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: coredns, namespace: kube-system, labels: {{k8s-app: kube-dns}}}}, spec: \
         {{containers: [{{ports: [{{name: dns, containerPort: 53, protocol: UDP}}, {{name: dns-tcp, containerPort: 53}}]}}]}}\
         {status}}}\n---\n"
    )
}

const PODS: &str = "
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop, labels: {app: web}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: dns, namespace: kube-system, labels: {k8s-app: kube-dns}}, spec: {containers:
  [{ports: [{name: dns, containerPort: 53, protocol: UDP}]}]}}
---
";

#[test]
fn dns_is_missed_where_nothing_lets_pods_ask() {
    let policy = |name: &str, egress: &str| {
        format!(
            "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: {name}, namespace: shop}}, spec: \
             {{podSelector: {{}}, policyTypes: [Egress], egress: {egress}}}}}\n---\n"
        )
    };
    let somewhere = "[{to: [{ipBlock: {cidr: 192.0.2.0/24}}], ports: [{port: 443}]}]";
    let to_dns = "[{to: [{namespaceSelector: {}}], ports: [{port: 53, protocol: UDP}]}]";
    // Policies, and whether something is missed.
    let table: [(Vec<&str>, bool); 5] = [
        (vec!["[]"], false),
        (vec![somewhere], true),
        (vec![somewhere, to_dns], false),
        (vec!["[{}]"], false),
        (vec!["[{to: [{podSelector: {}}]}]"], true),
    ];
    for (egress, missed) in table {
        let policies: String =
            egress.iter().enumerate().map(|(place, egress)| policy(&format!("p{place}"), egress)).collect();
        let cluster = given::of(&format!("{PODS}{policies}"));
        let found = findings(&cluster).iter().any(|finding| finding.code == Code::NoDns);
        assert_eq!(found, missed, "{egress:?}");
    }
}

const SHOP: &str = "subject: {namespaces: {matchLabels: {kubernetes.io/metadata.name: shop}}}";
const BOTH: &str = "ports: [{port: 53, protocol: UDP}, {port: 53}]";

fn egress(rules: &str) -> String {
    policy("out", &format!("{{podSelector: {{}}, policyTypes: [Egress], egress: [{rules}]}}"))
}

const SOME: &str = "{to: [{ipBlock: {cidr: 192.0.2.0/24}}], ports: [{port: 443}]}";

/// The namespace `shop` with who answers DNS, and policies.
fn judged(dns: &str, policies: &str) -> Vec<String> {
    let web = pod("shop", "web", "10.244.0.5", "");
    found(&format!("{web}{dns}{policies}"), Code::NoDns)
}

#[test]
fn policies_of_the_cluster_forget_dns_too() {
    let (at, template, none) = (servers("10.244.0.53"), servers(""), String::new());
    let lockdown = |rules: &str| format!("{SHOP}, egress: [{rules}]");
    let cluster = |rules: &str| admin("lockdown", 10, &lockdown(rules));
    let port = |protocol: &str, port: u16| format!("{{{protocol}: {{destinationPort: {{number: {port}}}}}}}");
    let accept = "{action: Accept, to: [{networks: [192.0.2.0/24]}]}";
    let https =
        format!("{{action: Accept, to: [{{networks: [192.0.2.0/24]}}], protocols: [{}]}}", port("tcp", 443));
    let rest = "{action: Deny, to: [{networks: [0.0.0.0/0]}]}";
    let system = "{namespaces: {matchLabels: {kubernetes.io/metadata.name: kube-system}}}";
    let both = format!("{}, {}", port("udp", 53), port("tcp", 53));
    let dns = format!("{{action: Accept, to: [{system}], protocols: [{both}]}}");
    let near = "{action: Accept, to: [{networks: [10.0.0.0/8]}]}";
    let second = vec!["warning ClusterNetworkPolicy lockdown spec.egress[1]"];
    for (case, servers, policies, expected) in [
        ("a lockdown", &at, cluster(&format!("{accept}, {rest}")), second.clone()),
        ("one with DNS", &at, cluster(&format!("{dns}, {rest}")), vec![]),
        ("of templates", &template, cluster(&format!("{https}, {rest}")), second.clone()),
        (
            "NodeLocal DNS",
            &at,
            cluster(&format!("{{action: Accept, to: [{{networks: [169.254.20.10/32]}}]}}, {rest}")),
            vec![],
        ),
        ("DNS may be in there", &template, cluster(&format!("{near}, {rest}")), vec![]),
        ("nothing is let out at all", &at, cluster(rest), vec![]),
        (
            "all pods, and nobody outside",
            &at,
            cluster("{action: Deny, to: [{namespaces: {}}]}"),
            vec!["warning ClusterNetworkPolicy lockdown spec.egress[0]"],
        ),
        ("a baseline", &at, baseline("lockdown", &lockdown(&format!("{accept}, {rest}"))), second.clone()),
        ("no DNS was read", &none, cluster(&format!("{https}, {rest}")), second.clone()),
        ("of namespaces", &at, egress(SOME) + &cluster(&dns), vec![]),
        ("the same where no DNS was read", &none, egress(SOME) + &cluster(&dns), vec![]),
    ] {
        assert_eq!(judged(servers, &policies), expected, "{case}");
    }
}

/// A policy with one more rule.
type Of<'a> = &'a dyn Fn(&str) -> String;

/// The rule to add is one of the kind that denies, and what is found is gone with it.
#[test]
fn the_rule_to_add_lets_pods_ask() {
    let older = |kind: &str, name: &str, priority: &str, rules: &str| {
        format!(
            "{{apiVersion: policy.networking.k8s.io/v1alpha1, kind: {kind}, metadata: {{name: {name}}}, spec: {{{priority}{SHOP}, \
             egress: [{rules}]}}}}\n---\n"
        )
    };
    let first = |action: &str| format!("{{action: {action}, to: [{{networks: [192.0.2.0/24]}}]}}");
    let rest = "{action: Deny, to: [{networks: [0.0.0.0/0]}]}";
    let policies: [(&str, Of<'_>); 4] = [
        ("NetworkPolicy", &|rule| egress(&[rule, SOME].join(" "))),
        ("ClusterNetworkPolicy", &|rule| {
            admin("a", 1, &format!("{SHOP}, egress: [{rule} {}, {rest}]", first("Accept")))
        }),
        ("AdminNetworkPolicy", &|rule| {
            older("AdminNetworkPolicy", "a", "priority: 1, ", &format!("{rule} {}, {rest}", first("Allow")))
        }),
        ("BaselineAdminNetworkPolicy", &|rule| {
            older("BaselineAdminNetworkPolicy", "default", "", &format!("{rule} {}, {rest}", first("Allow")))
        }),
    ];
    for (kind, policy) in policies {
        let text = |rule: &str| {
            format!("{}{}{}", pod("shop", "web", "10.244.0.5", ""), servers("10.244.0.53"), policy(rule))
        };
        let told = whole(&text(""), Code::NoDns);
        assert_eq!(told.len(), 1, "{kind}: {told:?}");
        assert!(told[0].object.starts_with(kind), "{told:?}");
        let (_, rule) = told[0].remedy.split_once(": ").unwrap();
        assert_eq!(found(&text(&format!("{rule},")), Code::NoDns), Vec::<String>::new(), "{kind}: {rule}");
    }
}

#[test]
fn dns_is_judged_by_what_is_decided() {
    let (at, template) = (servers("10.244.0.53"), servers(""));
    let block = |cidr: &str, ports: &str| format!("{{to: [{{ipBlock: {{cidr: {cidr}}}}}], {ports}}}");
    let local = |ip: &str| egress(&format!("{SOME}, {}", block(ip, BOTH)));
    let over_udp = "{to: [{namespaceSelector: {}}], ports: [{port: 53, protocol: UDP}]}";
    let range = "{ports: [{port: 50, endPort: 60, protocol: UDP}, {port: 53}]}";
    let of_servers = policy("in", "{podSelector: {}}").replace("namespace: shop", "namespace: kube-system");
    let out = vec!["warning NetworkPolicy shop/out spec.egress"];
    for (case, servers, policies, expected) in [
        (
            "over TCP alone it is forgotten",
            &at,
            egress(over_udp),
            vec!["note NetworkPolicy shop/out spec.egress"],
        ),
        ("a range of ports", &at, egress(range), vec![]),
        ("a block of the pods at the port", &template, egress(&block("10.0.0.0/8", BOTH)), vec![]),
        (
            "a block at another port",
            &template,
            egress(&block("10.0.0.0/8", "ports: [{port: 443}]")),
            out.clone(),
        ),
        ("NodeLocal DNS", &at, local("169.254.20.10/32"), vec![]),
        (
            "over UDP alone",
            &at,
            egress(&block("169.254.20.10/32", "ports: [{port: 53, protocol: UDP}]")),
            vec![],
        ),
        ("at another address", &at, local("169.254.10.10/32"), vec![]),
        ("no link-local address", &at, local("192.0.2.10/32"), out.clone()),
        ("another port", &at, egress(&block("169.254.169.254/32", "ports: [{port: 80}]")), out),
        (
            "who answers lets nobody in",
            &at,
            of_servers.clone(),
            vec!["warning NetworkPolicy kube-system/in spec.ingress"],
        ),
        ("who sends nothing is let in nowhere", &at, egress("") + &of_servers, vec![]),
    ] {
        assert_eq!(judged(servers, &policies), expected, "{case}");
    }
}

/// The Service leads to the port of the pods, wherever these are.
#[test]
fn dns_is_where_its_service_leads() {
    let pods = "{apiVersion: v1, kind: Pod, metadata: {name: dns, namespace: openshift-dns, labels: {dns: default}}, status: {podIPs: [{ip: 10.244.0.53}]}}\n---\n\
        {apiVersion: v1, kind: Service, metadata: {name: dns-default, namespace: openshift-dns}, spec: {clusterIP: 172.30.0.10, \
        selector: {dns: default}, ports: [{name: dns, port: 53, protocol: UDP, targetPort: 5353}]}}\n---\n";
    let text = |port: u16| {
        let rule = format!("{{to: [{{namespaceSelector: {{}}}}], ports: [{{port: {port}, protocol: UDP}}]}}");
        format!("{}{pods}{}", pod("shop", "web", "10.244.0.5", ""), egress(&rule))
    };
    assert_eq!(found(&text(5353), Code::NoDns), Vec::<String>::new());
    let told = whole(&text(53), Code::NoDns);
    let rule = r#"{"to":[{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"openshift-dns"}},"podSelector":{"matchLabels":{"dns":"default"}}}],"ports":[{"port":5353,"protocol":"UDP"},{"port":5353,"protocol":"TCP"}]}"#;
    assert_eq!(told[0].remedy, format!("add an egress rule to it: {rule}"));
}

/// With NodeLocal DNS, the address of the Service is one of every node's.
#[test]
fn the_address_of_dns_may_be_the_nodes_own() {
    let service = "{apiVersion: v1, kind: Service, metadata: {name: kube-dns, namespace: kube-system}, spec: {clusterIP: 10.96.0.10, \
        selector: {k8s-app: kube-dns}, ports: [{name: dns, port: 53, protocol: UDP}]}}\n---\n";
    let local = "{apiVersion: v1, kind: Pod, metadata: {name: local, namespace: kube-system, labels: {k8s-app: node-local-dns}}, spec: {hostNetwork: true}}\n---\n";
    let out = egress(&format!("{{to: [{{ipBlock: {{cidr: 10.96.0.10/32}}}}], {BOTH}}}"));
    let text = |local: &str| {
        format!("{}{}{service}{local}{out}", pod("shop", "web", "10.244.0.5", ""), servers("10.244.0.53"))
    };
    assert_eq!(found(&text(local), Code::NoDns), Vec::<String>::new());
    assert_eq!(found(&text(local), Code::BlockOfService), Vec::<String>::new());
    assert_eq!(
        found(&text(""), Code::NoDns),
        ["note NetworkPolicy shop/out spec.egress"],
        "a rule says otherwise of its address"
    );
    assert_eq!(found(&text(""), Code::BlockOfService).len(), 1);
}
