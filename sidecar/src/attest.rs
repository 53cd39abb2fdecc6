//! `peerwalk-sidecar attest`: what a destination pod's sidecar says to the hub, said over a Unix socket to a probe
//! that is run by hand or in a lab.

mod client;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use peerwalk_model::peer::{Saw, Tuple};
use peerwalk_probe::Peer;
use peerwalk_wire::limits;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

pub(crate) use client::Attester;

/// Probes that are answered at the same time.
const CONNECTIONS: usize = 8;
/// Bytes of a question.
const LINE: u64 = 64 * 1024;
/// Until a probe that says nothing, or does not read its answer, is left.
const PATIENCE: Duration = Duration::from_mins(1);

const PROTOCOL: &str = "\
One JSON object a line, each answered by one:
  {\"watch\":{\"windowMs\":5000}}  -> \"watching\"  remember for so long, 10 s at most, what is closed;
                                                 not at once again where that is too much
  {\"look\":[{\"source\":\"10.0.0.1:40000\",\"destination\":\"10.0.1.1:80\"}]}  -> {\"saw\":{...}}, or \"tooOften\"

A destination with an unspecified address or port 0 stands for any end of this network namespace.";

/// Arguments of `attest`.
#[derive(Clone, Debug, Args)]
#[command(after_help = PROTOCOL)]
pub struct AttestArgs {
    /// The socket's path; it is made, and removed at the end.
    #[arg(long, value_name = "PATH")]
    pub listen: PathBuf,
}

/// What a probe asks.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub(crate) enum Question {
    Watch { window_ms: u64 },
    Look(Vec<Tuple>),
}

/// What it is answered.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) enum Answer {
    Watching,
    Saw(Saw),
    TooOften,
}

type Asked = (Question, oneshot::Sender<Answer>);

/// Answers until SIGTERM or SIGINT.
pub async fn run(args: AttestArgs) -> ExitCode {
    match listen(&args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let path = args.listen.display();
            let remedy = match error.kind() {
                io::ErrorKind::AddrInUse => "; remove the file if nobody else listens there",
                _ => "",
            };
            // Nobody reads what cannot be written.
            let _ = writeln!(io::stderr(), "error: cannot listen on {path}: {error}{remedy}");
            ExitCode::FAILURE
        }
    }
}

async fn listen(args: &AttestArgs) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = UnixListener::bind(&args.listen)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = serve(&listener) => {}
    }
    std::fs::remove_file(&args.listen)
}

/// One task asks the kernel; those of the connections ask it.
async fn serve(listener: &UnixListener) {
    let (ask, mut asked) = mpsc::channel::<Asked>(CONNECTIONS);
    let mut peer = Peer::new(Vec::new());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS => {
                // One that went before it was accepted is no failure of the others.
                if let Ok((stream, _)) = accepted {
                    connections.spawn(converse(stream, ask.clone()));
                }
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            Some((question, answer)) = asked.recv() => {
                // A probe that has gone wants none.
                let _ = answer.send(reply(&mut peer, question));
            }
            () = peer.remember() => {}
        }
    }
}

fn reply(peer: &mut Peer, question: Question) -> Answer {
    match question {
        Question::Watch { window_ms } => {
            peer.watch(Duration::from_millis(window_ms));
            Answer::Watching
        }
        Question::Look(mut tuples) => {
            tuples.truncate(limits::TUPLES);
            peer.look(&tuples).map_or(Answer::TooOften, Answer::Saw)
        }
    }
}

/// Answers one probe, until it ends, breaks off or says what cannot be read.
async fn converse(stream: UnixStream, ask: mpsc::Sender<Asked>) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let mut line = Vec::new();
        let mut some = (&mut read).take(LINE);
        if timeout(PATIENCE, some.read_until(b'\n', &mut line)).await?? == 0 {
            return Ok(());
        }
        let question = serde_json::from_slice(&line)?;
        let (answer, answered) = oneshot::channel();
        let gone = io::ErrorKind::BrokenPipe;
        ask.send((question, answer)).await.map_err(|_| gone)?;
        let mut text = serde_json::to_vec(&answered.await.map_err(|_| gone)?)?;
        text.push(b'\n');
        timeout(PATIENCE, write.write_all(&text)).await??;
    }
}

#[cfg(test)]
mod tests;
