//! The source tree and the terminal: what every command needs of both.

use std::env;
use std::ffi::OsString;
use std::io::{Write, stderr, stdout};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};
use std::sync::LazyLock;

use anyhow::{Context, Result, bail};

/// The folder of the workspace: that of the tree `cargo run` was called in, since checkouts that share a
/// target folder share this program too.
pub(crate) fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let built_in = || PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let here = env::var_os("CARGO_MANIFEST_DIR").map_or_else(built_in, PathBuf::from);
        here.parent().map(Path::to_path_buf).unwrap_or(here)
    });
    &ROOT
}

/// A cargo command at the root of the tree: the cargo that started this program.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.current_dir(root());
    command
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    let given = env::var_os("CARGO_TARGET_DIR").filter(|d| !d.is_empty());
    root().join(given.map_or_else(|| PathBuf::from("target"), PathBuf::from))
}

/// The context of an existing cluster that was asked for. An empty name, as in `PEERWALK_CONTEXT=`, asks for none.
pub(crate) fn context(given: Option<&String>) -> Option<&str> {
    given.map(String::as_str).filter(|name| !name.is_empty())
}

/// One line on standard output.
pub(crate) fn say(line: &str) {
    // Nobody reads it any more, as with `| head`: no reason to fail.
    let _ = writeln!(stdout(), "{line}");
}

/// An error with its causes, on standard error.
pub(crate) fn complain(error: &anyhow::Error) {
    let _ = writeln!(stderr(), "error: {}", causes(error));
}

/// An error and what caused it, outermost first.
pub(crate) fn causes(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Runs a command with this program's terminal and fails when it does.
pub(crate) fn must(command: &mut Command) -> Result<()> {
    let status =
        command.status().with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if !status.success() {
        bail!("`{}` failed: {status}", words(command));
    }
    Ok(())
}

/// A command as one would type it.
pub(crate) fn words(command: &Command) -> String {
    let all = [command.get_program()].into_iter().chain(command.get_args());
    let words: Vec<_> = all.map(|w| w.to_string_lossy().into_owned()).collect();
    let program = Path::new(&words[0]).file_name().map(|n| n.to_string_lossy().into_owned());
    [program.into_iter().collect::<Vec<_>>(), words[1..].to_vec()].concat().join(" ")
}

/// The exit code of a child as one's own.
pub(crate) fn code(status: ExitStatus) -> ExitCode {
    status.code().and_then(|c| u8::try_from(c).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}

#[cfg(test)]
mod tests {
    use super::context;

    #[test]
    fn an_empty_context_is_none() {
        for (given, expected) in [(None, None), (Some(""), None), (Some("kind-a"), Some("kind-a"))] {
            assert_eq!(context(given.map(str::to_owned).as_ref()), expected, "{given:?}");
        }
    }
}
