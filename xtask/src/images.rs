//! `cargo xtask images`: static binaries, and images of them FROM scratch.

use std::env::consts::ARCH;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use peerwalk_cluster::{Cluster, Image, Progress, Terminal, build_image, missing_for_images};

use crate::tree;

/// What images can be built on, and for: there is no cross compiler here.
const ARCHITECTURES: [&str; 2] = ["x86_64", "aarch64"];
const PROGRAMS: [(&str, &str); 2] =
    [("peerwalk-operator", "peerwalk.dev/operator:dev"), ("peerwalk-sidecar", "peerwalk.dev/sidecar:dev")];

#[derive(Args)]
pub(crate) struct Arguments {
    /// How to compile: quickly for tests, or as released (small, minutes)
    #[arg(long, value_enum, default_value_t = Profile::Quick)]
    profile: Profile,
    /// Load them into the running cluster as well
    #[arg(long)]
    load: bool,
}

/// A Cargo profile of the workspace.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    Quick,
    Dist,
}

impl Profile {
    fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Dist => "dist",
        }
    }
}

/// The static target of this machine: glibc's own static start-up code, so no other toolchain is needed.
fn target() -> String {
    format!("{ARCH}-unknown-linux-gnu")
}

/// The folder of the static binaries.
pub(crate) fn binaries(profile: Profile) -> PathBuf {
    tree::target().join(target()).join(profile.name())
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let progress = &mut Terminal::default();
    let missing = missing_for_images();
    if !missing.is_empty() {
        bail!("images are made with buildah: run `apt-get install {}`", missing.join(" "));
    }
    let archives = build(arguments.profile, progress)?;
    if arguments.load {
        let cluster = Cluster::connect()?;
        for archive in &archives {
            cluster.load_image(Image::Archive(archive), progress)?;
        }
    }
    for archive in archives {
        tree::say(&archive.display().to_string());
    }
    Ok(ExitCode::SUCCESS)
}

/// The images' OCI archives, of programs that are compiled first.
pub(crate) fn build(profile: Profile, progress: &mut dyn Progress) -> Result<Vec<PathBuf>> {
    compile(profile)?;
    pack(profile, progress)
}

/// The static binaries, in the folder that [`binaries`] names.
pub(crate) fn compile(profile: Profile) -> Result<()> {
    if !ARCHITECTURES.contains(&ARCH) {
        bail!(
            "images are built for {}, on a machine of the same kind, and this one is {ARCH}",
            ARCHITECTURES.join(" and ")
        );
    }
    match profile {
        Profile::Quick => compile_together(profile, &PROGRAMS.map(|(program, _)| program)),
        // Each alone, so that the sidecar carries no feature that only the operator asks for.
        Profile::Dist => PROGRAMS.iter().try_for_each(|(program, _)| compile_together(profile, &[program])),
    }
}

/// Images of the programs of another tree, with this tag. They are built in the same folder: what is needed of this tree's
/// own has to be built afterwards.
pub(crate) fn of_tree(root: &Path, tag: &str, progress: &mut dyn Progress) -> Result<Vec<PathBuf>> {
    let programs = PROGRAMS.map(|(program, _)| program);
    tree::must(command(Profile::Quick, &programs).current_dir(root).env("CARGO_TARGET_DIR", tree::target()))?;
    make(Profile::Quick, Some(tag), progress)
}

/// OCI archives of images with the binaries that are there, in `target/images`.
pub(crate) fn pack(profile: Profile, progress: &mut dyn Progress) -> Result<Vec<PathBuf>> {
    make(profile, None, progress)
}

fn make(profile: Profile, tag: Option<&str>, progress: &mut dyn Progress) -> Result<Vec<PathBuf>> {
    let folder = tree::target().join("images");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut archives = Vec::new();
    for (program, name) in PROGRAMS {
        let (name, file) = match tag {
            Some(tag) => (name.replace(":dev", &format!(":{tag}")), format!("{program}-{tag}.tar")),
            None => (name.to_owned(), format!("{program}.tar")),
        };
        progress.begin(&format!("making the image {name}"));
        let archive = folder.join(file);
        build_image(&archive, &name, &binaries(profile).join(program))?;
        archives.push(archive);
    }
    progress.end();
    Ok(archives)
}

fn compile_together(profile: Profile, programs: &[&str]) -> Result<()> {
    tree::must(&mut command(profile, programs))
}

fn command(profile: Profile, programs: &[&str]) -> Command {
    let mut cargo = tree::cargo();
    cargo
        .args(["build", "--target", &target(), "--profile", profile.name()])
        .env("CARGO_ENCODED_RUSTFLAGS", flags(profile).join("\u{1f}"));
    for program in programs {
        cargo.args(["--package", program]);
    }
    cargo
}

/// Static. As released also with one relocation for a range of pointers rather than one for each (`DT_RELR`, glibc
/// 2.36), and without unwind tables.
fn flags(profile: Profile) -> Vec<String> {
    let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned()];
    if profile == Profile::Dist {
        let script = tree::root().join("xtask/src/images/layout.ld");
        flags.push("-Clink-arg=-Wl,-z,pack-relative-relocs".to_owned());
        flags.push(format!("-Clink-arg=-Wl,-T,{}", script.display()));
    }
    flags
}
