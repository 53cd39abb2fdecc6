//! The Go programs of a cluster: what they are built from, and where the built ones are kept.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::cache;
use crate::progress::Progress;

/// The version that the API server and kubectl report; `kube/go.mod` decides what is really built.
const KUBERNETES: &str = "v1.34.4";

/// One program and how `go build` makes it.
struct Component {
    /// Its name, and the folder of its `main` package within the module.
    name: &'static str,
    module: &'static str,
    package: &'static str,
    tags: &'static str,
    /// Stamped with the Kubernetes version: clients refuse servers that report none.
    versioned: bool,
    /// What else it is called by: it acts by the name it is started under.
    links: &'static [&'static str],
    cost: &'static str,
}

/// In the order in which they are built: the long one first, as it warms the caches of the others.
const COMPONENTS: [Component; 5] = [
    Component {
        name: "kubernetes",
        module: "kube",
        package: "cmd/kubernetes",
        tags: "providerless",
        versioned: true,
        links: &[
            "etcd",
            "kube-apiserver",
            "kube-controller-manager",
            "kube-proxy",
            "kube-scheduler",
            "kubelet",
        ],
        cost: "about 8 minutes the first time on 2 cores",
    },
    Component {
        name: "kubectl",
        module: "kube",
        package: "cmd/kubectl",
        tags: "",
        versioned: true,
        links: &[],
        cost: "about a minute the first time",
    },
    Component {
        name: "enforcer",
        module: "kube",
        package: "cmd/enforcer",
        tags: "",
        versioned: false,
        links: &[],
        cost: "seconds",
    },
    Component {
        name: "coredns",
        module: "coredns",
        package: ".",
        tags: "",
        versioned: false,
        links: &[],
        cost: "about 2 minutes the first time",
    },
    Component {
        name: "testbed",
        module: "testbed",
        package: ".",
        tags: "",
        versioned: false,
        links: &[],
        cost: "seconds",
    },
];

/// What a control plane without nodes needs of them.
const CONTROL_PLANE: [&str; 2] = ["kubernetes", "kubectl"];

/// Makes sure that the programs of a cluster with so many nodes are built; gives each name that one is started by
/// with its file.
pub(crate) fn all(nodes: u8, progress: &mut dyn Progress) -> Result<Vec<(&'static str, PathBuf)>> {
    let mut found = Vec::new();
    for component in components(nodes) {
        let file = component.build(progress)?;
        found.extend(component.links.iter().map(|link| (*link, file.clone())));
        found.push((component.name, file));
    }
    Ok(found)
}

/// Fails, with what to install, where a program of a cluster with so many nodes has to be built and cannot be.
pub fn check_go(nodes: u8) -> Result<()> {
    for component in components(nodes) {
        if !cache::has(&component.place()?)? {
            return go_is_new_enough();
        }
    }
    Ok(())
}

fn components(nodes: u8) -> impl Iterator<Item = &'static Component> {
    COMPONENTS.iter().filter(move |c| nodes > 0 || CONTROL_PLANE.contains(&c.name))
}

/// One program alone.
pub(crate) fn one(name: &str, progress: &mut dyn Progress) -> Result<PathBuf> {
    let component = COMPONENTS.iter().find(|c| c.name == name);
    component.with_context(|| format!("no such program: {name}"))?.build(progress)
}

/// The folder of the Go modules and scripts.
pub(crate) fn sources() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Component {
    fn build(&self, progress: &mut dyn Progress) -> Result<PathBuf> {
        let folder = cache::folder(&self.place()?, |partial| {
            go_is_new_enough()?;
            progress.begin(&format!("building {} ({})", self.name, self.cost));
            self.go_build(&partial.join(self.name), progress)?;
            progress.end();
            Ok(())
        })?;
        Ok(folder.join(self.name))
    }

    /// Its folder in the cache.
    fn place(&self) -> Result<String> {
        Ok(format!("cluster/{}-{}", self.name, self.key()?))
    }

    /// Changes with the versions of all modules, the sources and the flags.
    fn key(&self) -> Result<String> {
        let module = sources().join(self.module);
        let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        let mut parts = vec![self.flags().join(" ").into_bytes()];
        for name in ["go.mod", "go.sum"] {
            let path = module.join(name);
            if path.exists() {
                parts.push(read(&path)?);
            }
        }
        let package = module.join(self.package);
        let entries = fs::read_dir(&package).with_context(|| format!("cannot read {}", package.display()))?;
        let mut files: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
        files.retain(|f| f.extension().is_some_and(|e| e == "go"));
        files.sort();
        for file in files {
            parts.push(read(&file)?);
        }
        Ok(cache::key(parts.iter().map(Vec::as_slice)))
    }

    fn flags(&self) -> Vec<String> {
        let mut linker = vec!["-s -w".to_owned()];
        if self.versioned {
            let minor = KUBERNETES.split('.').nth(1).unwrap_or_default();
            for (variable, value) in [
                ("gitVersion", KUBERNETES),
                ("gitMajor", "1"),
                ("gitMinor", minor),
                ("gitCommit", "none"),
                ("gitTreeState", "clean"),
                ("buildDate", "2026-01-01T00:00:00Z"),
            ] {
                linker.push(format!("-X k8s.io/component-base/version.{variable}={value}"));
            }
        }
        let mut flags = vec!["-mod=readonly".into(), "-trimpath".into(), "-buildvcs=false".into()];
        if !self.tags.is_empty() {
            flags.extend(["-tags".into(), self.tags.into()]);
        }
        flags.extend(["-ldflags".into(), linker.join(" ")]);
        flags
    }

    fn go_build(&self, output: &Path, progress: &mut dyn Progress) -> Result<()> {
        let mut go = Command::new("nice")
            .args(["go", "build", "-v"])
            .args(self.flags())
            .arg("-o")
            .arg(output)
            .arg(format!("./{}", self.package))
            .current_dir(sources().join(self.module))
            .env("CGO_ENABLED", "0")
            .env("GOFLAGS", "")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start `go build`")?;
        // With -v it names each package as it is compiled, and each module as it is downloaded.
        let mut said = Vec::new();
        if let Some(stderr) = go.stderr.take() {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                progress.detail(&format!("{}: {line}", said.len() + 1));
                said.push(line);
            }
        }
        let status = go.wait().context("cannot wait for `go build`")?;
        if !status.success() {
            let last = said[said.len().saturating_sub(20)..].join("\n");
            bail!("`go build` of {} failed ({status}):\n{last}", self.name);
        }
        Ok(())
    }
}

fn go_is_new_enough() -> Result<()> {
    const REMEDY: &str = "install Go 1.25 or newer from https://go.dev/dl and put it in PATH";
    let Ok(out) = Command::new("go").args(["env", "GOVERSION"]).output() else {
        bail!("the cluster's programs are built with Go, and there is no `go`: {REMEDY}");
    };
    let version = String::from_utf8_lossy(&out.stdout).trim().to_owned();
    let minor = version.strip_prefix("go1.").and_then(|v| v.split('.').next()?.parse::<u32>().ok());
    if minor.is_some_and(|m| m < 25) {
        bail!("the cluster's programs need Go 1.25, and `go` is {version}: {REMEDY}");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
