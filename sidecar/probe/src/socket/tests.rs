//! Sockets on loopback: connected, refused, and the odd and even ports.

use std::future::poll_fn;
use std::net::TcpListener;

use super::*;

async fn settled(remote: SocketAddr, parity: Option<Parity>) -> Attempt {
    let mut attempt = Attempt::begin(DialPurpose::Address, remote, parity).unwrap();
    let locals = Locals::default();
    poll_fn(|cx| attempt.poll_known(cx, &locals)).await;
    attempt
}

#[tokio::test]
async fn a_listener_answers_in_both_families() {
    for host in ["127.0.0.1:0", "[::1]:0"] {
        let listener = TcpListener::bind(host).unwrap();
        let remote = listener.local_addr().unwrap();
        let attempt = settled(remote, None).await;
        assert_eq!(attempt.outcome(), Some(&DialOutcome::Connected { local_peer: None }), "{remote}");
        assert!(attempt.dial().local.is_some(), "the socket has an address of its own");
        assert!(attempt.into_stream().is_some(), "the connection can be spoken over");
    }
}

#[tokio::test]
async fn a_closed_port_is_an_error_with_an_empty_queue() {
    for host in ["127.0.0.1:0", "[::1]:0"] {
        let closed = TcpListener::bind(host).unwrap().local_addr().unwrap();
        let attempt = settled(closed, None).await;
        let expected = DialOutcome::Failed { errno: libc::ECONNREFUSED, immediate: false, queue: vec![] };
        let DialOutcome::Failed { errno, queue, .. } = attempt.dial().outcome else {
            panic!("{expected:?} for {closed}: {:?}", attempt.dial());
        };
        assert_eq!((errno, queue), (libc::ECONNREFUSED, vec![]), "an RST leaves no entry");
    }
}

#[tokio::test]
async fn the_parity_of_the_source_port_is_as_asked() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    for parity in [Parity::Odd, Parity::Even, Parity::Odd, Parity::Even] {
        let attempt = settled(listener.local_addr().unwrap(), Some(parity)).await;
        let port = attempt.local().unwrap().port();
        assert_eq!(Parity::of(port), parity, "source port {port}");
    }
}
