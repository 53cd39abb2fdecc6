//! `cargo +nightly fuzz run lowering`: see README.md.

#![no_main]

#[allow(dead_code, reason = "each target runs one of them")]
#[path = "../../cli/manifests/tests/hostile/checked.rs"]
mod checked;

libfuzzer_sys::fuzz_target!(|input: &[u8]| checked::lowering(input));
