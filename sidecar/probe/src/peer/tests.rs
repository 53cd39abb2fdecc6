//! Looks at loopback, which is nobody's own address unless it is said to be.

use std::net::{TcpListener, TcpStream};

use super::*;

fn tuple(source: SocketAddr, destination: SocketAddr) -> Tuple {
    Tuple { source, destination, mss: None }
}

fn local() -> Peer {
    Peer::new(vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()])
}

#[test]
fn only_addresses_of_the_pod_are_answered_about() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let asked = tuple(stream.local_addr().unwrap(), stream.peer_addr().unwrap());
    let saw = local().look(&[asked]).unwrap();
    let socket = saw.seen[0].socket.as_ref().expect("the accepted end is in this namespace");
    assert_eq!((socket.source, socket.state, socket.closed), (asked.source, 1, false));
    assert_eq!(saw.seen[0].listener, Listener::Listens { queue: 1, backlog: 128 });
    let saw = Peer::new(vec![]).look(&[asked]).unwrap();
    let nothing = Seen { tuple: asked, socket: None, listener: Listener::Unknown };
    assert_eq!(saw.seen, [nothing], "loopback is not ours to others");
    let mixed = tuple("[::1]:9".parse().unwrap(), asked.destination);
    let saw = local().look(&[mixed]).unwrap();
    assert_eq!(saw.seen[0].listener, Listener::Unknown, "two families are no connection");
}

#[test]
fn a_question_has_a_bounded_cost_and_comes_a_bounded_number_of_times() {
    let mut peer = local();
    let answered = (0..100).filter(|_| peer.look(&[]).is_some()).count();
    assert!((16..=18).contains(&answered), "16 at once, 4 a second: {answered}");
}
