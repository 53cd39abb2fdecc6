//! Rows of `matrix`: of pods of one workload, of pods whose address is not known, and of what filters name.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may, in its helpers too")]

#[path = "support/given.rs"]
mod given;
#[path = "support/rows.rs"]
mod support;

use clap::Parser as _;
use peerwalk_cli::args::{Args, Command};
use peerwalk_cli::changes::Changes;
use peerwalk_cli::command::diff;
use peerwalk_cli::exit::Exit;
use peerwalk_cli::pairs::{self, Pairs};
use peerwalk_netpol::Profile;

use support::{answered, expanded, matrix_of};

/// Workloads of several pods, of one, and of pods that are there; nothing is open but what a policy says.
const REPLICAS: &str = "
{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: etcd}, spec: {replicas: 3, template: {metadata: {labels: {app:
  etcd}}}}}
---
{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: closed}, spec: {template: {metadata: {labels: {app: closed}}}}}
---
{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: agent}, spec: {template: {spec: {hostNetwork: true}}}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: one}, spec: {replicas: 1, template: {metadata: {labels: {app:
  etcd}}}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: two-a, labels: {app: etcd}, ownerReferences: [{kind: StatefulSet, name: two,
  controller: true}]}, status: {podIP: 10.0.0.1}}
---
{apiVersion: v1, kind: Pod, metadata: {name: two-b, labels: {app: etcd}, ownerReferences: [{kind: StatefulSet, name: two,
  controller: true}]}, status: {podIP: 10.0.0.2}}
---
{apiVersion: v1, kind: Pod, metadata: {name: mix-a, labels: {app: etcd}, ownerReferences: [{kind: StatefulSet, name: mix,
  controller: true}]}, status: {podIP: 10.0.0.3}}
---
{apiVersion: v1, kind: Pod, metadata: {name: mix-b, labels: {app: closed}, ownerReferences: [{kind: StatefulSet, name: mix,
  controller: true}]}, status: {podIP: 10.0.0.4}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny}, spec: {podSelector: {}}}
";

const AMONG_ETCD: &str = "
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: among}, spec: {podSelector: {matchLabels: {app:
  etcd}}, ingress: [{from: [{podSelector: {}}], ports: [{port: 2380}]}]}}
";

#[test]
fn pods_of_one_workload_are_a_pair() {
    let cluster = given::of(&format!("{REPLICAS}{AMONG_ETCD}"));
    let pairs = Pairs::new(&cluster, Profile::UPSTREAM);
    let to_itself = pairs.rows().into_iter().filter(|(from, to, _)| from == to);
    let told: Vec<String> = to_itself.map(|(from, _, open)| format!("{from} {}", pairs.told(open))).collect();
    assert_eq!(
        told,
        [
            "default/agent[DaemonSet] All Connections",
            "default/etcd[StatefulSet] TCP 2380",
            "default/mix[StatefulSet] No Connections (some pods: TCP 2380)",
            "default/two[StatefulSet] TCP 2380",
        ]
    );
    let json = expanded(&matrix_of(&["-o", "json"], &cluster));
    let csv = matrix_of(&["-o", "csv"], &cluster);
    assert_eq!(json.len(), csv.lines().count() - 1, "each row is in one block, and nothing else is");
    assert_eq!(json.iter().filter(|(from, to, _)| from == to).count(), told.len());
    let np_guard = matrix_of(&["-o", "np-guard"], &cluster);
    assert!(!np_guard.contains("etcd[StatefulSet] => default/etcd"), "{np_guard}");
}

#[test]
fn what_pods_of_one_workload_lose_is_a_difference() {
    let told = |before: &str, after: &str| -> Vec<String> {
        let changes = Changes::new(&given::of(before), &given::of(after), Profile::UPSTREAM);
        let to_itself = changes.pairs.iter().filter(|change| change.from == change.to);
        to_itself.map(|change| format!("{} {:?} {}", change.from, change.became, change.other_ends)).collect()
    };
    let all = format!("{REPLICAS}{AMONG_ETCD}");
    assert_eq!(
        told(&all, REPLICAS),
        [
            "default/etcd[StatefulSet] Removed false",
            "default/mix[StatefulSet] Removed false",
            "default/two[StatefulSet] Removed false"
        ]
    );
    // Of one pod there is no pair: one that more pods make has another end.
    let fewer = all.replace("replicas: 3", "replicas: 1");
    assert_eq!(told(&fewer, &all), ["default/etcd[StatefulSet] Added true"]);
    let Command::Diff(arguments) = Args::try_parse_from(["peerwalk", "diff", "a", "b"]).unwrap().command
    else {
        panic!("the command is diff")
    };
    let (text, exit) = diff::answer(&arguments, &given::of(&fewer), &given::of(&all)).unwrap();
    assert!(text.contains("TCP 2380") && text.contains("  (several pods on one side alone)"), "{text}");
    assert_eq!(exit, Exit::Otherwise);
}

#[test]
fn what_blocks_say_of_pods_without_an_address_is_noted() {
    let policy = |peer: &str| {
        format!(
            "---\n{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: p}}, spec: {{podSelector: {{}}, \
             ingress: [{{from: [{{{peer}}}]}}]}}}}\n"
        )
    };
    let template = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}}\n";
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: web}, status: {podIP: 10.0.0.1}}\n";
    let node = "---\n{apiVersion: v1, kind: Node, metadata: {name: n1}, spec: {podCIDRs: [10.244.0.0/24]}}\n";
    let some = policy("ipBlock: {cidr: 10.0.0.0/8}");
    let other = policy("ipBlock: {cidr: 192.0.2.0/24}");
    let networks = "---\n{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {name: c}, spec: \
                    {tier: Admin, priority: 1, subject: {namespaces: {}}, egress: [{action: Deny, to: [{networks: \
                    [10.0.0.0/8]}]}]}}\n";
    let table = [
        (format!("{template}{some}"), true),
        (format!("{template}{networks}"), true),
        (format!("{template}{}", policy("ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}")), true),
        (format!("{template}{}", policy("ipBlock: {cidr: 0.0.0.0/0}")), false),
        (format!("{template}{}", policy("podSelector: {}")), false),
        (format!("{pod}{some}"), false),
        // Where nodes say which addresses pods have, others are none of theirs.
        (format!("{template}{node}{some}"), true),
        (format!("{template}{node}{other}"), false),
        (format!("{template}{other}"), true),
    ];
    for (text, expected) in table {
        let cluster = given::of(&text);
        assert_eq!(pairs::unplaced(&cluster, Profile::UPSTREAM).is_some(), expected, "{text}");
        for output in ["md", "html"] {
            let printed = matrix_of(&["-o", output], &cluster);
            assert_eq!(printed.contains("pods without an address"), expected, "{output}: {text}");
        }
    }
    let cluster = given::of(&format!("{template}{some}"));
    assert_eq!(pairs::unplaced(&cluster, Profile::NP_GUARD), None, "blocks are not read for pods there");
}

#[test]
fn filters_that_name_nothing_are_refused() {
    let cluster = given::of(
        "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: postgres, namespace: ledger}, spec: {template: {metadata: \
         {labels: {app: pg}}}}}\n---\n\
         {apiVersion: v1, kind: Pod, metadata: {name: web-1, namespace: shop, ownerReferences: [{kind: StatefulSet, name: web, \
         controller: true}]}}\n---\n\
         {apiVersion: v1, kind: Service, metadata: {name: db, namespace: ledger}, spec: {selector: {app: pg}, ports: [{port: \
         5432}]}}\n---\n\
         {apiVersion: v1, kind: Namespace, metadata: {name: empty}}\n",
    );
    let refused = |arguments: &[&str]| answered(arguments, &cluster).err().map(|error| error.to_string());
    let table: [(&[&str], Option<&str>); 10] = [
        (&["--to", "ledger/postgres"], None),
        (&["--to", "empty/*"], None),
        (&["-n", "empty"], None),
        (&["--from", "outside", "--to", "192.0.2.1"], None),
        (
            &["--to", "ledger/postgress"],
            Some("--to: workload ledger/postgress is not among what was read; did you mean ledger/postgres?"),
        ),
        (
            &["--from", "nonexist/x"],
            Some(
                "--from: workload nonexist/x is not among what was read; without it, all that was read is listed",
            ),
        ),
        (
            &["--to", "legder/*"],
            Some("--to: namespace legder is not among what was read; did you mean ledger?"),
        ),
        (
            &["-n", "shops", "-o", "html"],
            Some("--namespace: namespace shops is not among what was read; did you mean shop?"),
        ),
        (
            &["--to", "ledger/db"],
            Some(
                "--to: ledger/db is a Service, and rows are about workloads: name ledger/postgres (StatefulSet)",
            ),
        ),
        (
            &["--from", "shop/web-1", "-o", "json"],
            Some("--from: shop/web-1 is a pod, and rows are about workloads: name shop/web (StatefulSet)"),
        ),
    ];
    for (arguments, expected) in table {
        assert_eq!(refused(arguments).as_deref(), expected, "{arguments:?}");
    }
}

#[test]
fn families_of_one_pod_are_not_some_of_its_pods() {
    let cluster = given::of(
        "{apiVersion: v1, kind: Pod, metadata: {name: web}, status: {podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]}}\n---\n\
         {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p}, spec: {podSelector: {}, ingress: [{from: \
         [{ipBlock: {cidr: 192.0.2.0/24}}], ports: [{port: 80}]}]}}\n",
    );
    let csv = matrix_of(&["-o", "csv"], &cluster);
    let rows = [
        "from,to,ports",
        "default/web[Pod],0.0.0.0/0[External],All Connections",
        "default/web[Pod],::/0[External],All Connections",
        "192.0.2.0/24[External],default/web[Pod],TCP 80",
    ];
    assert_eq!(csv.lines().collect::<Vec<_>>(), rows);
}
