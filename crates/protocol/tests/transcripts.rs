//! Conversations of every protocol, byte by byte as real ends hold them, in whatever pieces they are seen.
//!
//! Guarantees: the same exchanges come out however the bytes are cut into segments, twice or in another order; bytes that
//! are missing, mixed or no protocol at all never break anything; what is secret is in none of the attributes.

use proptest::collection::vec;
use proptest::prelude::*;
use protocol::{Connection, Direction, Exchange, Fate, Operation, Segment, Side, Value};

/// Who speaks, and what.
type Said = (Direction, Vec<u8>);

const SECRET: &str = "s3cr3t";

fn out(bytes: impl AsRef<[u8]>) -> Said {
    (Direction::Out, bytes.as_ref().to_vec())
}

fn came(bytes: impl AsRef<[u8]>) -> Said {
    (Direction::In, bytes.as_ref().to_vec())
}

/// A message of PostgreSQL.
fn postgresql(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![kind];
    message.extend((body.len() as u32 + 4).to_be_bytes());
    message.extend(body);
    message
}

/// A packet of MySQL.
fn mysql(sequence: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = (body.len() as u32).to_le_bytes()[..3].to_vec();
    packet.push(sequence);
    packet.extend(body);
    packet
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, body: &[u8]) -> Vec<u8> {
    let mut frame = (body.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(body);
    frame
}

fn http1() -> Vec<Said> {
    vec![
        out(format!("GET /items/7?page=2&token={SECRET} HTTP/1.1\r\nHost: shop:8080\r\nCookie: {SECRET}\r\n\r\n")),
        came("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
        out("POST /orders HTTP/1.1\r\nHost: shop\r\nExpect: 100-continue\r\nContent-Length: 6\r\n\r\n"),
        came("HTTP/1.1 100 Continue\r\n\r\n"),
        out(SECRET),
        came("HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        out("HEAD /a HTTP/1.1\r\nHost: shop\r\n\r\nGET /b HTTP/1.1\r\nHost: shop\r\n\r\n"),
        came("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nHTTP/1.1 304 Not Modified\r\n\r\n"),
    ]
}

fn http2() -> Vec<Said> {
    let mut encoder = fluke_hpack::Encoder::new();
    let mut block = |headers: &[(&str, &str)]| {
        encoder.encode(headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())))
    };
    let request = block(&[
        (":method", "POST"),
        (":path", "/echo.Echo/Unary"),
        (":authority", "there:50051"),
        ("content-type", "application/grpc"),
        ("authorization", SECRET),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ]);
    let again = block(&[(":method", "POST"), (":path", "/echo.Echo/Unary"), ("content-type", "application/grpc")]);
    let mut answers = fluke_hpack::Encoder::new();
    let mut block = |headers: &[(&str, &str)]| {
        answers.encode(headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())))
    };
    let (head, good) = (block(&[(":status", "200")]), block(&[("grpc-status", "0")]));
    let (head_again, bad) = (block(&[(":status", "200")]), block(&[("grpc-status", "5")]));
    let begin = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let ask = |stream, block: &[u8]| {
        let half = block.len() / 2;
        [
            frame(1, 0, stream, &block[..half]),
            frame(9, 4, stream, &block[half..]),
            frame(0, 1, stream, SECRET.as_bytes()),
        ]
        .concat()
    };
    let answer = |stream, head: &[u8], end: &[u8]| {
        [frame(1, 4, stream, head), frame(0, 0, stream, SECRET.as_bytes()), frame(1, 5, stream, end)].concat()
    };
    vec![
        out([begin, frame(4, 0, 0, &[]), ask(1, &request)].concat()),
        came([frame(4, 0, 0, &[]), answer(1, &head, &good)].concat()),
        out(ask(3, &again)),
        came(answer(3, &head_again, &bad)),
    ]
}

fn redis() -> Vec<Said> {
    vec![
        out(format!("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$6\r\n{SECRET}\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n")),
        came(format!("+OK\r\n$6\r\n{SECRET}\r\n")),
        out("*1\r\n$5\r\nMULTI\r\n*2\r\n$4\r\nINCR\r\n$1\r\nb\r\n*1\r\n$4\r\nEXEC\r\n"),
        came("+OK\r\n+QUEUED\r\n>3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n*1\r\n:1\r\n"),
        out("*1\r\n$4\r\nNOPE\r\n"),
        came(format!("-ERR unknown command 'NOPE', with args beginning with: '{SECRET}'\r\n")),
    ]
}

fn postgresql_simple() -> Vec<Said> {
    let mut startup = 196_608u32.to_be_bytes().to_vec();
    startup.extend(b"user\0ann\0database\0shop\0\0");
    let mut first = (startup.len() as u32 + 4).to_be_bytes().to_vec();
    first.extend(startup);
    let ready = postgresql(b'Z', b"I");
    let password = postgresql(b'p', format!("{SECRET}\0").as_bytes());
    let query = postgresql(b'Q', format!("SELECT name FROM items WHERE word = '{SECRET}'; SELECT 1\0").as_bytes());
    let bad = postgresql(b'Q', b"SELECT * FROM nowhere\0");
    let error = postgresql(b'E', format!("SERROR\0C42P01\0Mbad value '{SECRET}'\0\0").as_bytes());
    let rows = [postgresql(b'D', SECRET.as_bytes()), postgresql(b'C', b"SELECT 1\0")].concat();
    vec![
        out([8u32.to_be_bytes(), 80_877_103u32.to_be_bytes()].concat()),
        came("N"),
        out(first),
        came(postgresql(b'R', &3u32.to_be_bytes())),
        out(password),
        came([postgresql(b'R', &0u32.to_be_bytes()), ready.clone()].concat()),
        out(query),
        came([rows.clone(), rows, ready.clone()].concat()),
        out(bad),
        came([error, ready].concat()),
    ]
}

fn postgresql_extended() -> Vec<Said> {
    let parse = postgresql(b'P', b"s1\0INSERT INTO items VALUES ($1)\0\0\0");
    let bind = postgresql(b'B', format!("\0s1\0\0\0\0\x01\0\0\0\x06{SECRET}\0\0").as_bytes());
    let execute = postgresql(b'E', b"\0\0\0\0\0");
    let sync = postgresql(b'S', b"");
    let done = postgresql(b'C', b"INSERT 0 1\0");
    vec![
        out([parse.as_slice(), &bind, &execute, &bind, &execute, &sync].concat()),
        came(
            [
                postgresql(b'1', b""),
                postgresql(b'2', b""),
                done.clone(),
                postgresql(b'2', b""),
                done,
                postgresql(b'Z', b"I"),
            ]
            .concat(),
        ),
    ]
}

fn mysql_text() -> Vec<Said> {
    let greeting = [b"\x0a8.0.36\0".as_slice(), &[1; 60]].concat();
    let mut login = (1u32 << 3 | 1 << 15).to_le_bytes().to_vec();
    login.extend([0; 28]);
    login.extend(b"ann\0\x06");
    login.extend(SECRET.as_bytes());
    login.extend(b"shop\0");
    let end = [0xfe, 0, 0, 2, 0];
    vec![
        came(mysql(0, &greeting)),
        out(mysql(1, &login)),
        came(mysql(2, &[0, 0, 0, 2, 0, 0, 0])),
        out(mysql(0, format!("\x03SELECT a FROM t WHERE b = '{SECRET}'").as_bytes())),
        came(
            [mysql(1, &[1]), mysql(2, b"\x03def"), mysql(3, &end), mysql(4, SECRET.as_bytes()), mysql(5, &end)]
                .concat(),
        ),
        out(mysql(0, b"\x03SELEC")),
        came(mysql(1, &[b"\xff\x28\x04#42000You have '".as_slice(), SECRET.as_bytes(), b"'"].concat())),
    ]
}

fn kafka() -> Vec<Said> {
    let message = |body: &[u8]| [(body.len() as u32).to_be_bytes().as_slice(), body].concat();
    let mut produce = [0, 0, 0, 3, 0, 0, 0, 7, 0, 3].to_vec(); // Produce 3, correlation 7, a client's name
    produce.extend(b"app");
    produce.extend([0xff, 0xff, 0, 1, 0, 0, 0x10, 0, 0, 0, 0, 1, 0, 6]); // no transaction, one ack, a topic
    produce.extend(b"orders");
    produce.extend(SECRET.as_bytes());
    let mut answer = 7u32.to_be_bytes().to_vec();
    answer.extend([0, 0, 0, 1, 0, 6]);
    answer.extend(b"orders");
    answer.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 3]); // a partition, and error 3
    answer.extend([0; 20]);
    vec![out(message(&produce)), came(message(&answer))]
}

fn mongodb() -> Vec<Said> {
    let document = |elements: &[u8]| [(elements.len() as u32 + 5).to_le_bytes().as_slice(), elements, b"\0"].concat();
    let text = |name: &str, value: &str| {
        [format!("\x02{name}\0").as_bytes(), &(value.len() as u32 + 1).to_le_bytes(), value.as_bytes(), b"\0"].concat()
    };
    let message = |number: u32, answers: u32, document: &[u8]| {
        let mut message = (document.len() as u32 + 21).to_le_bytes().to_vec();
        message.extend(number.to_le_bytes());
        message.extend(answers.to_le_bytes());
        message.extend(2013u32.to_le_bytes());
        message.extend([0; 5]);
        message.extend(document);
        message
    };
    let find = document(&[text("find", "orders"), text("filter", SECRET), text("$db", "shop")].concat());
    let refused = document(
        &[b"\x01ok\0\0\0\0\0\0\0\0\0\x10code\0\x3b\0\0\0".as_slice(), &text("errmsg", "no such command")].concat(),
    );
    vec![out(message(1, 0, &find)), came(message(9, 1, &refused))]
}

fn all() -> Vec<(Operation, usize, Vec<Said>)> {
    vec![
        (Operation::Http, 4, http1()),
        (Operation::Grpc, 2, http2()),
        (Operation::Redis, 6, redis()),
        (Operation::Postgresql, 2, postgresql_simple()),
        (Operation::Postgresql, 2, postgresql_extended()),
        (Operation::Mysql, 2, mysql_text()),
        (Operation::KafkaSend, 1, kafka()),
        (Operation::Mongodb, 1, mongodb()),
    ]
}

/// Plays a conversation in segments of these sizes; each is seen twice where `again` says so.
fn play(conversation: &[Said], sizes: &[usize], again: bool) -> Vec<Exchange> {
    let mut connection = Connection::default();
    let (mut positions, mut time, mut sizes) = ([1_000u32, u32::MAX - 20], 0, sizes.iter().cycle());
    let mut exchanges = Vec::new();
    for (direction, bytes) in conversation {
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((*sizes.next().expect("a cycle")).min(rest.len()));
            rest = after;
            time += 10;
            let position = &mut positions[usize::from(*direction == Direction::In)];
            let segment = Segment {
                direction: *direction,
                time,
                sequence: *position,
                length: piece.len() as u32,
                bytes: piece,
                thread: 5,
            };
            connection.add(&segment, &mut exchanges);
            if again {
                connection.add(&segment, &mut exchanges);
            }
            *position = position.wrapping_add(piece.len() as u32);
        }
    }
    connection.close(time, &mut exchanges);
    exchanges
}

/// What does not depend on when which piece was seen.
fn told(exchanges: &[Exchange]) -> Vec<impl PartialEq + std::fmt::Debug + use<>> {
    let told = exchanges.iter().map(|exchange| {
        (
            exchange.operation,
            exchange.role,
            exchange.position,
            exchange.attributes.clone(),
            exchange.error.clone(),
            exchange.parent,
        )
    });
    told.collect()
}

fn value<'a>(exchange: &'a Exchange, name: &str) -> Option<&'a Value> {
    exchange.attributes.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// Scenario: each conversation in segments as they were sent. Guarantees: every exchange once, with what the conventions
/// ask for, and nothing that is secret.
#[test]
fn conversations_become_exchanges() {
    for (operation, count, conversation) in all() {
        let exchanges = play(&conversation, &[usize::MAX], false);
        assert_eq!(exchanges.len(), count, "{operation:?}: {exchanges:#?}");
        for exchange in &exchanges {
            assert_eq!((exchange.operation, exchange.role), (operation, Side::Client));
            assert!(exchange.ended >= exchange.begun && exchange.begun > 0);
            assert!(!format!("{exchange:?}").contains(SECRET), "{exchange:#?}");
        }
        let last = exchanges.last().expect("one");
        let text = |name: &str| match value(last, name) {
            Some(Value::Text(text)) => text.clone(),
            other => format!("{other:?}"),
        };
        match operation {
            Operation::Http => {
                assert_eq!(text("url.full"), "http://shop/b");
                assert_eq!(value(last, "http.response.status_code"), Some(&Value::Int(304)));
                assert_eq!(exchanges[1].error.as_deref(), Some("500"));
                assert_eq!(
                    value(&exchanges[0], "url.full"),
                    Some(&"http://shop:8080/items/7?page=2&token=REDACTED".into())
                );
            }
            Operation::Grpc => {
                assert_eq!(
                    (text("rpc.method"), text("rpc.response.status_code")),
                    ("echo.Echo/Unary".into(), "NOT_FOUND".into())
                );
                assert_eq!(exchanges[0].parent.map(|parent| parent.span_id[1]), Some(0xf0));
                assert_eq!(exchanges[0].error, None);
            }
            Operation::Redis => {
                assert_eq!((text("db.operation.name"), text("db.response.status_code")), ("NOPE".into(), "ERR".into()));
                assert_eq!(value(&exchanges[0], "db.query.text"), Some(&"SET ? ?".into()));
            }
            Operation::Postgresql if last.error.is_some() => {
                assert_eq!((text("db.namespace"), text("db.collection.name")), ("shop".into(), "nowhere".into()));
                assert_eq!(last.error.as_deref(), Some("42P01"));
                assert_eq!(
                    value(&exchanges[0], "db.query.text"),
                    Some(&"SELECT name FROM items WHERE word = ?; SELECT ?".into())
                );
            }
            Operation::Postgresql => assert_eq!(text("db.query.text"), "INSERT INTO items VALUES ($1)"),
            Operation::Mysql => {
                assert_eq!(last.error.as_deref(), Some("1064"));
                assert_eq!(value(&exchanges[0], "db.query.text"), Some(&"SELECT a FROM t WHERE b = ?".into()));
                assert_eq!(value(&exchanges[0], "db.namespace"), Some(&"shop".into()));
            }
            Operation::KafkaSend => {
                assert_eq!(text("messaging.destination.name"), "orders");
                assert_eq!(last.error.as_deref(), Some("UNKNOWN_TOPIC_OR_PARTITION"));
            }
            Operation::Mongodb => {
                assert_eq!((text("db.operation.name"), text("db.collection.name")), ("find".into(), "orders".into()));
                assert_eq!(last.error.as_deref(), Some("59"));
            }
            Operation::KafkaPoll | Operation::Dns => unreachable!("not among them"),
        }
    }
}

/// Scenario: a server of HTTP/2 that says what it can do before it has heard anything, in one piece or in several. Guarantees: the
/// same exchanges.
#[test]
fn servers_of_http2_may_speak_first() {
    let settings = frame(4, 0, 0, &[0, 3, 0, 0, 0, 100, 0, 4, 0, 1, 0, 0]);
    let conversation = [vec![came(settings)], http2()].concat();
    for sizes in [&[usize::MAX][..], &[1], &[5, 7]] {
        assert_eq!(play(&conversation, sizes, false).len(), 2, "{sizes:?}");
    }
}

/// Scenario: somebody who was connected before anybody looked. Guarantees: exchanges from the first whole one on.
#[test]
fn connections_may_be_older_than_the_look() {
    for (operation, _, conversation) in all() {
        let later = match operation {
            Operation::Http => &conversation[2..],
            Operation::Redis => &conversation[2..],
            Operation::Mysql => &conversation[3..],
            Operation::Postgresql if conversation.len() > 6 => &conversation[6..],
            _ => continue,
        };
        let exchanges = play(later, &[usize::MAX], false);
        assert!(exchanges.len() >= 2, "{operation:?}: {exchanges:#?}");
    }
}

/// Scenario: TLS, and protocols that nobody knows. Guarantees: they are left alone by the third turn, without an exchange.
#[test]
fn strangers_are_left_alone() {
    let hello = [&[0x16, 3, 1, 0, 200][..], &[7; 200]].concat();
    for greeting in [hello, b"220 mail ready\r\n".to_vec(), b"SSH-2.0-x\r\n".to_vec(), vec![0; 40]] {
        let mut connection = Connection::default();
        let mut exchanges = Vec::new();
        let mut fate = Fate::Open;
        for turn in 0..3u32 {
            let direction = if turn % 2 == 0 { Direction::Out } else { Direction::In };
            let segment = Segment {
                direction,
                time: 1,
                sequence: turn / 2 * greeting.len() as u32,
                length: greeting.len() as u32,
                bytes: &greeting,
                thread: 0,
            };
            fate = connection.add(&segment, &mut exchanges);
        }
        assert_eq!((fate, exchanges.len()), (Fate::Quiet, 0), "{greeting:?}");
    }
}

/// Scenario: of bodies and results only the beginning was copied. Guarantees: the exchanges are all there.
#[test]
fn bytes_that_were_not_copied_are_not_needed() {
    let big = vec![b'x'; 100_000];
    let answer = [b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n".as_slice(), &big].concat();
    let row = [postgresql(b'D', &big), postgresql(b'C', b"SELECT 1\0"), postgresql(b'Z', b"I")].concat();
    let bulk = [b"$100000\r\n".as_slice(), &big, b"\r\n"].concat();
    let query = postgresql(b'Q', b"SELECT x FROM y\0");
    let conversations = [
        (out("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), answer),
        (out(query), row),
        (out("*2\r\n$3\r\nGET\r\n$1\r\na\r\n"), bulk),
    ];
    for (request, answer) in conversations {
        let mut connection = Connection::default();
        let (mut exchanges, mut positions) = (Vec::new(), [0u32; 2]);
        for turn in 0..3u64 {
            for (direction, bytes) in [(request.0, request.1.as_slice()), (Direction::In, answer.as_slice())] {
                let mut copied = 4096usize;
                for piece in bytes.chunks(1448) {
                    let position = &mut positions[usize::from(direction == Direction::In)];
                    let here = copied.min(piece.len());
                    copied -= here;
                    let segment = Segment {
                        direction,
                        time: 100 + turn,
                        sequence: *position,
                        length: piece.len() as u32,
                        bytes: &piece[..here],
                        thread: 0,
                    };
                    connection.add(&segment, &mut exchanges);
                    *position += piece.len() as u32;
                }
            }
        }
        connection.look(10_000_000_000, &mut exchanges);
        assert_eq!(exchanges.len(), 3, "{exchanges:#?}");
        assert!(exchanges.iter().all(|exchange| exchange.ended >= 100));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// However the bytes come in pieces, once or twice: the same exchanges.
    #[test]
    fn pieces_do_not_matter(sizes in vec(1usize..40, 1..20), again in any::<bool>()) {
        for (operation, _, conversation) in all() {
            let whole = told(&play(&conversation, &[usize::MAX], false));
            prop_assert_eq!(told(&play(&conversation, &sizes, again)), whole, "{:?}", operation);
        }
    }

    /// Holes, other protocols in the middle, bytes that are turned: nothing breaks, and nothing secret gets out.
    #[test]
    fn damage_is_borne(
        first in 0usize..8,
        second in 0usize..8,
        cut in 0usize..12,
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        missing in vec(any::<bool>(), 1..12),
    ) {
        let conversations = all();
        let mut mixed: Vec<Said> = conversations[first].2.clone();
        mixed.truncate(cut.max(1));
        mixed.extend(conversations[second].2.clone());
        let mut connection = Connection::default();
        let (mut exchanges, mut positions) = (Vec::new(), [7u32; 2]);
        for ((direction, mut bytes), missing) in mixed.into_iter().zip(missing.iter().cycle()) {
            for (place, byte) in &changes {
                let place = place.index(bytes.len());
                bytes[place] = *byte;
            }
            let position = &mut positions[usize::from(direction == Direction::In)];
            let copied = if *missing { bytes.len() / 2 } else { bytes.len() };
            let segment = Segment { direction, time: 3, sequence: *position, length: bytes.len() as u32, bytes: &bytes[..copied], thread: 0 };
            *position = position.wrapping_add(bytes.len() as u32);
            connection.add(&segment, &mut exchanges);
        }
        connection.look(u64::MAX, &mut exchanges);
        connection.close(9, &mut exchanges);
    }

    /// Any text is a query; what is between quotes in it is never shown.
    #[test]
    fn literals_are_never_shown(before in "[a-z (=,]{0,20}", inside in "[A-Z]{6,12}", after in "[a-z ),;]{0,20}") {
        for dialect in [protocol::query::Dialect::Postgresql, protocol::query::Dialect::Mysql] {
            let shown = protocol::query::read(&format!("{before}'{inside}'{after}"), dialect);
            prop_assert!(!shown.text.contains(&inside) && !shown.summary.contains(&inside), "{:?}", shown);
        }
    }

    /// Any bytes at all.
    #[test]
    fn noise_is_borne(noise in vec((any::<bool>(), vec(any::<u8>(), 0..80)), 0..12), text in ".{0,200}") {
        let mut connection = Connection::default();
        let mut exchanges = Vec::new();
        for (direction, bytes) in &noise {
            let direction = if *direction { Direction::Out } else { Direction::In };
            let segment = Segment { direction, time: 3, sequence: 0, length: bytes.len() as u32, bytes, thread: 0 };
            connection.add(&segment, &mut exchanges);
        }
        protocol::query::read(&text, protocol::query::Dialect::Mysql);
    }
}
