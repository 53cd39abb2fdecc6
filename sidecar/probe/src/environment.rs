//! What a walk takes from the pod it runs in: how names resolve there, what the application's proxy
//! variables say, and which addresses are its own.

pub(crate) mod hosts;
pub(crate) mod resolv_conf;

use std::io::{self, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::rules::DialRules;

/// Files larger than this are cut there; the kubelet writes a few hundred bytes.
const FILE_LIMIT: u64 = 256 * 1024;

/// The environment of every walk. Files are read anew for each walk, since the kubelet may rewrite them.
#[derive(Clone, Debug)]
pub struct Environment {
    /// `resolv.conf(5)`.
    pub resolv_conf: PathBuf,
    /// `hosts(5)`.
    pub hosts: PathBuf,
    /// The application's containers.
    pub containers: Vec<ContainerEnv>,
    /// The pod's own addresses.
    pub addresses: Vec<IpAddr>,
    /// Who asks for the dials.
    pub rules: DialRules,
    /// Only this family; `None` walks both.
    pub family: Option<Family>,
}

impl Default for Environment {
    fn default() -> Self {
        Self {
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
            hosts: PathBuf::from("/etc/hosts"),
            containers: Vec::new(),
            addresses: Vec::new(),
            rules: DialRules::Plan,
            family: None,
        }
    }
}

/// The proxy variables of one container of the application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerEnv {
    /// Its name.
    pub name: String,
    /// Name and value of each variable that could be seen, in the case they are set in.
    pub variables: Vec<(String, String)>,
    /// Some variables could not be seen (`envFrom`, Secrets, `$(…)`).
    pub not_visible: bool,
    /// These are the variables of a process, what its image sets included, and not those of a pod's object.
    pub complete: bool,
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(ip: IpAddr) -> Self {
        if ip.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// Reads a small text file; one that does not exist is empty, as for the C library.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(FILE_LIMIT).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
