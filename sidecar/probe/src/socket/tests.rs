//! Sockets on loopback: connected, refused, and the odd and even ports.

use std::future::poll_fn;
use std::net::TcpListener;

use super::*;

async fn settled(remote: SocketAddr, parity: Option<Parity>) -> Attempt {
    let mut attempt = Attempt::begin(DialPurpose::Address, remote, parity).unwrap();
    let locals = Locals::default();
    poll_fn(|cx| attempt.poll_known(cx, Some(&locals))).await;
    attempt
}

#[tokio::test]
async fn a_peer_that_accepts_and_closes_at_once_is_connected() {
    for host in ["127.0.0.1:0", "[::1]:0"] {
        let listener = TcpListener::bind(host).unwrap();
        let remote = listener.local_addr().unwrap();
        let mut attempt = Attempt::begin(DialPurpose::Address, remote, None).unwrap();
        drop(listener.accept().unwrap());
        let locals = Locals::default();
        let known = poll_fn(|cx| attempt.poll_known(cx, Some(&locals)));
        // Without another wake-up it would stay unknown; no answer is what that looks like.
        let _ = tokio::time::timeout(Duration::from_secs(2), known).await;
        let outcome = attempt.dial().outcome;
        assert_eq!(
            outcome,
            DialOutcome::Connected { local_peer: None },
            "{remote}: the FIN follows a handshake"
        );
    }
}

#[tokio::test]
async fn a_kernel_without_the_family_fails_this_address_only() {
    let remote = "[2001:db8::1]:80".parse().unwrap();
    let opened = |errno| Err(trouble("socket", &io::Error::from_raw_os_error(errno)));
    let attempt = || Attempt::begin(DialPurpose::Address, "127.0.0.1:1".parse().unwrap(), None).unwrap();
    let mut refused = Attempt { fd: None, known: None, remote, ..attempt() };
    refused.connect(opened(libc::EAFNOSUPPORT), None).unwrap();
    let expected = DialOutcome::Failed { errno: libc::EAFNOSUPPORT, immediate: true, queue: vec![] };
    assert_eq!(refused.dial().outcome, expected, "as connect() fails where there is no route");
    let exhausted = attempt().connect(opened(libc::EMFILE), None);
    assert_eq!(exhausted.unwrap_err().what, "file descriptors", "our own trouble stays ours");
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

#[tokio::test]
async fn a_datagram_is_answered_refused_or_sent_again() {
    for host in ["127.0.0.1:0", "[::1]:0"] {
        let server = std::net::UdpSocket::bind(host).unwrap();
        let remote = server.local_addr().unwrap();
        let begin = |remote| {
            let datagram = Shape::Datagram(Arc::from(&b"ping"[..]));
            Attempt::begin_with(DialPurpose::Address, remote, Some(Parity::Odd), datagram).unwrap()
        };
        let mut attempt = begin(remote);
        let mut buffer = [0; 16];
        let (length, from) = server.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], from.port() % 2), (&b"ping"[..], 1), "{remote}");
        let silent = attempt.dial();
        assert_eq!((silent.protocol, silent.outcome), (Transport::Udp, DialOutcome::Silent), "{remote}");
        attempt.resend();
        assert_eq!(
            (server.recv_from(&mut buffer).unwrap(), attempt.retransmits()),
            ((4, from), 1),
            "{remote}"
        );
        server.send_to(b"pong!", from).unwrap();
        poll_fn(|cx| attempt.poll_known(cx, None)).await;
        let dial = attempt.dial();
        assert_eq!((dial.outcome, dial.retransmits), (DialOutcome::Answered { bytes: 5 }, 1), "{remote}");
        attempt.resend();
        assert_eq!(attempt.retransmits(), 1, "what is answered is not sent again");
        drop(server);
        let mut refused = begin(remote);
        poll_fn(|cx| refused.poll_known(cx, None)).await;
        let DialOutcome::Failed { errno, queue, immediate: false } = refused.dial().outcome else {
            panic!("nobody has the port: {:?}", refused.dial());
        };
        assert_eq!((errno, queue[0].offender), (libc::ECONNREFUSED, Some(remote.ip())), "{remote}");
    }
}

#[tokio::test]
async fn where_most_ports_are_held_the_kernel_chooses() {
    for host in ["127.0.0.1:0", "[::1]:0"] {
        let listener = TcpListener::bind(host).unwrap();
        let remote = listener.local_addr().unwrap();
        let socket = open(remote, Type::STREAM, Protocol::TCP).unwrap();
        bind(&socket, remote, || Ok(remote.port())).expect("that one port is held is no lack of ports");
        // It is in progress, or done.
        let _ = socket.connect(&remote.into());
        let (stream, from) = listener.accept().unwrap();
        assert_eq!(socket.local_addr().unwrap().as_socket(), Some(from), "{stream:?}");
    }
}
