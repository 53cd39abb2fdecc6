//! The work itself, in a process of its own.

use std::fs;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::networking::v1::NetworkPolicy;
use peerwalk_netpol::{
    Change, End, Flow, Matrix, Objects, Peer, Policy, PolicyIndex, Profile, Protocol, evaluate, lower,
};
use serde_json::json;

use super::SEED;
use super::shapes::{Kind, Random, Shape, pair_spec};

type Named = (&'static str, &'static str, Kind, f64);

/// Load, index, and all pairs, three times; the middle one counts. Memory is that of the first time.
pub fn shape((_, title, kind, aim): Named) {
    let shape = Shape::new(kind, SEED);
    let (mut times, mut memory, mut pairs) = (Vec::new(), None, 0);
    for _ in 0..3 {
        let before = resident();
        let began = Instant::now();
        let objects = objects(&shape);
        let (loaded, of_objects) = (began.elapsed(), resident() - before);
        let began = Instant::now();
        let matrix = Matrix::new(&objects, Profile::UPSTREAM);
        let (indexed, of_index) = (began.elapsed(), resident() - before - of_objects);
        let began = Instant::now();
        pairs = 0;
        matrix.for_each_block(|block| pairs += block.pairs());
        let told = began.elapsed();
        times.push((loaded + indexed + told, loaded, indexed, told));
        memory.get_or_insert((of_objects, of_index));
        black_box(&matrix);
    }
    times.sort();
    let (together, loaded, indexed, told) = times[1];
    let (of_objects, of_index) = memory.expect("it was measured");
    println!(
        "| {title} | {} | {} | {} | **{}** | {aim} s | {pairs} | {} MB | {} MB |",
        seconds(loaded),
        seconds(indexed),
        seconds(told),
        seconds(together),
        of_objects / 1_000_000,
        of_index / 1_000_000,
    );
}

/// One policy changed, one flow explained, and what one pod reaches.
pub fn small((_, _, kind, _): Named) {
    let shape = Shape::new(kind, SEED);
    let objects = objects(&shape);
    let namespaces = u32::try_from(objects.namespaces.len()).expect("a count");
    let mut matrix = Matrix::new(&objects, Profile::UPSTREAM);
    let mut random = Random::new(SEED);
    let mut change = || {
        let namespace = format!("ns-{}", random.below(namespaces));
        let port = 81 + u16::try_from(random.below(1000)).expect("a port");
        let policy = lower::network_policy(&pair(&namespace, port)).expect("it is valid");
        Change::Policy(policy.reference.clone(), Some(Arc::new(policy)))
    };
    let changed = times(500, || {
        let change = change();
        let began = Instant::now();
        let changed = matrix.apply(change);
        let took = began.elapsed();
        assert_eq!(changed.decisions.len(), 1, "one server sees its client on another port");
        took
    });
    row("one policy changed → affected pairs", &changed, "10 ms");
    let made = || PolicyIndex::new(objects.namespaces.iter().cloned(), objects.policies.iter().cloned());
    let mut index = made();
    let taken = times(500, || {
        let change = change();
        let began = Instant::now();
        index.apply(change);
        began.elapsed()
    });
    row("one policy changed → the operator decides by it", &taken, "");
    let anew = times(20, || {
        let began = Instant::now();
        black_box(made());
        began.elapsed()
    });
    row("the same index made anew", &anew, "");
    let pods = u32::try_from(objects.pods.len()).expect("a count");
    let restarted = times(100, || {
        let pod = &objects.pods[random.below(pods) as usize];
        let (namespace, name) = (pod.namespace.clone(), pod.name.clone());
        let began = Instant::now();
        let changed = matrix.apply(Change::Pod { namespace, name, pod: Some(Arc::clone(pod)) });
        let took = began.elapsed();
        assert_eq!((changed.gone.len(), changed.new.len()), (1, 1), "it goes and comes");
        took
    });
    row("one pod replaced → affected pairs", &restarted, "");
    let reached = times(100, || {
        let pod = &objects.pods[random.below(pods) as usize];
        let end = End::Inside(matrix.ends_of_pod(&pod.namespace, &pod.name)[0]);
        let began = Instant::now();
        black_box(matrix.reached_from(end));
        black_box(matrix.reaching(end));
        began.elapsed()
    });
    row("what one pod reaches and who reaches it", &reached, "");
    let explained = times(20_000, || {
        let [source, destination] = [random.below(pods), random.below(pods)].map(|number| {
            let pod = &objects.pods[number as usize];
            Peer::pod(Arc::clone(pod), pod.ips[0])
        });
        let flow = Flow { source, destination, protocol: Protocol::Tcp, port: 80, service: None };
        let began = Instant::now();
        black_box(evaluate(&index, &flow, &Profile::UPSTREAM));
        began.elapsed()
    });
    row("one flow with its explanation", &explained, "50 µs");
}

pub fn objects(shape: &Shape) -> Objects {
    let lowered = shape.policies.iter().map(lower::network_policy);
    let policies = lowered.map(|policy: Result<Policy, _>| Arc::new(policy.expect("it is valid")));
    Objects {
        namespaces: shape.namespaces.clone(),
        pods: shape.pods.clone(),
        policies: policies.collect(),
        ..Objects::default()
    }
}

fn pair(namespace: &str, port: u16) -> NetworkPolicy {
    let object = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": { "namespace": namespace, "name": "pair-1" },
        "spec": pair_spec(1, port),
    });
    serde_json::from_value(object).expect("a policy")
}

fn times(count: usize, mut run: impl FnMut() -> Duration) -> Vec<Duration> {
    let mut times: Vec<Duration> = (0..count).map(|_| run()).collect();
    times.sort();
    times
}

fn row(title: &str, times: &[Duration], aim: &str) {
    let (median, slow) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!("| {title} | {median:.1?} | {slow:.1?} | {aim} |");
}

pub fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}

/// The memory of this process that is its own, in bytes.
fn resident() -> i64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux tells it");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a line of it");
    line.trim().trim_end_matches(" kB").trim().parse::<i64>().expect("a number") * 1024
}
