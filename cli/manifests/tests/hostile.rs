//! Hostile input: the fuzzer's corpus and some thousands of mutations of it, through the functions that the fuzzer runs for
//! hours (`fuzz/README.md`). Nothing panics, and the memory that it takes stays bounded.

#![allow(clippy::unwrap_used, reason = "a test may, in its helpers too")]

#[path = "hostile/checked.rs"]
mod checked;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

/// Mutations of each seed.
const ROUNDS: u32 = 60;
/// The most memory that the process of this test may ever have, in kB. The largest seed is far below a megabyte.
const MOST_KB: u64 = 600_000;

/// Numbers that look like chance, the same in every run (xorshift64*, Vigna 2014).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end.max(1)).unwrap()).unwrap()
    }
}

fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    files.iter().map(|path| (name(path), fs::read(path).unwrap())).collect()
}

/// The most memory that this process ever had, in kB; none where the system does not say.
fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse().ok())
}

/// Bytes that a text must not be believed to have.
fn broken(text: &[u8], other: &[u8], chance: &mut Chance) -> Vec<u8> {
    const PIECES: [&[u8]; 16] = [
        b"\xff\xfe",
        b"\0",
        b"---\n",
        b"[[[[[[[[",
        b"{\"",
        b"&a ",
        b"*a",
        b"<<: *a\n",
        b"!!binary ",
        b"999999999999999999999",
        b"-0",
        b"1e400",
        b"\xef\xbb\xbf",
        b"\t",
        b"? ",
        b"|2\n",
    ];
    let mut text = text.to_vec();
    for _ in 0..=chance.below(4) {
        let at = chance.below(text.len() + 1);
        match chance.below(5) {
            0 => drop(text.splice(at..at, PIECES[chance.below(PIECES.len())].iter().copied())),
            1 if !text.is_empty() => {
                let at = chance.below(text.len());
                text[at] = chance.next().to_le_bytes()[3];
            }
            2 => drop(text.drain(at..(at + chance.below(40)).min(text.len()))),
            3 => {
                let from = chance.below(other.len() + 1);
                let to = (from + chance.below(200)).min(other.len());
                text.splice(at..at, other[from..to].iter().copied());
            }
            _ => text.truncate(at.max(1)),
        }
    }
    text
}

/// A value with one of its parts, somewhere, replaced by another.
fn replaced(value: &mut Value, chance: &mut Chance) {
    let hostile = || {
        [
            json!(null),
            json!(""),
            json!(-1),
            json!(65536),
            json!(1e300),
            json!(u64::MAX),
            json!(true),
            json!([]),
            json!({}),
            json!([null]),
            json!("0.0.0.0/0"),
            json!("::/129"),
            json!("*.example.com"),
            json!({ "": "" }),
            json!("\u{0}\u{202e}"),
            json!([{ "namespaces": {} }, { "pods": {} }]),
        ]
    };
    let deeper = chance.below(5) > 0;
    match value {
        Value::Array(items) if deeper && !items.is_empty() => {
            let at = chance.below(items.len());
            replaced(&mut items[at], chance);
        }
        Value::Object(map) if deeper && !map.is_empty() => {
            let at = chance.below(map.len());
            if let Some(value) = map.values_mut().nth(at) {
                replaced(value, chance);
            }
        }
        part => {
            let all = hostile();
            *part = all[chance.below(all.len())].clone();
        }
    }
}

/// Runs a function over a mutation, and says which one it was where it panics.
fn run(name: &str, round: u32, input: &[u8], checked: fn(&[u8])) {
    let ended = std::panic::catch_unwind(|| checked(input));
    let shown = String::from_utf8_lossy(&input[..input.len().min(2000)]);
    assert!(ended.is_ok(), "{name}, mutation {round}: {shown}");
}

fn bounded() {
    let peak = peak().unwrap_or_default();
    assert!(peak < MOST_KB, "expected less than {MOST_KB} kB, and it took {peak} kB");
}

#[test]
fn texts_of_any_bytes_are_read_or_refused() {
    let seeds = seeds("loader");
    assert!(seeds.len() >= 20, "expected the corpus, found {} seeds", seeds.len());
    let mut chance = Chance(0x9E37_79B9_7F4A_7C15);
    for (name, text) in &seeds {
        run(name, 0, text, checked::loader);
        for round in 1..=ROUNDS {
            let other = &seeds[chance.below(seeds.len())].1;
            run(name, round, &broken(text, other, &mut chance), checked::loader);
        }
    }
    bounded();
}

#[test]
fn policies_of_any_values_are_lowered_or_refused() {
    let seeds = seeds("lowering");
    assert!(seeds.len() >= 8, "expected the corpus, found {} seeds", seeds.len());
    let mut chance = Chance(0xD1B5_4A32_D192_ED03);
    for (name, text) in &seeds {
        run(name, 0, text, checked::lowering);
        let value: Value = serde_json::from_slice(text).unwrap();
        for round in 1..=ROUNDS {
            let mut value = value.clone();
            for _ in 0..=chance.below(3) {
                replaced(&mut value, &mut chance);
            }
            run(name, round, value.to_string().as_bytes(), checked::lowering);
        }
    }
    bounded();
}
