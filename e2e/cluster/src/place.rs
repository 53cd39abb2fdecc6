//! Where in a cluster a program of the machine can be run.

use std::str::FromStr;

use anyhow::{Result, bail};

/// Where [`crate::Cluster::exec`] runs a program. The file system is always the machine's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The network of the control plane and of node 1, with the machine's processes and mounts: tests, operators.
    Network,
    /// A node, with its network, mounts and processes: `ctr`, `nft`, `ps`.
    Node(u8),
    /// The network namespace of a pod: `ss`, `nft`, `tcpdump`.
    Pod {
        /// The pod's namespace.
        namespace: String,
        /// The pod's name.
        name: String,
    },
}

impl Place {
    /// The network namespace of that pod.
    pub fn from_pod(namespace: &str, name: &str) -> Self {
        Self::Pod { namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

impl FromStr for Place {
    type Err = anyhow::Error;

    /// `net`, `n1`, `n2` or `NAMESPACE/POD`.
    fn from_str(s: &str) -> Result<Self> {
        match (s, s.split_once('/')) {
            ("net", _) => Ok(Self::Network),
            ("n1", _) => Ok(Self::Node(1)),
            ("n2", _) => Ok(Self::Node(2)),
            (_, Some((namespace, name))) if !namespace.is_empty() && !name.is_empty() => {
                Ok(Self::from_pod(namespace, name))
            }
            _ => bail!("no such place: {s:?}; there are net, n1, n2 and NAMESPACE/POD"),
        }
    }
}

#[cfg(test)]
mod tests;
