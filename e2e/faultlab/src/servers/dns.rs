//! A name server that answers as it is told, right or wrong.

use std::collections::{BTreeSet, VecDeque};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::case::{Answers, Dns};

/// Seconds that records may be kept.
const TTL: u32 = 5;
/// For a question over TCP.
const PATIENCE: Duration = Duration::from_secs(1);

/// A server over UDP. Each answer has its own delay, so that one does not wait for another.
pub(crate) struct OverUdp {
    zone: Dns,
    /// Source ports that have asked.
    known: BTreeSet<SocketAddr>,
    /// Answers that are due, in their order: all have the same delay.
    due: VecDeque<(Instant, SocketAddr, Vec<u8>)>,
}

impl OverUdp {
    pub(crate) fn new(zone: Dns) -> Self {
        Self { zone, known: BTreeSet::new(), due: VecDeque::new() }
    }

    /// Takes in a datagram.
    pub(crate) fn ask(&mut self, question: &[u8], from: SocketAddr) {
        let Ok(asked) = Message::from_vec(question) else { return };
        let Some(query) = asked.queries.first() else { return };
        let for_aaaa = self.zone.aaaa.filter(|_| query.query_type == RecordType::AAAA);
        let known = self.zone.names.contains_key(&asked_name(&query.name));
        let how = self.zone.others.filter(|_| !known).or(for_aaaa).unwrap_or(self.zone.udp);
        let first = self.known.insert(from);
        if let Some(answer) = answer(&self.zone, &asked, how).filter(|_| first || !self.zone.first_only) {
            self.due.push_back((Instant::now() + Duration::from_millis(self.zone.delay_ms), from, answer));
        }
    }

    /// The next answer whose time has come.
    pub(crate) fn next(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.due.pop_front_if(|(at, ..)| *at <= Instant::now()).map(|(_, to, answer)| (to, answer))
    }
}

/// Asks a server from the namespace of the calling thread, from ever new ports, until it is told to stop. What comes
/// of it is all the same.
pub(crate) fn load(server: SocketAddr, per_second: u32, stop: &AtomicBool) {
    let Ok(name) = Name::from_ascii("load.lab.test.") else { return };
    let mut message = Message::query();
    message.add_query(Query::query(name, RecordType::A));
    let Ok(question) = message.to_vec() else { return };
    while !stop.load(Ordering::Relaxed) {
        let any: IpAddr =
            if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        if let Ok(socket) = UdpSocket::bind((any, 0)) {
            let _ = socket.send_to(&question, server);
        }
        thread::sleep(Duration::from_secs(1) / per_second.max(1));
    }
}

/// Answers the one question of a connection (RFC 1035, section 4.2.2).
pub(crate) fn over_tcp(zone: &Dns, mut stream: TcpStream) {
    if stream.set_read_timeout(Some(PATIENCE)).is_err() {
        return;
    }
    let mut length = [0; 2];
    if stream.read_exact(&mut length).is_err() {
        return;
    }
    let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
    if stream.read_exact(&mut question).is_err() {
        return;
    }
    let Ok(asked) = Message::from_vec(&question) else { return };
    if let Some(answer) = answer(zone, &asked, zone.tcp) {
        let length = u16::try_from(answer.len()).unwrap_or_default();
        // A client that has gone is no failure of the case.
        let _ = stream.write_all(&[&length.to_be_bytes(), answer.as_slice()].concat());
    }
}

fn answer(zone: &Dns, asked: &Message, how: Answers) -> Option<Vec<u8>> {
    let query = asked.queries.first()?;
    let mut answer = Message::response(asked.metadata.id, OpCode::Query);
    answer.add_query(query.clone());
    match how {
        Answers::Never => return None,
        Answers::Garbage => return Some([&asked.metadata.id.to_be_bytes(), &b"no message"[..]].concat()),
        Answers::Refused => answer.metadata.response_code = ResponseCode::Refused,
        Answers::ServerFailure => answer.metadata.response_code = ResponseCode::ServFail,
        Answers::Truncated => answer.metadata.truncation = true,
        Answers::Empty => {}
        Answers::Truly => fill(zone, &query.name, query.query_type, &mut answer),
        Answers::WrongId => {
            fill(zone, &query.name, query.query_type, &mut answer);
            answer.metadata.id = asked.metadata.id.wrapping_add(1);
        }
    }
    answer.to_vec().ok()
}

fn fill(zone: &Dns, name: &Name, record: RecordType, answer: &mut Message) {
    let asked = asked_name(name);
    if zone.failing.contains(&asked) {
        answer.metadata.response_code = ResponseCode::ServFail;
        return;
    }
    let Some(addresses) = zone.names.get(&asked) else {
        answer.metadata.response_code = ResponseCode::NXDomain;
        return;
    };
    for address in addresses.iter().filter_map(|address| address.parse().ok()) {
        let data = match address {
            IpAddr::V4(v4) if record == RecordType::A => RData::A(A(v4)),
            IpAddr::V6(v6) if record == RecordType::AAAA => RData::AAAA(AAAA(v6)),
            _ => continue,
        };
        answer.add_answer(Record::from_rdata(name.clone(), TTL, data));
    }
}

/// A name as zones of cases have it.
fn asked_name(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_ascii_lowercase()
}
