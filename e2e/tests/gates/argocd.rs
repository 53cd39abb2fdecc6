//! The health script of Argo CD, run as Argo CD runs it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use mlua::serde::{LuaSerdeExt, SerializeOptions};
use mlua::{Lua, LuaOptions, StdLib, Table};
use serde_json::Value;

/// Where the script and its fixtures are.
pub fn customization() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy/argocd/resource_customizations/peerwalk.dev/ConnectivityCheck")
}

/// Lua as Argo CD opens it for a script of its ConfigMap. PUC Lua's base library brings coroutines, Argo
/// CD's does not.
pub fn closed() -> Result<Lua> {
    let open = || {
        let lua = Lua::new_with(StdLib::TABLE, LuaOptions::default())?;
        lua.globals().raw_remove("coroutine")?;
        Ok(lua)
    };
    open().map_err(|error: mlua::Error| anyhow!("{error}"))
}

/// What the script says of an object: status and message.
pub fn health(lua: &Lua, object: &Value) -> Result<(String, String)> {
    let path = customization().join("health.lua");
    let script = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    // The errors of Lua are not Send, so only their words are kept.
    evaluate(lua, &script, object).map_err(|error| anyhow!("{error}"))
}

fn evaluate(lua: &Lua, script: &str, object: &Value) -> mlua::Result<(String, String)> {
    // A JSON null is absent in Argo CD's Lua; as a value of its own it would be true.
    let options = SerializeOptions::new().serialize_none_to_null(false).serialize_unit_to_null(false);
    lua.globals().set("obj", lua.to_value_with(object, options)?)?;
    let said: Table = lua.load(script).eval()?;
    Ok((said.get("status")?, said.get("message")?))
}
