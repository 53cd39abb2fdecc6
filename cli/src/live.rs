//! A live cluster as a source: everything that policies can see, read with the right to list alone.
//!
//! What may not be listed is told with the right that is missing, and what follows from it stands in the cluster that is
//! given: where a policy may decide that could not be read, the engine says so of every answer that it could turn.

mod foreign;
mod kind;
mod known;
mod list;
mod rights;

use anyhow::{Context as _, Result};
use kube::Client;
use peerwalk_manifests::{Cluster, Reader};

use crate::connect::Session;
use crate::progress::Progress;
use kind::{KINDS, Kind};
use known::Known;
use list::{Listed, list};
pub use rights::{Missing, remedy, told};

/// What was read.
#[derive(Debug)]
pub struct Live {
    /// The cluster, as far as it could be read.
    pub cluster: Cluster,
    /// Rights that are missing, with what follows.
    pub missing: Vec<Missing>,
}

impl Live {
    /// Whether everything was read that decides who reaches whom.
    pub fn is_whole(&self) -> bool {
        let unimportant =
            |missing: &Missing| ["ReplicaSet", "Job", "EndpointSlice"].contains(&missing.kind.as_str());
        self.missing.iter().all(unimportant)
    }

    /// Whether everything of this kind was read, such as `Pod`. What is not there can only be told from everything.
    pub fn has_all(&self, kind: &str) -> bool {
        !self.missing.iter().any(|missing| missing.kind == kind)
    }
}

/// Reads a cluster.
///
/// # Errors
/// Where it does not answer. That something may not be listed is no error.
pub async fn read(session: &Session, reader: Reader, progress: &mut Progress) -> Result<Live> {
    let (client, mut known) = (&session.client, Known::default());
    let served = foreign::served(client).await;
    for kind in &KINDS {
        if kind.optional && !served.as_ref().is_ok_and(|served| served.has(kind)) {
            // Where nobody says what is served, it may be there.
            if let Err(error) = &served {
                known.missing.push(Missing::of(kind, None, error));
            }
            continue;
        }
        read_kind(client, kind, &session.namespace, &mut known, progress).await?;
    }
    match served {
        Ok(served) => {
            progress.says("reading policies of other kinds");
            let (used, missing) = foreign::used(client, &served).await;
            known.foreign = used;
            known.missing.extend(missing);
        }
        Err(error) => known.missing.push(Missing::of_discovery(&error)),
    }
    Ok(known.live(reader))
}

/// Reads a kind everywhere, or where that is not allowed in the one namespace that was named.
async fn read_kind(
    client: &Client,
    kind: &'static Kind,
    namespace: &str,
    known: &mut Known,
    progress: &mut Progress,
) -> Result<()> {
    let mut only = None;
    let mut listed = list(client, kind, None, progress).await;
    if let (Ok(Listed::Forbidden(words)), true) = (&listed, kind.namespaced) {
        let (words, here) = (words.clone(), list(client, kind, Some(namespace), progress).await);
        if let Ok(Listed::All(objects)) = here {
            known.missing.push(Missing::of(kind, Some(namespace), &words));
            only = Some(objects);
        } else {
            listed = Ok(Listed::Forbidden(words));
        }
    }
    let objects = match (only, listed) {
        (Some(objects), _) | (None, Ok(Listed::All(objects))) => objects,
        (None, Ok(Listed::Forbidden(words))) => {
            known.missing.push(Missing::of(kind, None, &words));
            return Ok(());
        }
        (None, Ok(Listed::NotServed)) if kind.optional => return Ok(()),
        (None, Ok(Listed::NotServed)) => anyhow::bail!(
            "the cluster serves no {}: Kubernetes 1.33 or later is needed, and --context may lead to another server",
            kind.resource_name()
        ),
        (None, Err(error)) => {
            let what = format!("cannot list {} (look at --context)", kind.resource_name());
            return Err(error).context(what);
        }
    };
    known.objects.insert(kind.kind, objects);
    Ok(())
}
