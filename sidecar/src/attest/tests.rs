//! A probe and who attests, in one process. What goes on at loopback addresses is told to nobody.

use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};

use peerwalk_model::peer::Listener;

use super::*;

/// An address of this machine that is no loopback.
fn own() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("192.0.2.1:9").expect("a route, over which nothing is sent");
    socket.local_addr().unwrap().ip()
}

#[tokio::test]
async fn a_probe_is_told_what_is_held_of_its_dials() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let attester = Attester(path);
    assert_eq!(attester.name(), "api");
    let asking = async {
        attester.watch(Duration::from_secs(1)).await.unwrap();
        for (ip, told) in [(own(), true), ("127.0.0.1".parse().unwrap(), false)] {
            let server = TcpListener::bind((ip, 0)).unwrap();
            let stream = TcpStream::connect(server.local_addr().unwrap()).unwrap();
            let (source, named) = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
            let tuple = |destination| Tuple { source, destination, mss: None };
            let any = "0.0.0.0:0".parse().unwrap();
            let saw = attester.look(vec![tuple(named), tuple(any)]).await.unwrap();
            for (seen, end) in saw.seen.iter().zip(["the end itself", "any end"]) {
                let held = seen.socket.as_ref().map(|held| (held.source, held.state));
                assert_eq!(held, told.then_some((source, 1)), "{ip} by {end}");
            }
            assert_eq!(saw.seen[1].listener, Listener::Unknown);
        }
        for _ in 0..100 {
            if attester.look(vec![]).await.is_err() {
                return;
            }
        }
        panic!("it can be asked as often as one likes");
    };
    tokio::select! {
        () = serve(&listener) => panic!("it serves for ever"),
        () = asking => {}
    }
}

#[tokio::test]
async fn what_cannot_be_read_ends_its_own_connection_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let asking = async {
        let huge = vec![b' '; 2 * usize::try_from(LINE).unwrap()];
        for bad in [&b"\n"[..], b"{\"look\":1}\n", b"{\"kill\":[]}\n", &huge] {
            let mut stream = UnixStream::connect(&path).await.unwrap();
            // It may have left before it was all said.
            let _ = stream.write_all(bad).await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            assert!(answer.is_empty(), "{:?} is not answered", String::from_utf8_lossy(bad));
        }
        Attester(path.clone()).watch(Duration::ZERO).await.expect("others are answered");
    };
    tokio::select! {
        () = serve(&listener) => panic!("it serves for ever"),
        () = asking => {}
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_its_answers_is_left() {
    let (probe, ours) = UnixStream::pair().unwrap();
    let (ask, mut asked) = mpsc::channel::<Asked>(CONNECTIONS);
    let answering = async {
        while let Some((_, answer)) = asked.recv().await {
            let _ = answer.send(Answer::Watching);
        }
    };
    let asking = async {
        let (_read, mut write) = probe.into_split();
        // Until it is left, however much of it fits into the buffers of both.
        while write.write_all(b"{\"watch\":{\"windowMs\":0}}\n").await.is_ok() {}
    };
    let (left, (), ()) = tokio::join!(timeout(PATIENCE * 3, converse(ours, ask)), asking, answering);
    let left = left.expect("it is not waited for any longer");
    assert_eq!(left.unwrap_err().kind(), io::ErrorKind::TimedOut);
}
