//! Items of rules that never match, or not on every data plane; and objects that nothing reads.

use peerwalk_cli::lint::Code;

use crate::words::{admin, found, pod, policy, short, told, whole};

const HTTP: &str = "{name: http, containerPort: 8080}";

/// What egress to somewhere is found to be, where there are a pod at an address and a template without one.
#[test]
fn port_names_are_those_of_destinations() {
    let dns = "{name: dns, containerPort: 53, protocol: UDP}";
    let pods = pod("shop", "web", "10.0.0.1", HTTP)
        + &pod("shop", "dns", "10.0.0.2", dns)
        + &pod("shop", "late", "", "{name: late, containerPort: 1}");
    let here = "{podSelector: {}}";
    // Where to, which port, and how bad it is.
    for (to, port, severity) in [
        (here, "{port: http}", None),
        (here, "{port: https}", Some("warning")),
        (here, "{port: http, protocol: UDP}", Some("warning")),
        (here, "{port: 443}", None),
        ("{ipBlock: {cidr: 192.0.2.0/24}}", "{port: https}", Some("warning")),
        ("{ipBlock: {cidr: 192.0.2.0/24}}", "{port: http}", Some("warning")),
        ("{ipBlock: {cidr: 10.0.0.0/24}}", "{port: http}", None),
        ("{ipBlock: {cidr: 10.0.0.0/24, except: [10.0.0.1/32]}}", "{port: http}", Some("warning")),
        // It may get an address in there.
        ("{ipBlock: {cidr: 192.0.2.0/24}}", "{port: late}", Some("note")),
        ("{ipBlock: {cidr: 192.0.2.0/24}}, {podSelector: {}}", "{port: late}", None),
        (
            "{ipBlock: {cidr: 192.0.2.0/24}}, {podSelector: {matchLabels: {app: gone}}}",
            "{port: http}",
            Some("warning"),
        ),
        // Of this it is told that it selects nobody.
        ("{podSelector: {matchLabels: {app: gone}}}", "{port: http}", None),
        // Of the pods of kube-system, which every cluster has, none was read.
        ("", "{port: https}", Some("note")),
        ("{namespaceSelector: {}}", "{port: https}", Some("note")),
        (
            "{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}}",
            "{port: https}",
            Some("warning"),
        ),
        // Which pods these are, nobody can tell.
        (
            "{namespaceSelector: {matchLabels: {team: a}}}, {podSelector: {matchLabels: {app: dns}}}",
            "{port: http}",
            None,
        ),
    ] {
        let rule = format!("{{to: [{to}], ports: [{port}]}}");
        let text = pods.clone()
            + &policy("p", &format!("{{podSelector: {{}}, policyTypes: [Egress], egress: [{rule}]}}"));
        let expected: Vec<String> = severity
            .map(|of| format!("{of} NetworkPolicy shop/p spec.egress[0].ports[0].port"))
            .into_iter()
            .collect();
        assert_eq!(found(&text, Code::NamedPortWithoutOwner), expected, "{rule}");
    }
    let other = pods.clone() + &policy("p", "{podSelector: {}, ingress: [{ports: [{port: dns}]}]}");
    let other = whole(&other, Code::NamedPortWithoutOwner);
    assert_eq!(other[0].remedy, "write protocol: UDP, which the containers have for dns");
    let of_cluster = pods
        + &admin(
            "a",
            1,
            "subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {}}], protocols: [{destinationNamedPort: dns}, {destinationNamedPort: sql}]}]",
        );
    let of_cluster = found(&of_cluster, Code::NamedPortWithoutOwner);
    assert_eq!(of_cluster, ["note ClusterNetworkPolicy a spec.ingress[0].protocols[1]"]);
}

/// The pod network is 10.244.0.0/24; a pod is at 10.244.0.5, or has no address.
#[test]
fn blocks_over_pods_are_those_that_do_not_take_them_out() {
    let node = "{apiVersion: v1, kind: Node, metadata: {name: n1}, spec: {podCIDRs: [10.244.0.0/24]}}\n---\n";
    for (block, found_of_network, found_of_pod, remedy) in [
        ("cidr: 192.0.2.0/24", false, false, ""),
        ("cidr: 0.0.0.0/0", false, false, ""),
        ("cidr: 10.0.0.0/8", true, true, "take 10.244.0.0/24 out with except"),
        ("cidr: 10.0.0.0/8, except: [10.244.0.0/16]", false, false, ""),
        ("cidr: 10.0.0.0/8, except: [10.244.0.0/24]", false, false, ""),
        ("cidr: 10.0.0.0/8, except: [10.244.0.0/25, 10.244.0.128/25]", false, false, ""),
        ("cidr: 10.0.0.0/8, except: [10.244.0.0/25]", true, false, "take 10.244.0.0/24 out with except"),
        ("cidr: 10.0.0.0/8, except: [10.244.0.128/25]", true, true, "take 10.244.0.0/24 out with except"),
        // An exception is a part of its block.
        ("cidr: 10.244.0.0/25", true, true, "podSelector and namespaceSelector instead"),
        ("cidr: 10.244.0.0/25, except: [10.244.0.0/26]", true, false, "namespaceSelector instead"),
        ("cidr: 10.244.0.0/25, except: [10.244.0.0/26, 10.244.0.64/26]", false, false, ""),
    ] {
        let spec = format!("{{podSelector: {{}}, ingress: [{{from: [{{ipBlock: {{{block}}}}}]}}]}}");
        let told = |ip: &str, node: &str| {
            whole(&(pod("shop", "web", ip, "") + node + &policy("p", &spec)), Code::BlockOverPods)
        };
        let by_network = told("", node);
        assert_eq!(!by_network.is_empty(), found_of_network, "{block}, by the network");
        assert!(by_network.iter().all(|finding| finding.remedy.ends_with(remedy)), "{by_network:?}");
        assert_eq!(!told("10.244.0.5", "").is_empty(), found_of_pod, "{block}, by the pod");
    }
}

#[test]
fn exceptions_that_leave_nothing_are_told() {
    for (except, lines) in [
        (
            "[10.0.0.0/9, 10.128.0.0/9]",
            vec!["warning NetworkPolicy shop/p spec.ingress[0].from[0].ipBlock.cidr"],
        ),
        ("[10.0.0.0/9, 10.128.0.0/10]", vec![]),
    ] {
        let spec = format!(
            "{{podSelector: {{}}, ingress: [{{from: [{{ipBlock: {{cidr: 10.0.0.0/8, except: {except}}}}}]}}]}}"
        );
        let text = pod("shop", "web", "", "") + &policy("p", &spec);
        assert_eq!(found(&text, Code::PeerMatchesNothing), lines, "{except}");
    }
}

#[test]
fn addresses_of_services_are_told_of_networks_too() {
    let service = "{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {clusterIP: 10.96.0.7, ports: [{port: 80}]}}\n---\n";
    let deny = "egress: [{action: Deny, to: [{networks: [192.0.2.0/24, 10.96.0.7/32]}]}]";
    let text = pod("shop", "web", "", "")
        + service
        + &admin("a", 1, &format!("subject: {{namespaces: {{}}}}, {deny}"));
    let expected = ["warning ClusterNetworkPolicy a spec.egress[0].to[0].networks[1]"];
    assert_eq!(found(&text, Code::BlockOfService), expected);
}

#[test]
fn what_is_not_read_here_is_not_said_to_be_refused() {
    let of = |version: &str, kind: &str, name: &str| {
        format!(
            "{{apiVersion: {version}, kind: {kind}, metadata: {{name: {name}, namespace: shop}}, spec: {{}}}}\n---\n"
        )
    };
    for (text, line) in [
        (of("cilium.io/v2", "CiliumNetworkPolicy", "pg"), "note CiliumNetworkPolicy shop/pg "),
        (of("projectcalico.org/v3", "GlobalNetworkPolicy", "pg"), "note GlobalNetworkPolicy shop/pg "),
        (of("kustomize.config.k8s.io/v1beta1", "Kustomization", "all"), "warning Kustomization shop/all "),
    ] {
        let all = told(&(pod("shop", "web", "", "") + &text));
        assert_eq!(all.iter().map(short).collect::<Vec<_>>(), [line]);
        assert_eq!(all[0].code, Code::NotRead);
        assert!(!all[0].message.contains("refuse"), "{}", all[0].message);
    }
    let wrong = told(&policy("p", "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: x}}]}]}"));
    assert_eq!(wrong.iter().map(|finding| finding.code).collect::<Vec<_>>(), [Code::Unreadable]);
}

#[test]
fn the_last_of_one_name_counts_and_that_is_told() {
    let [first, last] =
        ["{podSelector: {}}", "{podSelector: {}, ingress: [{}]}"].map(|spec| policy("p", spec));
    let all = told(&(pod("shop", "web", "", "") + &first + &last));
    assert_eq!(all.iter().map(short).collect::<Vec<_>>(), ["warning NetworkPolicy shop/p "]);
    assert_eq!(all[0].code, Code::GivenTwice);
}
