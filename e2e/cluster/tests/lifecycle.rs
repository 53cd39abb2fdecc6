//! A cluster begins, denies as it is told, and leaves nothing, however it ends. Needs root, and a few minutes
//! when its programs are not built yet, so it runs on demand: `cargo xtask test --only nodes`.

#![allow(clippy::unwrap_used)] // a test like any other, but Clippy sees helpers of test binaries as library code

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use peerwalk_cluster::{Cluster, Deny, Home, Options, Place, Quiet};

/// One at a time: what is compared before and after is the whole machine's.
fn alone() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Of this run alone: another one at the same time, or a cluster of somebody else, is not to be ended.
fn home() -> Home {
    Home::at(format!("/var/lib/peerwalk-lifecycle-{}", std::process::id())).unwrap()
}

fn options(nodes: u8) -> Options {
    Options { nodes, max_life: Duration::from_mins(20), ..Options::default() }
}

/// Everything that a cluster could leave on the machine, as lines: all mounts, interfaces and tables, as nobody knows
/// what a leak would be called. A container that somebody starts meanwhile looks like one.
fn traces(home: &Home) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in fs::read_to_string("/proc/self/mountinfo").unwrap().lines() {
        found.insert(format!("mount {}", line.split(' ').nth(4).unwrap()));
    }
    for entry in fs::read_dir("/sys/class/net").unwrap() {
        found.insert(format!("interface {}", entry.unwrap().file_name().display()));
    }
    for cgroup in home.cgroups().unwrap() {
        found.insert(format!("cgroup {}", cgroup.display()));
    }
    for pid in home.processes().unwrap() {
        found.insert(format!("process {pid}"));
    }
    for path in [
        "/var/lib/kubelet",
        "/var/lib/cni",
        "/run/netns",
        "/run/containerd",
        "/var/log/pods",
        "/var/log/containers",
    ] {
        if Path::new(path).exists() {
            found.insert(format!("folder {path}"));
        }
    }
    if home.dir().exists() {
        found.insert(format!("folder {}", home.dir().display()));
    }
    for sysctl in [
        "vm/overcommit_memory",
        "vm/panic_on_oom",
        "kernel/panic",
        "kernel/panic_on_oops",
        "net/ipv4/ip_forward",
    ] {
        let value = fs::read_to_string(Path::new("/proc/sys").join(sysctl)).unwrap();
        found.insert(format!("sysctl {sysctl} {}", value.trim()));
    }
    for line in printed(Command::new("nft").args(["list", "tables"])).lines() {
        found.insert(format!("nft {line}"));
    }
    found
}

/// Network namespaces of processes with that network namespace's identity, as `net:[4026532250]`.
fn processes_in(network: &str) -> usize {
    let entries = fs::read_dir("/proc").unwrap();
    entries
        .filter(|e| {
            fs::read_link(e.as_ref().unwrap().path().join("ns/net")).is_ok_and(|n| n.as_os_str() == network)
        })
        .count()
}

fn network(home: &Home) -> String {
    let init = home.init().unwrap();
    fs::read_link(format!("/proc/{init}/ns/net")).unwrap().into_os_string().into_string().unwrap()
}

fn printed(command: &mut Command) -> String {
    let out = command.output().unwrap();
    assert!(out.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

/// Processes of the cluster, by the end of their command line's first word.
fn pids(home: &Home, program: &str) -> Vec<u32> {
    let is = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|b| *b == 0).next().is_some_and(|w| w.ends_with(program.as_bytes()))
    };
    home.processes().unwrap().into_iter().filter(is).collect()
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(30), "expected within 30 s: {what}");
        sleep(Duration::from_millis(20));
    }
}

#[test]
#[ignore = "starts clusters: needs root"]
fn leaves_nothing_whatever_is_killed() {
    let _alone = alone();
    let home = home();
    home.down(&mut Quiet).unwrap();
    let before = traces(&home);
    // The process that bounds its life, the one that made the namespaces, process 1 in them, and a component.
    for victim in ["timeout", "unshare", "init", "etcd", "nothing"] {
        Cluster::up_in(&home, &options(0), &mut Quiet).unwrap();
        let network = network(&home);
        let victims = match victim {
            "init" => vec![home.init().unwrap()],
            "nothing" => Vec::new(),
            program => pids(&home, program),
        };
        assert!(victim == "nothing" || !victims.is_empty(), "expected a process {victim} in the cluster");
        for pid in victims {
            printed(Command::new("kill").args(["-KILL", &pid.to_string()]));
        }
        assert!(
            home.down(&mut Quiet).unwrap(),
            "expected `down` to have something to do after {victim} was killed"
        );
        assert_eq!(traces(&home), before, "expected nothing to be left after {victim} was killed");
        eventually("the network namespace is gone", || processes_in(&network) == 0);
    }
    assert!(!home.down(&mut Quiet).unwrap(), "expected a second `down` to have nothing to do");
}

#[test]
#[ignore = "starts clusters: needs root"]
fn ends_by_itself_when_its_time_is_over() {
    let _alone = alone();
    let home = home();
    home.down(&mut Quiet).unwrap();
    let before = traces(&home);
    let cluster = Cluster::up_in(&home, &options(0), &mut Quiet).unwrap();
    let refused = Cluster::up_in(&home, &options(0), &mut Quiet).unwrap_err().to_string();
    assert!(refused.contains("already running"), "expected a second cluster to be refused, got: {refused}");
    // What its timer does, without waiting for it.
    for pid in pids(&home, "timeout") {
        printed(Command::new("kill").args(["-ALRM", &pid.to_string()]));
    }
    eventually("everything is removed without `down`", || traces(&home) == before);
    assert!(cluster.exec(&Place::Network, "true").is_err(), "expected an ended cluster to be reported");
}

/// Pods `server` on n1 and `client1`, `client2` on n1 and n2, and a policy that isolates the server.
const WORKLOAD: &str = r#"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: isolate}
spec:
  podSelector: {matchLabels: {app: server}}
  policyTypes: [Ingress]
  ingress:
  # Nothing that matches: an exception covers the pods, IPv6 is not here. Overlapping exceptions are legal.
  - from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.244.0.0/16, 10.244.1.0/24]}}, {ipBlock: {cidr: "fd00::/8"}}]
    ports: [{port: http}]
"#;

fn pod(name: &str, app: &str, node: u8) -> String {
    format!(
        r#"---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: {app}}}}}
spec:
  nodeSelector: {{kubernetes.io/hostname: n{node}}}
  terminationGracePeriodSeconds: 0
  containers:
  - name: testbed
    image: peerwalk.dev/testbed:dev
    args: [listen, "http:8080", "udp:8081", "echo:9000"]
    ports: [{{containerPort: 8080, name: http}}]
    readinessProbe: {{httpGet: {{path: /, port: http}}, periodSeconds: 1}}
"#
    )
}

fn apply(cluster: &Cluster, yaml: &str) {
    let mut kubectl = cluster.kubectl();
    let mut child =
        kubectl.args(["apply", "-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), yaml.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "expected this to be applied: {yaml}");
}

/// What a client in a pod says about an attempt of at most half a second.
fn attempt(cluster: &Cluster, client: &str, kind: &str, host: &str, port: &str) -> String {
    let out =
        cluster.kubectl().args(["exec", client, "--", "/testbed", kind, host, port, "500"]).output().unwrap();
    String::from_utf8(out.stdout).unwrap()
}

#[test]
#[ignore = "starts clusters: needs root"]
fn two_nodes_deny_in_every_mode_and_leave_nothing() {
    let _alone = alone();
    let home = home();
    home.down(&mut Quiet).unwrap();
    let before = traces(&home);
    let cluster = Cluster::up_in(&home, &options(2), &mut Quiet).unwrap();
    let status = cluster.status().unwrap();
    assert!(status.ended.is_empty(), "expected every program to run, ended: {:?}", status.ended);
    assert!(
        status.nodes.iter().all(|n| n.ready == "True") && status.nodes.len() == 2,
        "expected two ready nodes: {status:?}"
    );

    apply(
        &cluster,
        &[pod("server", "server", 1), pod("client1", "client", 1), pod("client2", "client", 2)].concat(),
    );
    printed(cluster.kubectl().args(["wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s"]));
    let server = printed(cluster.kubectl().args(["get", "pod", "server", "-o", "jsonpath={.status.podIP}"]));
    for client in ["client1", "client2"] {
        for (kind, port) in [("tcp", "8080"), ("udp", "8081")] {
            let said = attempt(&cluster, client, kind, &server, port);
            assert!(said.contains(" OK "), "expected {kind} from {client} without a policy to pass: {said}");
        }
    }
    let addresses =
        printed(cluster.exec(&Place::from_pod("default", "server"), "ip").unwrap().args(["-4", "address"]));
    assert!(addresses.contains(&server), "expected to be in the pod's network: {addresses}");

    let mut kept = cluster.kubectl();
    kept.args(["exec", "client2", "--", "/testbed", "keep", &server, "9000", "20"]).stdout(Stdio::piped());
    let mut kept = kept.spawn().unwrap();
    eventually("the connection that is to be kept is established", || {
        printed(cluster.exec(&Place::from_pod("default", "client2"), "ss").unwrap().arg("-tn"))
            .contains(":9000")
    });
    apply(&cluster, WORKLOAD);
    for (mode, tcp, udp) in [
        (Deny::Drop, "TIMEOUT", "TIMEOUT"),
        (Deny::Reject, "(111)|type=3 code=3", "type=3 code=3"),
        (Deny::Reset, "(111)|errqueue: empty", "type=3 code=3"),
        (Deny::Prohibited, "(113)|type=3 code=13", "type=3 code=13"),
        (Deny::None, " OK ", " OK "),
    ] {
        cluster.set_deny(mode).unwrap();
        for client in ["client1", "client2"] {
            for (kind, port, wanted) in [("tcp", "8080", tcp), ("udp", "8081", udp)] {
                let said = attempt(&cluster, client, kind, &server, port);
                assert!(
                    wanted.split('|').all(|w| said.contains(w)),
                    "{mode}, {client}, {kind}: expected {wanted}, got {said}"
                );
            }
        }
    }
    assert!(kept.try_wait().unwrap().is_none(), "expected the connection to be in use through all modes");
    let kept = kept.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&kept.stdout).into_owned();
    assert!(said.contains("kept for"), "expected an established connection to survive all modes: {said}");

    // The runtime and a kubelet killed, pods running: the worst time to end.
    for program in ["containerd", "bin/kubelet"] {
        for pid in pids(&home, program) {
            printed(Command::new("kill").args(["-KILL", &pid.to_string()]));
        }
    }
    let network = network(&home);
    home.down(&mut Quiet).unwrap();
    assert_eq!(traces(&home), before, "expected nothing to be left of two nodes");
    eventually("the network namespace is gone", || processes_in(&network) == 0);
}
