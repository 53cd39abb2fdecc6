//! What `deny.toml` allows, as far as it can be told without a network: licences, banned crates, sources.

#![allow(clippy::unwrap_used)] // a test like any other, but Clippy sees helpers of test binaries as library code

use cargo_metadata::{MetadataCommand, Package};
use serde::Deserialize;
use spdx::{Expression, ParseMode};

#[derive(Deserialize)]
struct Deny {
    licenses: Licenses,
    bans: Bans,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Banned>,
}

#[derive(Deserialize)]
struct Banned {
    name: String,
    reason: String,
}

impl Deny {
    /// Why the package may not be here.
    fn objection(&self, package: &Package) -> Option<String> {
        if let Some(banned) = self.bans.deny.iter().find(|banned| *package.name == banned.name) {
            return Some(banned.reason.clone());
        }
        let source = package.source.as_ref().map(ToString::to_string).unwrap_or_default();
        if !source.starts_with("registry+") {
            return Some(format!("its source is {source:?}"));
        }
        let licence = package.license.as_deref().unwrap_or_default();
        let allowed = |id: &str| self.licenses.allow.iter().any(|allowed| allowed == id);
        let fits = Expression::parse_mode(licence, ParseMode::LAX).is_ok_and(|expression| {
            expression.evaluate(|required| required.license.id().is_some_and(|id| allowed(id.name)))
        });
        (!fits).then(|| format!("its licence is {licence:?}"))
    }
}

#[test]
fn only_what_is_allowed() {
    let deny: Deny = toml::from_str(include_str!("../../deny.toml")).unwrap();
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let metadata = MetadataCommand::new().manifest_path(manifest).exec().unwrap();
    let foreign = metadata.packages.iter().filter(|p| !metadata.workspace_members.contains(&p.id));
    let objections: Vec<String> =
        foreign.filter_map(|p| Some(format!("{} {}: {}", p.name, p.version, deny.objection(p)?))).collect();
    assert!(objections.is_empty(), "deny.toml does not allow:\n{}", objections.join("\n"));
}
