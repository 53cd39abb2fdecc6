//! From texts and objects to a cluster.

use serde_json::Value;

use crate::cluster::Cluster;

/// What hostile input may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one text.
    pub text: usize,
    /// Levels of nesting in a text.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { text: 256 * 1024 * 1024, depth: 64 }
    }
}

/// Takes objects, and gives the cluster that they make.
#[derive(Debug, Default)]
pub struct Reader {
    limits: Limits,
    cluster: Cluster,
}

impl Reader {
    /// One that takes texts within these limits.
    pub fn new(limits: Limits) -> Self {
        Self { limits, cluster: Cluster::default() }
    }

    /// Reads a text of any number of objects: YAML documents or JSON values, lists among them. What cannot be read of it
    /// is a problem of the cluster; the rest is read all the same.
    pub fn text(&mut self, source: &str, text: &[u8]) {
        let _ = (source, text, self.limits);
    }

    /// Reads one object, as a server gives it or a text has it.
    pub fn object(&mut self, source: &str, object: &Value) {
        let _ = (source, object);
    }

    /// The cluster of everything that was read.
    pub fn finish(self) -> Cluster {
        self.cluster
    }
}
