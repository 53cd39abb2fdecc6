//! Policies that select nothing, and peers that stand for nobody.

use peerwalk_cli::lint::Code;

use crate::words::{admin, found, on_host, pod, policy};

#[test]
fn policies_that_select_nothing_are_told_by_what_is_known() {
    let web = || pod("shop", "web", "", "");
    let elsewhere = || pod("ledger", "pg", "", "");
    let finished = "{apiVersion: v1, kind: Pod, metadata: {name: job, namespace: shop}, status: {phase: Succeeded}}\n---\n";
    let of = |selector: &str| policy("p", &format!("{{podSelector: {selector}}}"));
    let labelled = |selector: &str| admin("a", 1, &format!("subject: {{namespaces: {selector}}}"));
    let given = "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}\n---\n";
    let of_policy = |severity: &str| vec![format!("{severity} NetworkPolicy shop/p spec.podSelector")];
    let of_cluster = |severity: &str| vec![format!("{severity} ClusterNetworkPolicy a spec.subject")];
    let team = "{matchLabels: {team: a}}";
    for (case, text, expected) in [
        ("everything", web() + &of("{}"), vec![]),
        ("another label", web() + &of("{matchLabels: {app: wbe}}"), of_policy("warning")),
        ("In", web() + &of("{matchExpressions: [{key: app, operator: In, values: [web, api]}]}"), vec![]),
        (
            "NotIn",
            web() + &of("{matchExpressions: [{key: app, operator: NotIn, values: [web]}]}"),
            of_policy("warning"),
        ),
        (
            "NotIn of what is absent",
            web() + &of("{matchExpressions: [{key: tier, operator: NotIn, values: [db]}]}"),
            vec![],
        ),
        (
            "DoesNotExist",
            web() + &of("{matchExpressions: [{key: app, operator: DoesNotExist}]}"),
            of_policy("warning"),
        ),
        ("no pods in the namespace", elsewhere() + &of("{}"), of_policy("note")),
        ("none of these in it", elsewhere() + &of("{matchLabels: {app: web}}"), of_policy("note")),
        ("none that runs", elsewhere() + finished + &of("{}"), of_policy("note")),
        ("no pods at all", of("{matchLabels: {app: web}}"), vec![]),
        ("on the host alone", on_host("shop", "agent") + &of("{}"), of_policy("note")),
        ("on the host too", on_host("shop", "agent") + &web() + &of("{}"), vec![]),
        ("a label of a namespace", web() + given + &labelled(team), of_cluster("warning")),
        ("of one that was not given", web() + &labelled(team), of_cluster("note")),
        (
            "a name of none",
            web() + &labelled("{matchLabels: {kubernetes.io/metadata.name: x}}"),
            of_cluster("note"),
        ),
        ("on the host, of the cluster", on_host("shop", "agent") + &labelled("{}"), of_cluster("warning")),
    ] {
        assert_eq!(found(&text, Code::SelectsNothing), expected, "{case}");
    }
}

#[test]
fn peers_that_stand_for_nobody_are_noted() {
    let pods = pod("shop", "web", "", "") + &on_host("shop", "agent");
    let given = "{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: a}}}\n---\n";
    for (from, words) in [
        ("podSelector: {}", None),
        ("podSelector: {matchLabels: {app: gone}}", Some("no pod of namespace shop has app=gone")),
        ("podSelector: {matchLabels: {app: agent}}", Some("only host-network pods are selected")),
        ("namespaceSelector: {matchLabels: {team: a}}", None),
        ("namespaceSelector: {matchLabels: {team: b}}", Some("no namespace among what was read has team=b")),
        ("namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: pay}}", Some("no namespace among")),
        // Every cluster has it, and hardly any folder.
        ("namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}", None),
        (
            "namespaceSelector: {}, podSelector: {matchLabels: {app: gone}}",
            Some("no pod has app=gone in the namespaces"),
        ),
    ] {
        let spec = format!("{{podSelector: {{}}, ingress: [{{from: [{{{from}}}]}}]}}");
        let told =
            crate::words::whole(&(pods.clone() + given + &policy("p", &spec)), Code::PeerMatchesNothing);
        assert_eq!(told.len(), usize::from(words.is_some()), "{from}: {told:?}");
        assert!(
            told.iter().all(|finding| words.is_some_and(|words| finding.message.starts_with(words))),
            "{told:?}"
        );
    }
    let unknown = "{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: b}}}]}]}";
    let told = crate::words::whole(&(pods + &policy("p", unknown)), Code::PeerMatchesNothing);
    assert!(told[0].message.contains("of shop the name alone is known"), "{told:?}");
}
