//! The probe's side of `attest`.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use peerwalk_model::peer::{Saw, Tuple};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{Answer, Question};

/// Time for an answer: the other side asks its kernel and nobody else.
const ANSWER: Duration = Duration::from_millis(300);

/// Somebody who attests, by the path of its socket.
#[derive(Clone, Debug)]
pub(crate) struct Attester(pub(crate) PathBuf);

impl Attester {
    /// What it is called: its file, without the ending.
    pub(crate) fn name(&self) -> String {
        self.0.file_stem().unwrap_or(self.0.as_os_str()).to_string_lossy().into_owned()
    }

    /// Has it remember for so long what is closed.
    pub(crate) async fn watch(&self, window: Duration) -> io::Result<()> {
        let window_ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        self.ask(&Question::Watch { window_ms }).await.map(drop)
    }

    /// What it holds of these dials.
    pub(crate) async fn look(&self, tuples: Vec<Tuple>) -> io::Result<Saw> {
        let asked = tuples.clone();
        match self.ask(&Question::Look(tuples)).await? {
            Answer::Saw(saw) if saw.seen.iter().map(|seen| seen.tuple).eq(asked) => Ok(saw),
            other => Err(io::Error::other(format!("{other:?} is no answer to what was asked"))),
        }
    }

    async fn ask(&self, question: &Question) -> io::Result<Answer> {
        timeout(ANSWER, exchange(&self.0, question)).await?
    }
}

async fn exchange(path: &Path, question: &Question) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(path).await?;
    let mut line = serde_json::to_vec(question)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut answer = Vec::new();
    BufReader::new(&mut stream).read_until(b'\n', &mut answer).await?;
    Ok(serde_json::from_slice(&answer)?)
}
