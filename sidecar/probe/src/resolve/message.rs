//! DNS messages: one question out, one answer in (RFC 1035).

use std::net::IpAddr;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, RecordType as WireType};
use peerwalk_model::evidence::QueryOutcome;
use peerwalk_model::plan::RecordType;

use crate::limits;

/// Answers are reused for at most this long, whatever their TTL says: a walk is to notice a change.
const MAX_REUSE: Duration = Duration::from_mins(1);

/// One question, ready to be sent.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) id: u16,
    pub(crate) bytes: Vec<u8>,
    name: Name,
    kind: WireType,
}

/// What an answer says, and how long it may be reused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) outcome: QueryOutcome,
    pub(crate) reuse: Duration,
}

impl Answer {
    /// What it says, with some of its addresses.
    pub(crate) fn sample(self) -> QueryOutcome {
        match self.outcome {
            QueryOutcome::Addresses(addresses) => {
                QueryOutcome::Addresses(limits::kept(addresses, limits::SAMPLE))
            }
            other => other,
        }
    }
}

impl Question {
    /// `None` for a name that cannot be asked for (a label longer than 63 bytes, or empty).
    pub(crate) fn new(name: &str, record: RecordType) -> Option<Self> {
        let kind = wire_type(record);
        let mut wire_name = Name::from_ascii(name).ok()?;
        wire_name.set_fqdn(true);
        // The id is random (RFC 5452), and so is the source port that the kernel picks.
        let mut message = Message::query();
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(wire_name.clone(), kind));
        Some(Self { id: message.metadata.id, bytes: message.to_vec().ok()?, name: wire_name, kind })
    }

    /// Reads a datagram from the server. `None` when it answers another question: a late answer to an
    /// earlier one, or a forgery that guessed the port only.
    pub(crate) fn read(&self, bytes: &[u8]) -> Option<Answer> {
        if bytes.get(..2)? != self.id.to_be_bytes() {
            return None;
        }
        let Ok(message) = Message::from_vec(bytes) else { return Some(once(QueryOutcome::Malformed)) };
        let answers_us = message.metadata.message_type == MessageType::Response
            && matches!(message.queries.as_slice(), [query] if self.is_ours(query));
        // A server that cannot read a question may leave it out of its error (RFC 1035, 4.1.1).
        let failed =
            !matches!(message.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain);
        let nameless_error = failed && message.queries.is_empty();
        if !answers_us && !nameless_error {
            return Some(once(QueryOutcome::Malformed));
        }
        Some(self.judge(&message))
    }

    fn is_ours(&self, query: &Query) -> bool {
        query.name.to_lowercase() == self.name.to_lowercase()
            && query.query_type == self.kind
            && query.query_class == DNSClass::IN
    }

    fn judge(&self, message: &Message) -> Answer {
        if message.metadata.truncation {
            return once(QueryOutcome::Truncated);
        }
        match message.metadata.response_code {
            ResponseCode::NoError => {}
            ResponseCode::NXDomain => return negative(message, QueryOutcome::NameNotFound),
            ResponseCode::ServFail => return once(QueryOutcome::ServerFailure),
            ResponseCode::Refused => return once(QueryOutcome::Refused),
            other => return once(QueryOutcome::OtherCode(other.into())),
        }
        // Whatever aliases lie between, the recursive server has followed them.
        let found: Vec<(IpAddr, u32)> = message
            .answers
            .iter()
            .filter_map(|record| match (&record.data, self.kind) {
                (RData::A(ip), WireType::A) => Some((IpAddr::V4(ip.0), record.ttl)),
                (RData::AAAA(ip), WireType::AAAA) => Some((IpAddr::V6(ip.0), record.ttl)),
                _ => None,
            })
            .collect();
        if found.is_empty() {
            return negative(message, QueryOutcome::NoData);
        }
        let ttl = message.answers.iter().map(|record| record.ttl).min().unwrap_or(0);
        let addresses = found.into_iter().map(|(ip, _)| ip).collect();
        let outcome = QueryOutcome::Addresses(limits::kept(addresses, limits::ADDRESSES));
        Answer { outcome, reuse: seconds(ttl) }
    }
}

/// A negative answer may be kept for the lesser of the SOA's TTL and its minimum (RFC 2308, section 5).
fn negative(message: &Message, outcome: QueryOutcome) -> Answer {
    let ttl = message.authorities.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
        _ => None,
    });
    Answer { outcome, reuse: ttl.map_or(Duration::ZERO, seconds) }
}

fn once(outcome: QueryOutcome) -> Answer {
    Answer { outcome, reuse: Duration::ZERO }
}

fn seconds(ttl: u32) -> Duration {
    Duration::from_secs(ttl.into()).min(MAX_REUSE)
}

fn wire_type(record: RecordType) -> WireType {
    match record {
        RecordType::A => WireType::A,
        RecordType::Aaaa => WireType::AAAA,
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::OpCode;
    use hickory_proto::rr::Record;
    use hickory_proto::rr::rdata::{A, SOA};

    use super::*;

    fn question() -> Question {
        Question::new("db.shop.svc.cluster.local.", RecordType::A).unwrap()
    }

    fn reply(question: &Question, code: ResponseCode) -> Message {
        let mut message = Message::response(question.id, OpCode::Query);
        message.metadata.response_code = code;
        message.add_query(Query::query(question.name.clone(), question.kind));
        message
    }

    fn outcome(question: &Question, message: &Message) -> Option<QueryOutcome> {
        question.read(&message.to_vec().unwrap()).map(|answer| answer.outcome)
    }

    #[test]
    fn codes_become_outcomes() {
        let question = question();
        for (code, expected) in [
            (ResponseCode::NoError, QueryOutcome::NoData),
            (ResponseCode::NXDomain, QueryOutcome::NameNotFound),
            (ResponseCode::ServFail, QueryOutcome::ServerFailure),
            (ResponseCode::Refused, QueryOutcome::Refused),
            (ResponseCode::NotImp, QueryOutcome::OtherCode(4)),
        ] {
            assert_eq!(outcome(&question, &reply(&question, code)), Some(expected), "{code}");
        }
    }

    #[test]
    fn addresses_come_with_their_shortest_ttl() {
        let question = question();
        let mut message = reply(&question, ResponseCode::NoError);
        for (ttl, last) in [(30, 7), (5, 8)] {
            let record = Record::from_rdata(question.name.clone(), ttl, RData::A(A::new(10, 0, 0, last)));
            message.add_answer(record);
        }
        let answer = question.read(&message.to_vec().unwrap()).unwrap();
        let addresses = ["10.0.0.7", "10.0.0.8"].map(|ip| ip.parse().unwrap()).to_vec();
        assert_eq!(
            answer,
            Answer { outcome: QueryOutcome::Addresses(addresses), reuse: Duration::from_secs(5) }
        );
    }

    #[test]
    fn a_negative_answer_is_kept_as_its_soa_says() {
        let question = question();
        let mut message = reply(&question, ResponseCode::NXDomain);
        let name = Name::from_ascii("cluster.local.").unwrap();
        let soa = SOA::new(name.clone(), name.clone(), 1, 7200, 1800, 86400, 20);
        message.add_authority(Record::from_rdata(name, 30, RData::SOA(soa)));
        let answer = question.read(&message.to_vec().unwrap()).unwrap();
        assert_eq!(answer, Answer { outcome: QueryOutcome::NameNotFound, reuse: Duration::from_secs(20) });
    }

    #[test]
    fn what_does_not_fit_the_question_is_no_answer() {
        let question = question();
        let mut stray = reply(&question, ResponseCode::NXDomain);
        stray.metadata.id = question.id.wrapping_add(1);
        assert_eq!(outcome(&question, &stray), None, "another id answers another question");

        let mut other = Message::response(question.id, OpCode::Query);
        other.add_query(Query::query(Name::from_ascii("evil.example.").unwrap(), question.kind));
        assert_eq!(outcome(&question, &other), Some(QueryOutcome::Malformed), "another name");

        let echo = Message::from_vec(&question.bytes).unwrap();
        assert_eq!(outcome(&question, &echo), Some(QueryOutcome::Malformed), "our own question is no answer");

        let bytes = reply(&question, ResponseCode::NoError).to_vec().unwrap();
        for length in 2..bytes.len() {
            let answer = question.read(&bytes[..length]).map(|a| a.outcome);
            assert_eq!(answer, Some(QueryOutcome::Malformed), "cut off after {length} bytes");
        }
    }

    #[test]
    fn a_truncated_answer_is_asked_again() {
        let question = question();
        let mut message = reply(&question, ResponseCode::NoError);
        message.metadata.truncation = true;
        assert_eq!(outcome(&question, &message), Some(QueryOutcome::Truncated));
    }

    #[test]
    fn impossible_names_are_not_asked() {
        assert!(Question::new(&format!("{}.", "a".repeat(64)), RecordType::A).is_none(), "a label too long");
        assert!(Question::new("a..b.", RecordType::A).is_none(), "an empty label");
    }
}
