//! Images FROM scratch with one static binary, as OCI archives.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::binaries::{self, sources};
use crate::cache;
use crate::progress::Progress;

/// What can be loaded into the nodes' container runtimes.
#[derive(Clone, Copy, Debug)]
pub enum Image<'a> {
    /// An OCI or Docker archive, under the name it carries.
    Archive(&'a Path),
    /// A static binary: becomes an image FROM scratch that starts it as user 65532.
    Binary {
        /// Such as `peerwalk.dev/operator:dev`.
        name: &'a str,
        /// The file; its name is the program's in the image's root folder.
        file: &'a Path,
    },
}

/// Makes an OCI archive of an image with nothing but a static binary, run as user 65532.
pub fn build_image(archive: &Path, name: &str, binary: &Path) -> Result<()> {
    make(archive, name, binary, "65532:65532", "[]")
}

fn make(archive: &Path, name: &str, binary: &Path, user: &str, command: &str) -> Result<()> {
    if !binary.is_file() {
        bail!("no such binary for the image {name}: {}", binary.display());
    }
    let out = Command::new("bash")
        .arg(sources().join("scripts/image.sh"))
        .arg(archive)
        .arg(name)
        .arg(binary)
        .args([user, command])
        .output()
        .context("cannot start bash")?;
    if !out.status.success() {
        bail!("cannot make the image {name}:\n{}", String::from_utf8_lossy(&out.stderr));
    }
    Ok(())
}

/// The images that every cluster with nodes has, as archives.
pub(crate) fn base(progress: &mut dyn Progress) -> Result<Vec<PathBuf>> {
    let script = sources().join("scripts/image.sh");
    let script = fs::read(&script).with_context(|| format!("cannot read {}", script.display()))?;
    let mut archives = Vec::new();
    for (image, program, user, command) in [
        ("pause", "testbed", "65535:65535", r#"["pause"]"#),
        ("testbed", "testbed", "65532:65532", r#"["serve"]"#),
        ("coredns", "coredns", "65532:65532", "[]"),
    ] {
        let binary = binaries::one(program, progress)?;
        // The folder of the binary has the key of everything it is made of.
        let key = cache::key([
            script.as_slice(),
            binary.as_os_str().as_encoded_bytes(),
            user.as_bytes(),
            command.as_bytes(),
        ]);
        let file = format!("{image}.tar");
        let folder = cache::folder(&format!("cluster/image-{image}-{key}"), |partial| {
            progress.begin(&format!("making the image {image}"));
            make(&partial.join(&file), &format!("peerwalk.dev/{image}:dev"), &binary, user, command)?;
            progress.end();
            Ok(())
        })?;
        archives.push(folder.join(file));
    }
    Ok(archives)
}
