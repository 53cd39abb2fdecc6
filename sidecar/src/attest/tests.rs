//! A probe and who attests, in one process. Loopback is nobody's own address: what it holds is told by any end.

use std::net::{TcpListener, TcpStream};

use peerwalk_model::peer::Listener;

use super::*;

#[tokio::test]
async fn a_probe_is_told_what_is_held_of_its_dials() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let attester = Attester(path);
    assert_eq!(attester.name(), "api");
    let asking = async {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(server.local_addr().unwrap()).unwrap();
        attester.watch(Duration::from_secs(1)).await.unwrap();
        let (source, named) = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
        let tuple = |destination| Tuple { source, destination, mss: None };
        let any = "0.0.0.0:0".parse().unwrap();
        let saw = attester.look(vec![tuple(named), tuple(any)]).await.unwrap();
        assert_eq!(saw.seen[0].socket, None, "loopback is not to be asked for");
        let held = saw.seen[1].socket.as_ref().expect("some end of the namespace holds it");
        assert_eq!((held.source, held.state), (source, 1));
        assert_eq!(saw.seen[1].listener, Listener::Unknown);
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
