//! Whole processes: from a file of manifests to JSON, beside network-config-analyzer on the same file.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use peerwalk_netpol::{Matrix, Namespace, Objects, Pod, Profile, lower};
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::SEED;
use super::shapes::{Kind, Shape};
use super::work::seconds;

/// From manifests to JSON in one process, and in that of others.
pub fn measure(kind: Kind) {
    let shape = Shape::new(kind, SEED);
    let folder = env::temp_dir().join(format!("peerwalk-bench-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("cluster.yaml");
    let documents: Vec<String> = shape.manifests().iter().map(ToString::to_string).collect();
    fs::write(&file, documents.join("\n---\n")).expect("the manifests can be written");
    println!(
        "\n| whole process, {} pods, {} policies, from manifests | time | ratio |",
        shape.pods.len(),
        shape.policies.len()
    );
    println!("|---|---|---|");
    let own = env::current_exe().expect("a program knows itself");
    let library = best(10, Command::new(own).arg("matrix").arg(&file)).expect("it runs");
    println!("| the library alone, JSON out | {} | 1 |", seconds(library));
    let mut fastest = library;
    if let Some(cli) = env::var_os("PEERWALK_CLI") {
        let mut command = Command::new(cli);
        command.args(["matrix", "--output", "json", "-f"]).arg(&folder);
        fastest = told("peerwalk matrix --output json", best(5, &mut command), library).unwrap_or(fastest);
    } else {
        eprintln!("PEERWALK_CLI names no program: `peerwalk matrix` was not measured");
    }
    match env::var_os("PEERWALK_NCA") {
        Some(nca) => {
            told("network-config-analyzer 2.1.0", best(1, &mut analyzer(&nca, &folder)), fastest);
        }
        None => eprintln!("PEERWALK_NCA names no program: network-config-analyzer was not measured"),
    }
    fs::remove_dir_all(&folder).expect("the folder can be removed");
}

fn analyzer(program: &OsStr, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.args([
        "--connectivity",
        "--output_format",
        "json",
        "--output_endpoints",
        "pods",
        "--resource_list",
    ]);
    command.arg(folder);
    command
}

fn told(name: &str, time: Option<Duration>, ours: Duration) -> Option<Duration> {
    match time {
        Some(time) => {
            println!("| {name} | {} | {:.1} |", seconds(time), time.as_secs_f64() / ours.as_secs_f64());
        }
        None => println!("| {name} | failed | – |"),
    }
    time
}

/// The fastest of so many runs.
fn best(runs: u32, command: &mut Command) -> Option<Duration> {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let run = |_| {
        let began = Instant::now();
        let status = command.status().ok()?;
        status.success().then(|| began.elapsed())
    };
    (0..runs).map(run).collect::<Option<Vec<_>>>()?.into_iter().min()
}

/// Reads manifests, computes, and writes what reaches what.
pub fn matrix(file: &Path) {
    let text = fs::read_to_string(file).expect("the file can be read");
    let mut objects = Objects::default();
    for document in text.split("\n---\n") {
        let object: Value = serde_json::from_str(document).expect("JSON is YAML too");
        match object["kind"].as_str() {
            Some("Namespace") => objects.namespaces.push(namespace(&object)),
            Some("Pod") => objects.pods.push(Arc::new(pod(&object))),
            _ => {
                let policy = NetworkPolicy::deserialize(&object).expect("a policy");
                objects.policies.push(Arc::new(lower::network_policy(&policy).expect("it is valid")));
            }
        }
    }
    let matrix = Matrix::new(&objects, Profile::UPSTREAM);
    let names: Vec<String> = matrix
        .ends()
        .filter_map(|(_, member)| member.as_pod().map(|pod| format!("{}/{}", pod.namespace, pod.name)))
        .collect();
    let mut out = BufWriter::new(File::create("/dev/stdout").expect("somebody reads"));
    write!(out, "{{\"ends\":{},\"reach\":[", json!(names)).expect("it can be written");
    let mut comma = "";
    matrix.for_each_block(|block| {
        let runs = |runs: Vec<(peerwalk_netpol::EndId, peerwalk_netpol::EndId)>| {
            let places = runs.into_iter().map(|(first, last)| [first.number(), last.number()]);
            places.collect::<Vec<_>>()
        };
        let sources = runs(block.sources().collect());
        let destinations = runs(block.destinations().collect());
        let block = json!({ "from": sources, "to": destinations, "ports": block.ports.to_string() });
        write!(out, "{comma}{block}").expect("it can be written");
        comma = ",";
    });
    write!(out, "]}}").expect("it can be written");
    out.flush().expect("it can be written");
}

fn namespace(object: &Value) -> Namespace {
    let metadata = v1::Namespace::deserialize(object).expect("a namespace").metadata;
    Namespace { name: metadata.name.unwrap_or_default(), labels: metadata.labels.unwrap_or_default() }
}

fn pod(object: &Value) -> Pod {
    let pod = v1::Pod::deserialize(object).expect("a pod");
    let ips = pod.status.and_then(|status| status.pod_ips).unwrap_or_default();
    Pod {
        namespace: pod.metadata.namespace.unwrap_or_default(),
        name: pod.metadata.name.unwrap_or_default(),
        labels: pod.metadata.labels.unwrap_or_default(),
        ips: ips.iter().map(|ip| ip.ip.parse().expect("an address")).collect(),
        node: pod.spec.and_then(|spec| spec.node_name),
        ..Pod::default()
    }
}
