//! A name server that answers as it is told, right or wrong.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream};
use std::thread;
use std::time::Duration;

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::case::{Answers, Dns};

/// Seconds that records may be kept.
const TTL: u32 = 5;
/// For a question over TCP.
const PATIENCE: Duration = Duration::from_secs(1);

/// The answer to a datagram.
pub(crate) fn over_udp(zone: &Dns, question: &[u8]) -> Option<Vec<u8>> {
    let asked = Message::from_vec(question).ok()?;
    let query = asked.queries.first()?;
    let for_aaaa = zone.aaaa.filter(|_| query.query_type == RecordType::AAAA);
    let for_others = zone.others.filter(|_| !zone.names.contains_key(&asked_name(&query.name)));
    let how = for_others.or(for_aaaa).unwrap_or(zone.udp);
    thread::sleep(Duration::from_millis(zone.delay_ms));
    answer(zone, &asked, how)
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
    let Some(addresses) = zone.names.get(&asked_name(name)) else {
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
