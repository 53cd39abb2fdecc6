//! Two network namespaces joined by a link.

use std::env;
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};

use crate::Result;

pub const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 9, 1, 2);
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 9, 1, 1);

/// The namespaces; they go with it.
pub struct Link {
    pub client: String,
    pub server: String,
}

impl Link {
    pub fn new() -> Result<Self> {
        let id = std::process::id();
        let link = Self { client: format!("pwb{id}c"), server: format!("pwb{id}s") };
        let (client, server) = (&link.client, &link.server);
        for line in [
            format!("netns add {client}"),
            format!("netns add {server}"),
            format!("link add eth0 netns {client} type veth peer name eth0 netns {server}"),
            format!("-n {client} addr add {CLIENT}/24 dev eth0"),
            format!("-n {server} addr add {SERVER}/24 dev eth0"),
            format!("-n {client} link set lo up"),
            format!("-n {server} link set lo up"),
            format!("-n {client} link set eth0 up"),
            format!("-n {server} link set eth0 up"),
        ] {
            let status = Command::new("ip").args(line.split(' ')).status()?;
            if !status.success() {
                return Err(format!("ip {line} failed: this needs root and iproute2").into());
            }
        }
        Ok(link)
    }

    /// This program in one part, in a namespace and on a core.
    pub fn part(namespace: &str, core: &str, part: &str) -> Result<Command> {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{namespace}")).args(["taskset", "-c", core]);
        command.arg(env::current_exe()?).arg(part).stdin(Stdio::null());
        Ok(command)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        for namespace in [&self.client, &self.server] {
            // Remains are removed by hand at worst; there is nobody to tell.
            let _ = Command::new("ip").args(["netns", "del", namespace]).status();
        }
    }
}

/// A child that ends with its handle.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
