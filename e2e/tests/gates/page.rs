//! The objects of `docs/gitops.md`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Every object of the page's YAML blocks.
pub fn objects() -> Result<Vec<Value>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/gitops.md");
    let page = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let documents = blocks.flat_map(|block| block.split("\n---\n"));
    documents
        .map(|document| serde_saphyr::from_str(document).with_context(|| format!("not YAML:\n{document}")))
        .collect()
}

/// The one object of a kind.
pub fn only(kind: &str) -> Result<Value> {
    let mut found = objects()?.into_iter().filter(|object| object["kind"] == kind);
    let object = found.next().with_context(|| format!("the page has no {kind}"))?;
    ensure!(found.next().is_none(), "one {kind}");
    Ok(object)
}
