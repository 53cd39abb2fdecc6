//! `peerwalk completions` and `peerwalk man`: what shells and `man` read of the command line.

use anyhow::{Context as _, Result};
use clap::{Args, Command};
use clap_complete::Shell;

use crate::exit::Exit;
use crate::print;

/// For which shell.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  source <(peerwalk completions bash)
  peerwalk completions zsh > \"${fpath[1]}/_peerwalk\"
  peerwalk completions fish > ~/.config/fish/completions/peerwalk.fish")]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Which page.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  peerwalk man > /usr/local/share/man/man1/peerwalk.1
  peerwalk man explain | man -l -")]
pub struct Man {
    /// The command that the page is about; without it that of the program
    #[arg(value_name = "COMMAND")]
    pub command: Option<String>,
}

/// Prints the completions.
///
/// # Errors
/// Where they cannot be written.
pub fn run(arguments: &Completions, mut command: Command) -> Result<Exit> {
    let mut text = Vec::new();
    let name = command.get_name().to_owned();
    clap_complete::generate(arguments.shell, &mut command, name, &mut text);
    print::out(&String::from_utf8_lossy(&text))?;
    Ok(Exit::Done)
}

/// Prints a page.
///
/// # Errors
/// Where there is no such command.
pub fn man(arguments: &Man, mut command: Command) -> Result<Exit> {
    command.build();
    let page = match &arguments.command {
        None => command,
        Some(name) => command
            .find_subcommand(name)
            .with_context(|| format!("{name} is no command; `peerwalk --help` lists them"))?
            .clone(),
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page).render(&mut text)?;
    print::out(&String::from_utf8_lossy(&text))?;
    Ok(Exit::Done)
}
