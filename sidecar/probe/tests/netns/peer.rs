//! What the server's sidecar sees of dials that the client made, without privileges.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpStream};
use std::sync::mpsc::channel;

use peerwalk_model::peer::{Listener, PeerSocket, Saw, Seen, Tuple};
use peerwalk_probe::Peer;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::*;

const CLIENT: [&str; 2] = ["10.9.1.2", "fd09:1::2"];
const SERVICE: [&str; 2] = ["10.96.0.10", "fd00:96::10"];
const MSS: u16 = 1111;

/// Begins to connect in the client's namespace and waits for the outcome, or half a second for none.
fn dial(lab: &Lab, remote: SocketAddr) -> (Socket, Tuple) {
    lab.run(At::Client, || {
        let socket =
            Socket::new(Domain::for_address(remote), Type::STREAM.nonblocking(), Some(Protocol::TCP))
                .unwrap();
        socket.set_tcp_mss(MSS.into()).unwrap();
        drop(socket.connect(&remote.into()));
        let source = socket.local_addr().unwrap().as_socket().unwrap();
        for _ in 0..50 {
            if socket.peer_addr().is_ok() || socket.take_error().unwrap().is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        (socket, Tuple { source, destination: remote, mss: None })
    })
}

/// Does something in the server's namespace as the sidecar runs there.
fn in_server<T: Send>(lab: &Lab, what: impl Future<Output = T> + Send) -> T {
    lab.run(At::Server, || {
        set_thread_res_gid(Gid::from_raw(65532), Gid::from_raw(65532), Gid::from_raw(65532)).unwrap();
        set_thread_res_uid(Uid::from_raw(65532), Uid::from_raw(65532), Uid::from_raw(65532)).unwrap();
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(what)
    })
}

fn look(lab: &Lab, tuple: Tuple) -> (Option<PeerSocket>, Listener, Saw) {
    let mut saw = in_server(lab, async { Peer::new(vec![]).look(&[tuple]).unwrap() });
    let Seen { tuple: asked, socket, listener } = saw.seen.remove(0);
    assert_eq!(asked, tuple);
    (socket, listener, saw)
}

/// What the server's sidecar says of dials that are made while it watches.
fn while_watching(lab: &Lab, dials: impl FnOnce() -> Vec<Tuple>) -> Saw {
    let ((ready, begun), (made, tuples)) = (channel(), channel::<Vec<Tuple>>());
    std::thread::scope(|scope| {
        let looking = scope.spawn(move || {
            in_server(lab, async move {
                let mut peer = Peer::new(vec![]);
                peer.watch(Duration::from_secs(5));
                ready.send(()).unwrap();
                let tuples = tuples.recv().unwrap();
                // The kernel tells of a closed socket from a work queue, a moment later.
                for _ in 0..10 {
                    let saw = peer.look(&tuples).unwrap();
                    let closed = |seen: &&Seen| seen.socket.as_ref().is_some_and(|socket| socket.closed);
                    if saw.seen.iter().filter(closed).count() >= 2 {
                        return saw;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                peer.look(&tuples).unwrap()
            })
        });
        begun.recv().unwrap();
        made.send(dials()).unwrap();
        looking.join().unwrap()
    })
}

/// Nothing of the server's answers from the port gets back.
fn drop_answers(lab: &Lab, port: u16) {
    lab.forward(&format!("tcp sport {port} drop"));
}

fn listen(lab: &Lab, what: impl Fn(&Socket) -> SocketAddr + Sync, v6: bool, backlog: i32) -> Socket {
    lab.run(At::Server, || {
        let domain = if v6 { Domain::IPV6 } else { Domain::IPV4 };
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP)).unwrap();
        let address = what(&socket);
        socket.bind(&address.into()).unwrap();
        socket.listen(backlog).unwrap();
        socket
    })
}

#[test]
fn a_connection_is_found_by_both_ends_with_what_nobody_reads() {
    let Some(lab) = Lab::new() else { return };
    let _listeners = lab.listen(At::Server, &[80]);
    for server in SERVER {
        let (socket, tuple) = dial(&lab, at(server, 80));
        assert_eq!(SockRef::from(&socket).send(b"hello").unwrap(), 5);
        std::thread::sleep(Duration::from_millis(20));
        let (found, listener, saw) = look(&lab, tuple);
        let found = found.expect("the listener has the connection in its queue");
        assert_eq!((found.source, found.state, found.unread), (tuple.source, 1, 5), "{found:?}");
        assert!(!found.closed && found.quiet < Duration::from_secs(1), "{found:?}");
        assert!(matches!(listener, Listener::Listens { queue: 1.., backlog: 128 }), "{listener:?}");
        assert!(!saw.always_cookies);
        let other = Tuple { source: SocketAddr::new(tuple.source.ip(), 1), ..tuple };
        assert_eq!(look(&lab, other).0, None, "the listener is not taken for a connection");
        let elsewhere = Tuple { destination: at(CLIENT[usize::from(server.contains(':'))], 80), ..tuple };
        assert_eq!(look(&lab, elsewhere).1, Listener::Unknown, "of others nothing is said");
    }
}

#[test]
fn a_syn_that_arrived_is_told_from_one_that_did_not() {
    let Some(lab) = Lab::new() else { return };
    let _listeners = lab.listen(At::Server, &[80, 81]);
    for server in SERVER {
        drop_answers(&lab, 80);
        let (_socket, tuple) = dial(&lab, at(server, 80));
        let (found, listener, _) = look(&lab, tuple);
        let found = found.expect("the SYN arrived");
        assert_eq!((found.source, found.state), (tuple.source, 3), "SYN_RECV: {found:?}");
        assert!(found.quiet < Duration::from_secs(2), "{found:?}");
        assert!(matches!(listener, Listener::Listens { .. }), "{listener:?}");
        lab.forward("tcp dport 81 drop");
        let (_socket, tuple) = dial(&lab, at(server, 81));
        let (found, listener, _) = look(&lab, tuple);
        assert_eq!((found, listener), (None, Listener::Listens { queue: 0, backlog: 128 }));
    }
}

/// What comes for port 80 is led to a proxy in the pod, as by a mesh.
fn redirect(lab: &Lab) {
    lab.rules(
        At::Server,
        "table inet t { chain p { type nat hook prerouting priority dstnat; tcp dport 80 redirect to :15006\n}\n}",
    );
}

#[test]
fn what_is_redirected_in_the_pod_is_found_where_it_was_led() {
    let Some(lab) = Lab::new() else { return };
    let _listeners = lab.listen(At::Server, &[80, 15006]);
    redirect(&lab);
    for server in SERVER {
        let (_socket, tuple) = dial(&lab, at(server, 80));
        let (found, listener, _) = look(&lab, Tuple { mss: Some(MSS), ..tuple });
        assert_eq!(found.map(|found| (found.source, found.state)), Some((tuple.source, 1)));
        assert_eq!(listener, Listener::Unknown, "the port that was dialled takes no connection");
        let (found, listener, _) = look(&lab, Tuple { mss: Some(MSS + 1), ..tuple });
        assert_eq!((found, listener), (None, Listener::Unknown), "without the mark it may be another one");
    }
    drop_answers(&lab, 80);
    for server in SERVER {
        let (_socket, tuple) = dial(&lab, at(server, 80));
        let (found, listener, _) = look(&lab, tuple);
        let found = found.expect("the SYN arrived");
        assert_eq!((found.source, found.state, listener), (tuple.source, 3, Listener::Unknown));
    }
}

#[test]
fn a_reset_by_a_port_that_is_redirected_is_not_told_by_who_listens_on_it() {
    let Some(lab) = Lab::new() else { return };
    let _app = lab.listen(At::Server, &[80]);
    let _local = listen(&lab, |_| at("127.0.0.1", 81), false, 8);
    redirect(&lab);
    // Of port 82 neither: nobody listens there, and what comes for it may be led to who does.
    for server in SERVER {
        for port in [80, 81, 82] {
            let (_socket, tuple) = dial(&lab, at(server, port));
            let (found, listener, _) = look(&lab, tuple);
            assert_eq!((found, listener), (None, Listener::Unknown), "{server} port {port}");
        }
    }
}

#[test]
fn of_more_listeners_than_can_be_looked_at_nothing_is_said_to_be_absent() {
    let Some(lab) = Lab::new() else { return };
    let ports: Vec<u16> = (1000..1070).collect();
    let _many = lab.listen(At::Server, &ports);
    for (port, expected) in [(80, Listener::Unknown), (1000, Listener::Unknown)] {
        let (source, destination) = (at(CLIENT[0], 40000), at(SERVER[0], port));
        let (found, listener, _) = look(&lab, Tuple { source, destination, mss: None });
        assert_eq!((found, listener), (None, expected), "{destination}");
    }
}

#[test]
fn connections_within_the_pod_are_nobody_elses_business() {
    let Some(lab) = Lab::new() else { return };
    let _local = lab.listen(At::Server, &[81]);
    let held = lab.run(At::Server, || TcpStream::connect("127.0.0.1:81").unwrap());
    let source = held.local_addr().unwrap();
    for destination in [at("0.0.0.0", 0), at("127.0.0.1", 81), at("0.0.0.0", 81)] {
        assert_eq!(look(&lab, Tuple { source, destination, mss: None }).0, None, "{destination}");
    }
}

#[test]
fn syn_cookies_leave_no_syn_and_say_so() {
    let Some(lab) = Lab::new() else { return };
    let _listeners = lab.listen(At::Server, &[80]);
    lab.run(At::Server, || std::fs::write("/proc/sys/net/ipv4/tcp_syncookies", "2").unwrap());
    drop_answers(&lab, 80);
    for server in SERVER {
        let (_socket, tuple) = dial(&lab, at(server, 80));
        let (found, _, saw) = look(&lab, tuple);
        assert_eq!(found, None, "the SYN arrived, and the kernel keeps nothing of it");
        assert!(saw.always_cookies && saw.syn_cookies > 0, "{saw:?}");
    }
}

#[test]
fn who_listens_is_as_the_kernel_leads_a_syn_for_the_address() {
    let Some(lab) = Lab::new() else { return };
    let only = |socket: &Socket| socket.set_only_v6(true).unwrap();
    let any = |port| SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
    let _held = [
        listen(&lab, |_| at("127.0.0.1", 81), false, 8),
        listen(&lab, |_| at("::1", 82), true, 8),
        listen(
            &lab,
            |s| {
                only(s);
                any(83)
            },
            true,
            8,
        ),
        listen(&lab, |_| SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 84), false, 8),
        listen(&lab, |_| at(SERVER[0], 85), false, 8),
        listen(
            &lab,
            |s| {
                s.bind_device(Some(b"eth0")).unwrap();
                any(86)
            },
            true,
            8,
        ),
    ];
    let listens = Listener::Listens { queue: 0, backlog: 8 };
    let absent = |elsewhere: Option<SocketAddr>| Listener::Absent { elsewhere };
    let v4: IpAddr = Ipv4Addr::UNSPECIFIED.into();
    let loopback = at("127.0.0.1", 81);
    for (port, over_v4, over_v6) in [
        (80, absent(None), absent(None)),
        (81, absent(Some(loopback)), absent(Some(loopback))),
        (82, absent(Some(at("::1", 82))), absent(Some(at("::1", 82)))),
        (83, absent(Some(any(83))), listens.clone()),
        (84, listens.clone(), absent(Some(SocketAddr::new(v4, 84)))),
        (85, listens, absent(Some(at(SERVER[0], 85)))),
        (86, Listener::Unknown, Listener::Unknown),
    ] {
        for (family, expected) in [over_v4, over_v6].into_iter().enumerate() {
            let (source, destination) = (at(CLIENT[family], 40000), at(SERVER[family], port));
            let (found, listener, _) = look(&lab, Tuple { source, destination, mss: None });
            assert_eq!((found, listener), (None, expected), "{destination}");
        }
    }
}

#[test]
fn a_full_queue_shows() {
    let Some(lab) = Lab::new() else { return };
    for (family, server) in SERVER.iter().enumerate() {
        let port = if family == 0 { 80 } else { 81 };
        let _full = listen(&lab, |_| at(server, port), family == 1, 1);
        let held: Vec<_> = (0..3).map(|_| dial(&lab, at(server, port))).collect();
        let (found, listener, saw) = look(&lab, held[2].1);
        assert_eq!((found, listener), (None, Listener::Listens { queue: 2, backlog: 1 }));
        assert!(saw.listen_overflows > 0, "{saw:?}");
    }
}

#[test]
fn closed_connections_of_a_window_are_found_also_behind_a_masquerade() {
    let Some(lab) = Lab::new() else { return };
    let listeners = lab.listen(At::Server, &[80, 81]);
    let masquerade =
        "table inet t { chain p { type nat hook postrouting priority srcnat; tcp dport 81 masquerade\n}\n}";
    lab.rules(At::Node, masquerade);
    for (family, server) in SERVER.iter().enumerate() {
        let saw = while_watching(&lab, || {
            let mut tuples = Vec::new();
            for (listener, port) in listeners.iter().zip([80, 81]) {
                let (socket, tuple) = dial(&lab, at(server, port));
                drop(socket);
                drop(listener.accept().unwrap());
                tuples.push(Tuple { mss: Some(MSS), ..tuple });
            }
            tuples.push(Tuple { mss: Some(MSS + 1), ..tuples[1] });
            tuples
        });
        let tuples: Vec<Tuple> = saw.seen.iter().map(|seen| seen.tuple).collect();
        let found = |n: usize| saw.seen[n].socket.as_ref().map(|socket| (socket.source, socket.closed));
        assert_eq!(found(0), Some((tuples[0].source, true)), "by its ends");
        let (source, closed) = found(1).expect("by its MSS");
        assert!(closed && source.ip() == ip(["10.9.2.1", "fd09:2::1"][family]), "from the node: {source}");
        assert_eq!(found(2), None, "another MSS is another connection");
    }
}

#[test]
fn a_connection_that_the_server_closed_first_is_told_as_closed_and_not_as_a_rest() {
    let Some(lab) = Lab::new() else { return };
    let listeners = lab.listen(At::Server, &[80]);
    let saw = while_watching(&lab, || {
        let both = SERVER.map(|server| {
            let (socket, tuple) = dial(&lab, at(server, 80));
            drop(listeners[0].accept().unwrap());
            drop(socket);
            tuple
        });
        both.to_vec()
    });
    for seen in &saw.seen {
        let socket = seen.socket.as_ref().unwrap_or_else(|| panic!("{seen:?}"));
        assert_eq!((socket.source, socket.closed, socket.state), (seen.tuple.source, true, 7), "{seen:?}");
    }
    let (rest, ..) = look(&lab, saw.seen[0].tuple);
    let rest = rest.expect("without a window there is the rest");
    assert!(rest.state == 6 && !rest.closed && rest.quiet < Duration::from_secs(10), "TIME_WAIT: {rest:?}");
}

#[test]
fn what_is_closed_outside_a_window_is_not_remembered() {
    let Some(lab) = Lab::new() else { return };
    let listeners = lab.listen(At::Server, &[80]);
    let (socket, tuple) = dial(&lab, at(SERVER[0], 80));
    // Nobody may remember it for another, and TIME_WAIT is not with who closes last.
    drop(socket);
    drop(listeners[0].accept().unwrap());
    assert_eq!(look(&lab, tuple).0, None);
}

#[test]
fn where_a_service_address_led_is_found_without_knowing_its_end() {
    let Some(lab) = Lab::new() else { return };
    let _listeners = lab.listen(At::Server, &[8080]);
    let dnat = format!(
        "table inet t {{ chain p {{ type nat hook prerouting priority dstnat;
           ip daddr {} tcp dport 80 dnat ip to {}:8080\n ip6 daddr {} tcp dport 80 dnat ip6 to [{}]:8080\n}}\n}}",
        SERVICE[0], SERVER[0], SERVICE[1], SERVER[1]
    );
    lab.rules(At::Node, &dnat);
    for (service, any) in SERVICE.iter().zip(["0.0.0.0", "::"]) {
        let (_socket, tuple) = dial(&lab, at(service, 80));
        assert_eq!(look(&lab, tuple).0, None, "the pod does not have the dialled address");
        for (port, expected) in [(0, Some(tuple.source)), (8080, Some(tuple.source)), (80, None)] {
            let (found, listener, _) = look(&lab, Tuple { destination: at(any, port), ..tuple });
            assert_eq!(found.map(|socket| socket.source), expected, "port {port}");
            assert_eq!(listener, Listener::Unknown, "of no address in particular");
        }
    }
}

#[test]
fn a_connection_to_the_server_is_held_by_nobody_else() {
    let Some(lab) = Lab::new() else { return };
    let _listeners = lab.listen(At::Server, &[80]);
    let (socket, tuple) = dial(&lab, at(SERVER[0], 80));
    let held: TcpStream = socket.into();
    let asked = [tuple, Tuple { destination: at("0.0.0.0", 0), ..tuple }];
    let saw = in_client(&lab, async { Peer::new(vec![]).look(&asked).unwrap() });
    assert!(saw.seen.iter().all(|seen| seen.socket.is_none()), "the client's own end is no peer: {saw:?}");
    drop(held);
}
