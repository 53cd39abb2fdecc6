//! The hub asks a pod about dials to it.

use std::net::{TcpListener, TcpStream};

use peerwalk_model::peer::{Listener, Saw, Tuple};

use super::*;

/// The answer to the question of that number.
async fn answer(hub: &mut TestHub, id: u64) -> Saw {
    let pick = |event| match event {
        HubEvent::Saw { id: answered, saw, .. } if answered == id => Some(saw),
        _ => None,
    };
    hub.event("an answer", pick).await
}

#[tokio::test]
async fn a_pod_tells_what_it_holds_of_the_dials_it_is_asked_about() {
    let (_ca, mut hub, sidecar) = pair().await;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let stream = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
    let (source, destination) =
        (stream.local_addr().expect("an address"), stream.peer_addr().expect("an address"));
    let tuple = Tuple { source, destination, mss: None };
    let stranger = Tuple { source: ([127, 0, 0, 1], 1).into(), ..tuple };
    assert!(hub.handle.look(&pod("web"), 7, vec![stranger, tuple]), "the pod is attached");
    assert!(!hub.handle.look(&pod("api"), 8, vec![tuple]), "another is not");
    let saw = answer(&mut hub, 7).await;
    assert_eq!(saw.seen.iter().map(|seen| seen.tuple).collect::<Vec<_>>(), [stranger, tuple]);
    assert_eq!(saw.seen[0].socket, None);
    assert_eq!(saw.seen[1].socket.as_ref().map(|socket| (socket.source, socket.state)), Some((source, 1)));
    assert_eq!(saw.seen[1].listener, Listener::Listens { queue: 1, backlog: 128 });
    sidecar.stop().await;
}

#[tokio::test]
async fn connections_that_are_closed_in_a_window_are_told_when_asked_for() {
    let (_ca, mut hub, sidecar) = pair().await;
    assert!(hub.handle.watch(&pod("web"), Duration::from_secs(5)), "the pod is attached");
    // Orders are followed in turn: with the answer the window is open.
    assert!(hub.handle.look(&pod("web"), 1, Vec::new()));
    answer(&mut hub, 1).await;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let stream = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
    let (source, destination) =
        (stream.local_addr().expect("an address"), stream.peer_addr().expect("an address"));
    drop((listener.accept().expect("the connection"), stream));
    let tuple = Tuple { source, destination, mss: None };
    // The accepted end closed first and stays for a minute; the dialling one is gone, and is asked for.
    for id in 2.. {
        assert!(hub.handle.look(
            &pod("web"),
            id,
            vec![Tuple { source: destination, destination: source, ..tuple }]
        ));
        let saw = answer(&mut hub, id).await;
        if let Some(socket) = &saw.seen[0].socket {
            assert!(socket.closed && socket.source == destination, "{socket:?}");
            break;
        }
        assert!(id < 12, "nothing was told of {tuple:?}");
        // The kernel tells of it from a work queue.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    sidecar.stop().await;
}
