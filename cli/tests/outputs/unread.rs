//! What could not be read, and may be a policy: no answer that it could turn is given for certain.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Runs the program with a standard input.
fn given(text: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peerwalk"));
    command.args(arguments).env("KUBECONFIG", "no-such-kubeconfig").env_remove("KUBERNETES_SERVICE_HOST");
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data"));
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // One that ends at once does not read it.
    let _ = child.stdin.take().unwrap().write_all(text.as_bytes());
    child.wait_with_output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const PODS: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
status: {podIP: 10.244.0.5}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: ledger}
status: {podIP: 10.244.0.6}
---
";
const EXPLAIN: [&str; 9] =
    ["explain", "-f", "-", "--from", "shop/web", "--to", "ledger/db:5432", "--expect", "allowed"];

#[test]
fn answers_that_it_may_turn_are_undecided() {
    let policy = |head: &str, spec: &str| {
        format!("{{{head}, metadata: {{name: lock, namespace: ledger}}, spec: {spec}}}\n")
    };
    let ours = "apiVersion: networking.k8s.io/v1, kind: NetworkPolicy";
    let lock = "NetworkPolicy ledger/lock";
    // The text of the policy, and how the policy is called.
    let table = [
        (policy(ours, "{podSelector: {matchExpressions: [{key: a, operator: Equals}]}}"), lock),
        (policy(ours, "{ingress: [{from: [{namespaceSelector: {}, podSelektor: {}}]}]}"), lock),
        (policy(ours, "{policyTypes: [Ingress, Egress, Ingress]}"), lock),
        (policy("apiVersion: v1, kind: NetworkPolicy", "{}"), lock),
        (policy("apiVersion: networking.k8s.io/v1, kind: networkpolicy", "{}"), lock),
        (policy("apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy", "{}"), "CiliumNetworkPolicy ledger/lock"),
        ("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nspec:\n\tpodSelector: {}\n".to_owned(), "what standard input:11 holds"),
        ("apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {name: 5}\n".to_owned(), "(of standard input:11)"),
    ];
    for (text, named) in table {
        let text = format!("{PODS}{text}");
        let matrix = given(&text, &["matrix", "-f", "-"]);
        let undecided =
            "undecided: this holds only where none of these says otherwise, which were not read: ";
        assert_eq!(code(&matrix), 3, "{text}");
        assert!(error(&matrix).contains(undecided) && error(&matrix).contains(named), "{}", error(&matrix));
        let explain = given(&text, &EXPLAIN);
        assert_eq!(code(&explain), 3, "{text}");
        let told = String::from_utf8(explain.stdout).unwrap();
        assert!(told.contains(named), "the policy is named: {told}");
        let json = given(&text, &[&EXPLAIN[..], &["-o", "json"]].concat());
        let json: Value = serde_json::from_slice(&json.stdout).unwrap();
        let caveats = json["caveats"].as_array().unwrap();
        let message = caveats.iter().find(|caveat| caveat["code"] == "unreadablePolicy").unwrap();
        assert!(message["message"].as_str().unwrap().contains(named), "{message}");
    }
    // Of another namespace, and no policy at all.
    for beside in [
        policy(ours, "7").replace("namespace: ledger", "namespace: elsewhere"),
        "kind: Deployment\nspec:\n\ta: b\n".to_owned(),
    ] {
        let explain = given(&format!("{PODS}{beside}"), &EXPLAIN);
        assert_eq!(code(&explain), 0, "{beside}: {}", String::from_utf8_lossy(&explain.stdout));
    }
}

#[test]
fn nothing_at_all_is_an_error() {
    let nothing = "no object of Kubernetes is in";
    for text in ["", "---\n# nothing\n", "{apiVersion: v1, kind: List, items: []}\n"] {
        for arguments in [
            &["matrix", "-f", "-"][..],
            &["lint", "-f", "-"],
            &EXPLAIN,
            &["matrix", "-f", "shop", "-f", "-"],
            &["diff", "shop", "-"],
        ] {
            let output = given(text, arguments);
            assert_eq!(code(&output), 2, "{arguments:?} of {text:?}");
            let told = error(&output);
            assert!(told.contains(nothing) && told.contains("kustomize build"), "{arguments:?}: {told}");
        }
    }
    let output = given("", &["matrix", "-f", "/dev/null"]);
    assert_eq!(code(&output), 2);
    assert!(error(&output).contains("no object of Kubernetes is in /dev/null: name a folder or file"));
    let some = given("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}", &["matrix", "-f", "-"]);
    assert_eq!(code(&some), 0, "{}", error(&some));
}

/// Which addresses outside names of domains stand for, nobody knows here; pods are none of them.
#[test]
fn rows_outside_are_undecided_by_domain_names() {
    let cnp = "{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {name: x}, spec: {tier: \
               Admin, priority: 1, subject: {namespaces: {}}, egress: [{action: Accept, to: [{domainNames: ['*.example.com']}]}, \
               {action: Deny, to: [{networks: [0.0.0.0/0]}]}]}}";
    let text = format!("{PODS}{cnp}\n");
    for (filter, expected) in [
        (&[][..], 3),
        (&["--to", "outside"], 3),
        (&["--to", "203.0.113.7"], 3),
        (&["--from", "outside", "--to", "shop/web"], 0),
        (&["--to", "ledger/*"], 0),
    ] {
        let output = given(&text, &[&["matrix", "-f", "-"], filter].concat());
        assert_eq!(code(&output), expected, "{filter:?}: {}", error(&output));
        assert_eq!(error(&output).contains("domain names"), expected == 3, "{}", error(&output));
    }
}

/// A policy about nodes decides about a host-network pod by the labels of its node.
#[test]
fn nodes_of_host_network_pods_are_known() {
    let text = format!(
        "{PODS}{{apiVersion: v1, kind: Node, metadata: {{name: n1, labels: {{role: control}}}}}}\n---\n\
         {{apiVersion: v1, kind: Pod, metadata: {{name: api, namespace: kube-system}}, spec: {{hostNetwork: true, nodeName: n1}}, \
         status: {{podIP: 192.168.1.10}}}}\n---\n\
         {{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {{name: no-nodes}}, spec: \
         {{tier: Admin, priority: 1, subject: {{namespaces: {{}}}}, egress: [{{action: Deny, to: [{{nodes: {{matchLabels: {{role: \
         control}}}}}}]}}]}}}}\n"
    );
    let ends = ["--from", "shop/web", "--to", "kube-system/api:6443", "--expect", "denied"];
    let output = given(&text, &[&["explain", "-f", "-"], &ends[..]].concat());
    assert_eq!(code(&output), 0, "{}", String::from_utf8_lossy(&output.stdout));
}
