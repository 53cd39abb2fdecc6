//! A cluster that a command starts for itself: no other command has its folder meanwhile, and it ends with the command.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use peerwalk_cluster::{Cluster, Home, Options, Terminal};

use crate::tree;

/// The folder of a cluster, locked. What was started here ends when this goes, whatever happened, unless it is kept;
/// what somebody else started in the same folder is left alone.
pub(crate) struct OwnCluster {
    home: Home,
    started: bool,
    _lock: Lock,
}

impl OwnCluster {
    /// Takes a folder; `None` when another command has it.
    pub(crate) fn claim(home: Home) -> Result<Option<Self>> {
        let path = PathBuf::from(format!("{}.lock", home.dir().display()));
        Ok(Lock::take(path)?.map(|lock| Self { home, started: false, _lock: lock }))
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    /// Ends what an interrupted run left. Only for a folder that people start nothing in.
    pub(crate) fn clear(&self) -> Result<()> {
        self.home.down(&mut Terminal::default()).map(drop)
    }

    pub(crate) fn start(&mut self, options: &Options) -> Result<Cluster> {
        let cluster = Cluster::up_in(&self.home, options, &mut Terminal::default())?;
        self.started = true;
        Ok(cluster)
    }

    pub(crate) fn is_started(&self) -> bool {
        self.started
    }

    pub(crate) fn end(&mut self) -> Result<()> {
        if !std::mem::take(&mut self.started) {
            return Ok(());
        }
        self.home.down(&mut Terminal::default()).map(drop)
    }

    /// Leaves the cluster running.
    pub(crate) fn keep(mut self) {
        self.started = false;
    }
}

impl Drop for OwnCluster {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tree::complain(&error);
        }
    }
}

/// A file that one process at a time has.
struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// `None` when somebody else has it.
    fn take(path: PathBuf) -> Result<Option<Self>> {
        let context = || format!("cannot lock {}", path.display());
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(context)?;
        }
        loop {
            let file = File::create(&path).with_context(context)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error).with_context(context),
            }
            // Whoever had it may have removed it meanwhile, and then nobody else would find this one.
            let inode = file.metadata().with_context(context)?.ino();
            if fs::metadata(&path).is_ok_and(|found| found.ino() == inode) {
                return Ok(Some(Self { path, _file: file }));
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Still locked. That something is left, an empty file at most, is no reason to fail.
        let _ = fs::remove_file(&self.path);
        // The folder above is ours when it is called so, and stays while anything is in it.
        let above = self.path.parent().filter(|folder| folder.ends_with("peerwalk"));
        let _ = above.map_or(Ok(()), fs::remove_dir);
    }
}

/// The folder for tests beside a cluster's: never the same one.
pub(crate) fn beside(dir: &Path) -> PathBuf {
    PathBuf::from(format!("{}-test", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::{OwnCluster, beside};
    use peerwalk_cluster::Home;
    use std::fs;
    use std::path::{Path, PathBuf};

    fn folder(test: &str) -> PathBuf {
        std::env::temp_dir().join(format!("xtask-{test}-{}", std::process::id())).join("peerwalk")
    }

    #[test]
    fn one_command_at_a_time_has_a_folder_and_leaves_nothing() {
        let parent = folder("lock");
        let claim = || OwnCluster::claim(Home::at(parent.join("demo")).unwrap()).unwrap();
        let first = claim().expect("the first gets it");
        assert!(claim().is_none(), "expected the folder to be taken");
        let other = OwnCluster::claim(Home::at(parent.join("test")).unwrap()).unwrap();
        assert!(other.is_some(), "expected another folder to be free");
        drop(first);
        assert!(claim().is_some(), "expected the folder to be free again");
        drop(other);
        assert!(!parent.exists(), "expected neither lock nor folder to be left");
        fs::remove_dir(parent.parent().unwrap()).unwrap();
    }

    #[test]
    fn what_was_not_started_here_is_left_alone() {
        let parent = folder("stranger");
        let strangers = parent.join("cluster/bin/kubectl");
        fs::create_dir_all(strangers.parent().unwrap()).unwrap();
        fs::write(&strangers, "").unwrap();
        let mut own = OwnCluster::claim(Home::at(parent.join("cluster")).unwrap()).unwrap().unwrap();
        own.end().unwrap();
        drop(own);
        assert!(strangers.exists(), "expected a cluster that somebody else started to be left alone");
        fs::remove_dir_all(parent.parent().unwrap()).unwrap();
    }

    #[test]
    fn tests_have_a_folder_of_their_own() {
        let home = Home::at("/data/cluster/").unwrap();
        assert_eq!(beside(home.dir()), Path::new("/data/cluster-test"), "whatever the slashes");
    }
}
