//! All pairs of workloads against flows one by one, and differences against the rows of both sides, over the examples and,
//! where it is there, the data of np-guard.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may, in its helpers too")]

#[path = "support/given.rs"]
mod given;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use clap::Parser as _;
use peerwalk_cli::args::{Args, Command};
use peerwalk_cli::changes::{Became, Changes};
use peerwalk_cli::command::{diff, matrix};
use peerwalk_cli::exit::Exit;
use peerwalk_cli::pairs::{Pairs, Peer};
use peerwalk_manifests::{Cluster, Limits, Reader};
use peerwalk_netpol::{Flow, Pod, PolicyIndex, PortSet, Profile, Protocol, evaluate};
use serde_json::Value;

use given::clusters;

const PORTS: [(Protocol, u16); 6] = [
    (Protocol::Tcp, 80),
    (Protocol::Tcp, 8080),
    (Protocol::Tcp, 5432),
    (Protocol::Tcp, 65535),
    (Protocol::Udp, 53),
    (Protocol::Sctp, 1),
];

fn at(pod: &Arc<Pod>) -> peerwalk_netpol::Peer {
    let ip = pod.ips.first().copied().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    peerwalk_netpol::Peer::pod(Arc::clone(pod), ip)
}

fn is_allowed(
    index: &PolicyIndex,
    from: &Arc<Pod>,
    to: &Arc<Pod>,
    (protocol, port): (Protocol, u16),
) -> bool {
    let flow = Flow { source: at(from), destination: at(to), protocol, port, service: None };
    evaluate(index, &flow, &Profile::UPSTREAM).is_allowed()
}

#[test]
fn rows_say_what_flows_do() {
    let mut compared = 0;
    for (name, cluster) in clusters() {
        let index = cluster.index();
        let pairs = Pairs::new(&cluster, Profile::UPSTREAM);
        let rows: BTreeMap<(usize, usize), (PortSet, PortSet)> = pairs
            .inside()
            .map(|(from, to, open)| ((from, to), (pairs.ports(open), pairs.some(open))))
            .collect();
        assert_eq!(rows.len(), pairs.inside().count(), "{name}: each pair is in one block");
        let pods: BTreeMap<_, _> = cluster.workloads.iter().map(|of| (&of.name, &of.pods)).collect();
        for (from, source) in pairs.names.iter().enumerate() {
            for (to, destination) in pairs.names.iter().enumerate().filter(|(to, _)| *to != from) {
                let (all, some) = rows.get(&(from, to)).cloned().unwrap_or_default();
                let of = |name| pods[name].iter().filter(|pod| !pod.finished);
                for port in PORTS {
                    let said: Vec<bool> = of(source)
                        .flat_map(|one| of(destination).map(move |other| (one, other)))
                        .map(|(one, other)| is_allowed(&index, one, other, port))
                        .collect();
                    let expected = (said.iter().all(|said| *said), said.iter().any(|said| *said));
                    let ours = (all.contains(port.0, port.1), some.contains(port.0, port.1));
                    assert_eq!(ours, expected, "{name}: {source} → {destination} {port:?}");
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 100, "there is something to compare");
}

#[test]
fn a_workload_whose_pods_differ_says_so() {
    let pod = |name: &str, label: &str| {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: shop, labels: {{v: {label}}}, \
             ownerReferences: [{{kind: StatefulSet, name: db, controller: true}}]}}}}\n---\n"
        )
    };
    let policy = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p, namespace: shop}, spec: \
                  {podSelector: {matchLabels: {v: new}}, ingress: [{ports: [{port: 80}]}]}}\n---\n";
    let client = "{apiVersion: v1, kind: Pod, metadata: {name: client, namespace: shop}}\n";
    let cluster = given::of(&format!("{}{}{policy}{client}", pod("db-0", "old"), pod("db-1", "new")));
    let pairs = Pairs::new(&cluster, Profile::UPSTREAM);
    let rows: Vec<String> =
        pairs.rows().iter().map(|(from, to, open)| format!("{from} {to} {}", pairs.told(*open))).collect();
    let expected = "shop/client[Pod] shop/db[StatefulSet] TCP 80 (some pods: All Connections)";
    assert!(rows.iter().any(|row| row == expected), "{rows:#?}");
}

fn matrix_of(arguments: &[&str], cluster: &Cluster) -> String {
    let arguments = ["peerwalk", "matrix"].iter().chain(arguments);
    match Args::try_parse_from(arguments).unwrap().command {
        Command::Matrix(arguments) => matrix::answer(&arguments, cluster).unwrap(),
        other => panic!("{other:?} is not the matrix"),
    }
}

/// The pairs of the JSON form.
fn expanded(json: &str) -> BTreeSet<(String, String, String)> {
    let document: Value = serde_json::from_str(json).unwrap();
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let mut found = BTreeSet::new();
    for row in document["rows"].as_array().unwrap() {
        for from in texts(&row["from"]) {
            for to in texts(&row["to"]).into_iter().filter(|to| *to != from) {
                assert!(
                    found.insert((from.clone(), to, row["ports"].as_str().unwrap().to_owned())),
                    "each pair once"
                );
            }
        }
    }
    found
}

#[test]
fn json_and_csv_say_the_same() {
    let filters: [&[&str]; 5] = [
        &[],
        &["-n", "ledger"],
        &["--to", "shop/web", "--to", "ledger/*"],
        &["--from", "outside", "-n", "shop"],
        &["--from", "203.0.113.7"],
    ];
    for (name, cluster) in clusters() {
        for filter in filters {
            let json = expanded(&matrix_of(&[filter, &["-o", "json"]].concat(), &cluster));
            let csv = matrix_of(&[filter, &["-o", "csv"]].concat(), &cluster);
            let csv: BTreeSet<(String, String, String)> = csv
                .lines()
                .skip(1)
                .map(|line| {
                    let mut cells = line.splitn(3, ',').map(|cell| cell.trim_matches('"').to_owned());
                    (cells.next().unwrap(), cells.next().unwrap(), cells.next().unwrap())
                })
                .collect();
            assert_eq!(json, csv, "{name} {filter:?}");
        }
    }
}

#[test]
fn differences_are_those_of_the_rows() {
    let clusters = clusters();
    let inside = |cluster: &Cluster| -> BTreeMap<(Peer, Peer), (PortSet, PortSet)> {
        let pairs = Pairs::new(cluster, Profile::UPSTREAM);
        let rows = pairs
            .rows()
            .into_iter()
            .filter(|(from, to, _)| matches!(from, Peer::Workload(_)) && matches!(to, Peer::Workload(_)));
        rows.map(|(from, to, open)| ((from, to), (pairs.ports(open), pairs.some(open)))).collect()
    };
    for pair in clusters.windows(2) {
        let [(name, before), (_, after)] = pair else { continue };
        let (old, new) = (inside(before), inside(after));
        let changes = Changes::new(before, after, Profile::UPSTREAM);
        let told: BTreeMap<(Peer, Peer), Became> = changes
            .pairs
            .iter()
            .filter(|change| matches!((&change.from, &change.to), (Peer::Workload(_), Peer::Workload(_))))
            .map(|change| ((change.from.clone(), change.to.clone()), change.became))
            .collect();
        let keys: BTreeSet<&(Peer, Peer)> = old.keys().chain(new.keys()).collect();
        let expected: BTreeMap<(Peer, Peer), Became> = keys
            .into_iter()
            .filter_map(|key| match (old.get(key), new.get(key)) {
                (None, Some(_)) => Some((key.clone(), Became::Added)),
                (Some(_), None) => Some((key.clone(), Became::Removed)),
                (was, is) if was != is => Some((key.clone(), Became::Changed)),
                _ => None,
            })
            .collect();
        assert_eq!(told, expected, "{name} and the next");
        assert!(
            Changes::new(after, after, Profile::UPSTREAM).pairs.is_empty(),
            "nothing differs from itself"
        );
    }
}

#[test]
fn addresses_outside_differ_in_parts() {
    let policy = |cidr: &str| {
        format!(
            "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: p}}, spec: {{podSelector: {{}}, \
             ingress: [{{from: [{{ipBlock: {{cidr: {cidr}}}}}], ports: [{{port: 80}}]}}]}}}}\n---\n\
             {{apiVersion: v1, kind: Pod, metadata: {{name: web}}}}\n"
        )
    };
    let changes =
        Changes::new(&given::of(&policy("10.0.0.0/8")), &given::of(&policy("10.0.0.0/9")), Profile::UPSTREAM);
    let told: Vec<String> = changes
        .pairs
        .iter()
        .map(|change| format!("{} {} {:?} {}", change.from, change.to, change.became, change.closed()))
        .collect();
    assert_eq!(told, ["10.128.0.0/9[External] default/web[Pod] Removed TCP 80"]);
}

const FORMS: [&str; 4] = ["text", "json", "md", "sarif"];

fn diff_of(form: &str, before: &Cluster, after: &Cluster) -> (String, Exit) {
    let line = ["peerwalk", "diff", "a", "b", "-o", form];
    match Args::try_parse_from(line).unwrap().command {
        Command::Diff(arguments) => diff::answer(&arguments, before, after).unwrap(),
        other => panic!("{other:?} is no difference"),
    }
}

/// A rule by names opens nothing that is known here, and what it opens is not nothing.
#[test]
fn differences_by_domain_names_are_undecided() {
    let with = |names: &str| {
        given::of(&format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: web, namespace: shop}}}}\n---\n\
             {{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {{name: x}}, spec: {{tier: \
             Admin, priority: 1, subject: {{namespaces: {{}}}}, egress: [{{action: Accept, to: [{{domainNames: [{names}]}}]}}, \
             {{action: Deny, to: [{{networks: [0.0.0.0/0]}}]}}]}}}}\n"
        ))
    };
    let (one, other) = (with("example.com"), with("example.net"));
    for form in FORMS {
        assert_eq!(diff_of(form, &one, &one).1, Exit::Done, "{form}: the same names");
        let (told, exit) = diff_of(form, &one, &other);
        assert_eq!(exit, Exit::Undecided, "{form}: {told}");
        assert!(told.contains("domain names") || told.contains("\"domainNames\": true"), "{form}: {told}");
    }
}

/// Policies that cannot be read, before or after: in every form of a difference, and never taken for removed.
#[test]
fn differences_tell_what_could_not_be_read() {
    let read = |text: &str| {
        let mut reader = Reader::new(Limits::default());
        reader.text("side.yaml", text.as_bytes());
        reader.finish()
    };
    let pods = "{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop}}\n---\n\
                {apiVersion: v1, kind: Pod, metadata: {name: pg, namespace: ledger}}\n---\n";
    let head = "apiVersion: networking.k8s.io/v1, kind: NetworkPolicy";
    let good = format!("{pods}{{{head}, metadata: {{name: pg, namespace: ledger}}, spec: {{}}}}\n");
    let bad = good.replace("spec: {}", "spec: {podSelektor: {}}");
    let lost = format!("{pods}kind: NetworkPolicy\nspec:\n\ta: b\n");
    let foreign = format!(
        "{pods}{{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {{name: own, namespace: shop}}}}\n"
    );
    let shop = format!("{{{head}, metadata: {{name: web, namespace: shop}}, spec: {{}}}}\n");
    let with_shop = format!("{bad}---\n{shop}");
    let (pg, own, any) =
        ("NetworkPolicy ledger/pg", "CiliumNetworkPolicy shop/own", "what side.yaml:4 holds");
    // The sides, what could not be read, and how it ends.
    let table = [
        (&good, &good, None, Exit::Done),
        (&good, &bad, Some(pg), Exit::Undecided),
        (&bad, &good, Some(pg), Exit::Undecided),
        (&bad, &bad, Some(pg), Exit::Undecided),
        (&good, &lost, Some(any), Exit::Undecided),
        (&lost, &good, Some(any), Exit::Undecided),
        (&good, &foreign, Some(own), Exit::Undecided),
        (&foreign, &foreign, Some(own), Exit::Undecided),
        // What is open to addresses outside changes in shop, whatever the other says.
        (&bad, &with_shop, Some(pg), Exit::Otherwise),
    ];
    for (before, after, unread, exit) in table {
        let sides = (read(before), read(after));
        for form in FORMS {
            let (told, ended) = diff_of(form, &sides.0, &sides.1);
            assert_eq!(ended, exit, "{form} of\n{before}\n{after}\n{told}");
            let Some(unread) = unread else { continue };
            let named = if form == "json" { unread.rsplit('/').next().unwrap() } else { unread };
            assert!(told.contains(named), "{form} names {unread}: {told}");
            if after != &foreign {
                for removed in ["- NetworkPolicy", "removed `NetworkPolicy", "\"removed\",\n      \"kind"] {
                    assert!(!told.contains(removed), "{form}: {told}");
                }
            }
            match form {
                "json" => {
                    let value: Value = serde_json::from_str(&told).unwrap();
                    assert_eq!(value["changed"], exit == Exit::Otherwise);
                    assert!(!value["unreadable"].as_array().unwrap().is_empty());
                    let of_ledger = |pair: &&Value| pair["to"].as_str().unwrap().starts_with("ledger/");
                    let mut pairs = value["pairs"].as_array().unwrap().iter().filter(of_ledger);
                    assert!(pairs.all(|pair| pair["undecided"] == true), "{told}");
                }
                "sarif" => assert!(told.contains("\"ruleId\": \"unreadable\""), "{told}"),
                _ => assert!(told.contains("undecided") || told.contains("could not be read"), "{told}"),
            }
        }
    }
}
