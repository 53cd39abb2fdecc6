//! The health script for Argo CD, over the fixtures of upstream's own test layout.
//!
//! Argo CD runs scripts of its ConfigMap with base and table functions only, and its built-in ones with all
//! libraries (`argo-cd`, `util/lua/lua.go`), so each fixture is run both ways. No cluster is needed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use mlua::Lua;
use peerwalk_api::ConnectivityCheck;
use serde_json::Value;

#[path = "gates/argocd.rs"]
mod script;

use script::{closed, customization, health};

fn argocd() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/argocd")
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The tests of `health_test.yaml`: path of the input, expected status, expected message.
fn tests() -> Result<Vec<(String, String, String)>> {
    let file: Value = serde_saphyr::from_str(&read(&customization().join("health_test.yaml"))?)?;
    let text = |value: &Value| value.as_str().map(str::to_owned).context("a text");
    let tests = file["tests"].as_array().context("a list of tests")?;
    tests
        .iter()
        .map(|test| {
            let expected = &test["healthStatus"];
            Ok((text(&test["inputPath"])?, text(&expected["status"])?, text(&expected["message"])?))
        })
        .collect()
}

fn is_open(lua: &Lua, library: &str) -> bool {
    lua.globals().contains_key(library).unwrap_or(false)
}

fn run(lua: &Lua) -> Result<()> {
    let tests = tests()?;
    ensure!(tests.len() > 8, "there are tests");
    for (path, status, message) in tests {
        let object: Value = serde_saphyr::from_str(&read(&customization().join(&path))?)?;
        let said = health(lua, &object).with_context(|| format!("the script fails on {path}"))?;
        ensure!(said == (status, message), "{path}: {said:?}");
    }
    Ok(())
}

#[test]
fn the_script_is_right_with_libraries_closed() -> Result<()> {
    let lua = closed()?;
    for library in ["string", "math", "os", "io", "debug", "coroutine"] {
        ensure!(!is_open(&lua, library), "{library} is closed");
    }
    run(&lua)
}

#[test]
fn the_script_is_right_with_libraries_open() -> Result<()> {
    let lua = Lua::new();
    ensure!(is_open(&lua, "string"), "string is open");
    run(&lua)
}

#[test]
fn an_object_stripped_to_nothing_is_progressing() -> Result<()> {
    let lua = closed()?;
    for object in [
        serde_json::json!({ "metadata": {} }),
        serde_json::json!({ "metadata": {}, "status": {} }),
        serde_json::json!({ "metadata": { "generation": 1 }, "status": { "conditions": null } }),
        serde_json::json!({ "metadata": {}, "status": { "conditions": [{ "type": "Ready", "status": "Odd" }] } }),
    ] {
        let (status, _) = health(&lua, &object)?;
        ensure!(status == "Progressing", "an unclear object is never Healthy: {object} is {status}");
    }
    Ok(())
}

#[test]
fn every_fixture_is_used_and_is_what_our_types_write() -> Result<()> {
    let used: BTreeSet<_> = tests()?.into_iter().map(|(path, ..)| path).collect();
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(customization().join("testdata"))? {
        let path = entry?.path();
        found.insert(format!("testdata/{}", path.file_name().context("a name")?.to_string_lossy()));
        let fixture: Value = serde_saphyr::from_str(&read(&path)?)?;
        let typed: ConnectivityCheck = serde_json::from_value(fixture.clone())
            .with_context(|| format!("{} is no ConnectivityCheck", path.display()))?;
        let written = serde_json::to_value(&typed)?;
        ensure!(written == fixture, "{}: our types write {written:#}", path.display());
    }
    ensure!(used == found, "fixtures on disk {found:?}, in health_test.yaml {used:?}");
    Ok(())
}

#[test]
fn the_snippet_holds_the_script() -> Result<()> {
    let snippet: Value = serde_saphyr::from_str(&read(&argocd().join("argocd-cm-snippet.yaml"))?)?;
    let script = &snippet["data"]["resource.customizations.health.peerwalk.dev_ConnectivityCheck"];
    let expected = read(&customization().join("health.lua"))?;
    ensure!(script == &Value::String(expected), "argocd-cm-snippet.yaml has the script of health.lua");
    Ok(())
}
