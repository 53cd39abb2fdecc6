//! What all pairs cost: `cargo xtask bench netpol`. Each shape of a cluster is measured by this program again, in a process
//! of its own, so that its memory is told apart.
#![allow(clippy::expect_used, clippy::panic, clippy::print_stderr, clippy::print_stdout)] // a benchmark, as a test, ends where anything fails

mod process;
mod shapes;
mod work;

use std::env;
use std::process::Command;

use shapes::Kind;

/// Every shape is made of it.
const SEED: u64 = 6;

/// What is measured with its name, and the time that it should take, in seconds.
const SHAPES: [(&str, &str, Kind, f64); 6] = [
    ("apps", "1,200 pods, 200 policies in 40 namespaces", Kind::Apps { namespaces: 40 }, 0.1),
    ("1k", "1k pods, 750 policies in 250 namespaces", Kind::Pairs { namespaces: 250 }, 1.0),
    ("10k", "10k pods, 7,500 policies in 2,500 namespaces", Kind::Pairs { namespaces: 2_500 }, 1.0),
    ("100k", "100k pods, 75k policies in 25k namespaces", Kind::Pairs { namespaces: 25_000 }, 1.0),
    (
        "all-to-all",
        "10k pods, 10k policies that select all, 1 namespace",
        Kind::AllToAll { pods: 10_000, policies: 10_000 },
        1.0,
    ),
    (
        "burner",
        "2,400 pods, 4,800 policies of kube-burner's shape",
        Kind::Burner { namespaces: 240, pods: 10, policies: 20 },
        1.0,
    ),
];

fn main() {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => all(),
        ["shape", name] => work::shape(shape(name)),
        ["small", name] => work::small(shape(name)),
        ["matrix", file] => process::matrix(file.as_ref()),
        _ => panic!("run it without arguments"),
    }
}

fn shape(name: &str) -> (&'static str, &'static str, Kind, f64) {
    *SHAPES.iter().find(|shape| shape.0 == name).expect("a shape of the table")
}

fn all() {
    println!("\n| cluster | load | index | all pairs | together | aim | pairs allowed | objects | index |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for (name, ..) in SHAPES {
        again(&["shape", name]);
    }
    println!("\n| in the 100k cluster | median | slowest of 99 % | aim |\n|---|---|---|---|");
    again(&["small", "100k"]);
    process::measure(shape("apps").2);
}

fn again(words: &[&str]) {
    let program = env::current_exe().expect("a program knows itself");
    let status = Command::new(program).args(words).status().expect("it runs again");
    assert!(status.success(), "{words:?} failed");
}
