//! Policies that cannot be read, and what may be one: none of them is left out as if it were not there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may, in its helpers too")]

use peerwalk_manifests::{Cluster, Limits, Reader};

fn read(text: &str) -> Cluster {
    let mut reader = Reader::new(Limits::default());
    reader.text("shop.yaml", text.as_bytes());
    reader.finish()
}

fn problems(cluster: &Cluster) -> Vec<String> {
    cluster.problems.iter().map(ToString::to_string).collect()
}

fn unreadable(cluster: &Cluster) -> Vec<String> {
    cluster.unreadable.iter().map(ToString::to_string).collect()
}

fn object(version: &str, kind: &str, metadata: &str) -> String {
    format!("{{apiVersion: {version}, kind: {kind}, metadata: {{{metadata}}}, spec: {{}}}}")
}

const POLICY: &str =
    "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p, namespace: shop}, spec: ";

/// `kubectl apply` refuses the object, and nobody knows what it was to say.
#[test]
fn an_object_with_fields_that_there_are_not_is_refused() {
    let spec = "{podSelector: {matchlabels: {a: b}, env: prod}, ingres: [], resources: null, ingress: [{from: [{ipBlock: {cidr: \
                10.0.0.0/8, exept: []}}], prots: [{port: 80}]}], egress: [{to: [{podSelector: {matchExpressions: [{key: a, \
                operator: Exists, valeus: []}]}}], ports: [{port: 80, endport: 90}]}]}";
    let in_spec: &[&str] = &[
        "spec.ingres",
        "spec.resources",
        "spec.podSelector.env",
        "spec.podSelector.matchlabels",
        "spec.ingress[0].prots",
        "spec.ingress[0].from[0].ipBlock.exept",
        "spec.egress[0].to[0].podSelector.matchExpressions[0].valeus",
        "spec.egress[0].ports[0].endport",
    ];
    // The rest of the object, and the fields.
    let table: [(String, &[&str]); 5] = [
        (format!("spec: {spec}"), in_spec),
        ("sepc: {ingress: [{}]}".to_owned(), &["sepc"]),
        ("spec: {}, data: {a: b}".to_owned(), &["data"]),
        (
            "spec: {ingress: [{from: [{namespaceSelector: {}, podSelektor: {}}]}]}".to_owned(),
            &["spec.ingress[0].from[0].podSelektor"],
        ),
        ("spec: {ingress: [{port: [{port: 80}]}]}".to_owned(), &["spec.ingress[0].port"]),
    ];
    for (rest, expected) in table {
        let cluster = read(&POLICY.replace("spec: ", &format!("{rest}}}")));
        let fields: Vec<&str> = cluster.problems.iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(fields, expected, "{rest}");
        assert_eq!(
            (cluster.policies.len(), unreadable(&cluster)),
            (0, vec!["NetworkPolicy shop/p".to_owned()])
        );
    }
    let annotated = POLICY.replace("name: p,", "name: p, anything: 7,");
    assert_eq!(problems(&read(&format!("{annotated}{{}}}}"))), [""; 0], "metadata is the server's own");
}

/// What is plainly meant as a policy, and what may be one for all that can be read of it.
#[test]
fn what_may_be_a_policy_counts_as_one_that_cannot_be_read() {
    let shop = "name: p, namespace: shop";
    let of_shop = "NetworkPolicy shop/p";
    let networking = "use apiVersion networking.k8s.io/v1";
    let whole = "ClusterNetworkPolicy (what shop.yaml holds)";
    // The text, how the policy is called, and what is said.
    let table = [
        (object("v1", "NetworkPolicy", shop), of_shop, networking),
        (object("networking/v1", "NetworkPolicy", shop), of_shop, networking),
        (object("networking.k8s.io/v1beta1", "NetworkPolicy", shop), of_shop, networking),
        (object("extensions/v1beta1", "NetworkPolicy", shop), of_shop, networking),
        (object("''", "NetworkPolicy", shop), of_shop, "apiVersion: missing"),
        (object("networking.k8s.io/v1", "networkpolicy", shop), of_shop, "use kind NetworkPolicy of"),
        (object("networking.k8s.io/v1", "NetworkPolicies", shop), of_shop, "use kind NetworkPolicy of"),
        (object("networking.k8s.io/v1", "NetworkPolcy", shop), of_shop, "is NetworkPolicy meant?"),
        (
            object("example.com/v1", "NetworkPolicy", shop),
            "ClusterNetworkPolicy (NetworkPolicy shop/p)",
            networking,
        ),
        (
            object("cilium.io/v2", "ciliumnetworkpolicy", shop),
            "ClusterNetworkPolicy (ciliumnetworkpolicy shop/p)",
            "undecided",
        ),
        (
            object("networking.k8s.io/v1alpha2", "ClusterNetworkPolicy", "name: p"),
            "ClusterNetworkPolicy p",
            "use apiVersion policy.networking.k8s.io/v1alpha2",
        ),
        (
            object("policy.networking.k8s.io/v1alpha2", "AdminNetworkPolicy", "name: p"),
            "AdminNetworkPolicy p",
            "v1alpha1",
        ),
        (
            object("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy", "name: 5"),
            "ClusterNetworkPolicy (of shop.yaml)",
            "metadata.name: 5 is no text",
        ),
        (
            object("networking.k8s.io/v1", "NetworkPolicy", "namespace: shop"),
            "NetworkPolicy shop/(of shop.yaml)",
            "metadata.name: missing",
        ),
        (
            object("networking.k8s.io/v1", "NetworkPolicy", "name: p, namespace: 7"),
            "ClusterNetworkPolicy (NetworkPolicy default/p)",
            "metadata.namespace: 7 is no text",
        ),
        (
            object("networking.k8s.io/v1", "NetworkPolicy", "name: Bad_Name"),
            "NetworkPolicy default/Bad_Name",
            "is no name of an object",
        ),
        ("kind: 'ENC[AES256_GCM,data:x]'".to_owned(), whole, "is no kind"),
        ("kind: 5".to_owned(), whole, "kind: 5 is no kind"),
        ("{apiVersion: v1, metadata: {name: p}}".to_owned(), whole, "kind: missing"),
        ("version https://git-lfs.github.com/spec/v1".to_owned(), whole, "is no object"),
        ("kind: NetworkPolicy\nspec:\n\ta: b\n".to_owned(), whole, "no YAML"),
        ("a: [".to_owned(), whole, "no YAML"),
    ];
    for (text, reference, said) in table {
        let cluster = read(&text);
        assert_eq!(unreadable(&cluster), [reference], "{text}");
        let told = problems(&cluster);
        assert!(told.len() == 1 && told[0].contains(said), "{text}: {told:?} has {said:?}");
        assert!(cluster.policies.is_empty() && cluster.objects == 1, "{text}");
        assert_eq!(
            cluster.unidentified,
            reference.contains("of shop.yaml") || reference.contains("holds") || text.contains('7')
        );
    }
}

#[test]
fn what_is_certainly_no_policy_counts_for_nothing() {
    for text in [
        "kind: Deployment\nspec:\n\ta: b\n".to_owned(),
        "a: b".to_owned(),
        "[1, 2]".to_owned(),
        object("v1", "Pod", "name: 5"),
        object("apps/v1beta1", "Deployment", "name: web"),
        object("networking.k8s.io/v1", "Ingress", "name: web"),
        object("v1", "ConfigMap", "name: networkpolicy"),
    ] {
        let cluster = read(&text);
        assert!(cluster.unreadable.is_empty() && !cluster.unidentified, "{text}: {:?}", cluster.unreadable);
    }
    let list = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicyList, items: [{metadata: {name: p}}]}";
    assert_eq!(read(list).policies.len(), 1, "a list says what its items are");
}

/// np-guard asks for no names, and gives rows for policies that no server has.
#[test]
fn names_are_nothing_to_np_guard() {
    let text = format!("{}{{}}}}", POLICY.replace("name: p,", "name: my_policy,"));
    let mut reader = Reader::new(Limits::default()).as_np_guard();
    reader.text("shop.yaml", text.as_bytes());
    assert_eq!((reader.finish().policies.len(), read(&text).policies.len()), (1, 0));
}
