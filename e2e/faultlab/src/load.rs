//! What else goes on while a case is played: other connections in its network, and threads that take the processors.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, Socket, Type};

use crate::case::{Does, Listening, Setting};
use crate::lab::{At, Lab};
use crate::servers::Server;

/// A port that no case uses.
const PORT: u16 = 9000;
/// Between two connections of a pod: two pods make 200 a second.
const PAUSE: Duration = Duration::from_millis(10);

/// Connections of the client and of the other pod to another port of the server, until this goes.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    _server: Server,
}

impl Load {
    pub(crate) fn start(lab: &Lab, setting: Setting) -> Result<Self> {
        let listening = Listening { at: At::Server, address: None, port: PORT, does: Does::Close };
        let server = Server::start(lab, &listening, None)?;
        let address = At::Server.address(setting.topology, setting.v6);
        let address = SocketAddr::new(address.parse().context("a pod without an address")?, PORT);
        let mut load = Self { stop: Arc::default(), threads: Vec::new(), _server: server };
        for at in [At::Client, At::Other] {
            let stop = Arc::clone(&load.stop);
            let begin = || {
                // The thread stays in the namespace of the one that starts it.
                thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        // Whatever breaks the case may break this too.
                        let _ = connect(address);
                        thread::sleep(PAUSE);
                    }
                })
            };
            load.threads.push(lab.within(at, begin)?);
        }
        Ok(load)
    }
}

/// Begins a connection and ends it as soon as it may have come about.
fn connect(address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.connect_timeout(&address.into(), PAUSE)
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // One that panicked has nothing left to end.
            let _ = thread.join();
        }
    }
}

/// Threads that do nothing but compute, until this goes.
#[derive(Debug)]
pub struct Burning(Arc<AtomicBool>);

impl Burning {
    /// Starts so many.
    pub fn start(threads: usize) -> Self {
        let burning = Self(Arc::default());
        for _ in 0..threads {
            let stop = Arc::clone(&burning.0);
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        burning
    }
}

impl Drop for Burning {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
