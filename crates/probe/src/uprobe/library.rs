//! The libraries that are known: which of their functions begin and end a span, and which fields are read there.

use gobin::Offsets;

use super::skeleton::types::tandem_binary;
use super::{grpc, redis};

/// A program of `bpf/uprobe.bpf.c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Program {
    HttpServe,
    HttpServed,
    HttpCall,
    HttpCalled,
    HttpSend,
    SqlBegin,
    SqlEnd,
    GrpcServe,
    GrpcServed,
    GrpcCall,
    GrpcCalled,
    GrpcAttempt,
    GrpcHeaders,
    GrpcWrite,
    GrpcStream,
    GrpcFinish,
    Ask,
    AskWrite,
    Send,
    Sent,
}

impl Program {
    pub(crate) const ALL: [Self; 20] = [
        Self::HttpServe,
        Self::HttpServed,
        Self::HttpCall,
        Self::HttpCalled,
        Self::HttpSend,
        Self::SqlBegin,
        Self::SqlEnd,
        Self::GrpcServe,
        Self::GrpcServed,
        Self::GrpcCall,
        Self::GrpcCalled,
        Self::GrpcAttempt,
        Self::GrpcHeaders,
        Self::GrpcWrite,
        Self::GrpcStream,
        Self::GrpcFinish,
        Self::Ask,
        Self::AskWrite,
        Self::Send,
        Self::Sent,
    ];

    /// Its name in the object.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::HttpServe => "on_http_serve",
            Self::HttpServed => "on_http_served",
            Self::HttpCall => "on_http_call",
            Self::HttpCalled => "on_http_called",
            Self::HttpSend => "on_http_send",
            Self::SqlBegin => "on_sql_begin",
            Self::SqlEnd => "on_sql_end",
            Self::GrpcServe => "on_grpc_serve",
            Self::GrpcServed => "on_grpc_served",
            Self::GrpcCall => "on_grpc_call",
            Self::GrpcCalled => "on_grpc_called",
            Self::GrpcAttempt => "on_grpc_attempt",
            Self::GrpcHeaders => "on_grpc_headers",
            Self::GrpcWrite => "on_grpc_write",
            Self::GrpcStream => "on_grpc_stream",
            Self::GrpcFinish => "on_grpc_finish",
            Self::Ask => "on_ask",
            Self::AskWrite => "on_ask_write",
            Self::Send => "on_send",
            Self::Sent => "on_sent",
        }
    }
}

/// Where in a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// At its beginning, behind the check of the stack.
    Begin,
    /// There, and another program at its returns, where its results are in their registers: at no cheap instruction can one
    /// be sure of that.
    Whole(Program),
    /// Behind the one call that it makes of this function, whose results are in their registers.
    Behind(&'static str),
    /// As `Whole`, but for programs in which nothing comes between the function and what it calls: there that tells the end.
    Through(&'static Through),
}

/// A function that only passes on what another one returns, unless something was put between them.
#[derive(Debug)]
pub(crate) struct Through {
    /// At its returns, where something may be between them.
    pub(crate) end: Program,
    /// What that is by: with one of these in the name of a function, it may be there.
    pub(crate) between: &'static [&'static str],
    /// Else: the function that does the work calls another one, and is done where that fails; what comes then ends elsewhere.
    pub(crate) caller: &'static str,
    pub(crate) called: &'static str,
    pub(crate) variant: u8,
    /// Says so to the programs.
    pub(crate) put: fn(&mut tandem_binary),
}

impl PartialEq for Through {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Through {}

/// What a probe is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Without it there are no spans of the library.
    All,
    /// Without it something is missing, which is said. A program that does not have the function misses nothing: what cannot
    /// be reached the linker leaves out.
    IfThere(&'static str),
}

/// A probe on a function.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe {
    pub(crate) program: Program,
    /// Its names, in the versions of the library.
    pub(crate) functions: &'static [&'static str],
    pub(crate) place: Place,
    pub(crate) variant: u8,
    pub(crate) need: Need,
    /// Fields that only this one reads.
    pub(crate) fields: &'static [FieldPlace],
}

/// A field that is read: its structures by the versions of the library, its name, and where the programs expect its offset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FieldPlace {
    pub(crate) structures: &'static [&'static str],
    pub(crate) field: &'static str,
    pub(crate) put: fn(&mut tandem_binary, u32),
    /// Without it something is missing; else there are no spans.
    pub(crate) optional: bool,
}

/// A library, or one side of it.
pub struct Library {
    /// Its name for people.
    pub name: &'static str,
    /// What a woven program calls it that observes it itself.
    pub join_points: &'static [&'static str],
    /// Its operations are told of by their sockets; probes say for whom they are.
    pub on_sockets: bool,
    /// It is in a program that has one of these functions.
    pub(crate) markers: &'static [&'static str],
    pub(crate) probes: &'static [Probe],
    pub(crate) fields: &'static [FieldPlace],
    /// What else the programs need to know of its types.
    pub(crate) types: fn(&Offsets, &mut tandem_binary) -> Result<(), String>,
}

/// Nothing.
fn no_types(_: &Offsets, _: &mut tandem_binary) -> Result<(), String> {
    Ok(())
}

impl std::fmt::Debug for Library {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Library").field("name", &self.name).finish_non_exhaustive()
    }
}

const fn field(
    structures: &'static [&'static str],
    field: &'static str,
    put: fn(&mut tandem_binary, u32),
) -> FieldPlace {
    FieldPlace { structures, field, put, optional: false }
}

const fn optional(place: FieldPlace) -> FieldPlace {
    FieldPlace { optional: true, ..place }
}

const fn begin(program: Program, functions: &'static [&'static str], variant: u8, need: Need) -> Probe {
    Probe { program, functions, place: Place::Begin, variant, need, fields: &[] }
}

const fn whole(begin: Program, end: Program, functions: &'static [&'static str], variant: u8, need: Need) -> Probe {
    Probe { program: begin, functions, place: Place::Whole(end), variant, need, fields: &[] }
}

const REQUEST: &[&str] = &["net/http.Request"];
const URL: &[&str] = &["net/url.URL"];

/// Fields that all libraries need: of the goroutine.
pub(crate) const RUNTIME_FIELDS: &[FieldPlace] = &[
    field(&["runtime.g"], "goid", |binary, offset| binary.goid = offset),
    // Since Go 1.21.
    optional(field(&["runtime.g"], "parentGoid", |binary, offset| binary.parent_goid = offset)),
];

const REQUEST_FIELDS: &[FieldPlace] = &[
    field(REQUEST, "Method", |binary, offset| binary.request_method = offset),
    field(REQUEST, "URL", |binary, offset| binary.request_url = offset),
    field(REQUEST, "ProtoMajor", |binary, offset| binary.request_major = offset),
    field(REQUEST, "ProtoMinor", |binary, offset| binary.request_minor = offset),
    field(REQUEST, "Header", |binary, offset| binary.request_header = offset),
    field(REQUEST, "Host", |binary, offset| binary.request_host = offset),
    field(REQUEST, "RemoteAddr", |binary, offset| binary.request_remote = offset),
    optional(field(REQUEST, "TLS", |binary, offset| binary.request_tls = offset)),
    // Since Go 1.23.
    optional(field(REQUEST, "Pattern", |binary, offset| binary.request_pattern = offset)),
    optional(field(REQUEST, "ctx", |binary, offset| binary.request_context = offset)),
    field(URL, "Scheme", |binary, offset| binary.url_scheme = offset),
    field(URL, "Host", |binary, offset| binary.url_host = offset),
    field(URL, "Path", |binary, offset| binary.url_path = offset),
    field(URL, "RawQuery", |binary, offset| binary.url_query = offset),
    field(&["net/http.response"], "status", |binary, offset| binary.response_status = offset),
    optional(field(&["net/http.response"], "conn", |binary, offset| binary.response_connection = offset)),
    optional(field(&["net/http.conn"], "rwc", |binary, offset| binary.served_connection = offset)),
    field(&["net/http.Response"], "StatusCode", |binary, offset| binary.answer_status = offset),
];

const HTTP2_FIELDS: &[FieldPlace] = &[
    field(&["net/http.http2responseWriter", "net/http/internal/http2.responseWriter"], "rws", |binary, offset| {
        binary.http2_writer_state = offset;
    }),
    field(
        &["net/http.http2responseWriterState", "net/http/internal/http2.responseWriterState"],
        "status",
        |binary, offset| binary.http2_state_status = offset,
    ),
];

const FINISHED: u8 = 0;
const HTTP2_DONE: u8 = 1;
const HIJACKED: u8 = 2;
const CONNECTION_ENDS: u8 = 3;

const UNARY: u8 = 0;
const STREAM: u8 = 1;
const NOT_MADE: u8 = 2;

const NEW_STREAM: &[&str] = &["google.golang.org/grpc/internal/transport.(*http2Client).NewStream"];
const CALLS_ARE_KNOWN: Need = Need::IfThere("what serves its calls does not know who has made them");

/// Unary calls: interceptors may do with an error as they like, and make a call twice.
static UNARY_CALLS: Through = Through {
    end: Program::GrpcCalled,
    between: &["WithUnaryInterceptor", "WithChainUnaryInterceptor"],
    caller: "google.golang.org/grpc.invoke",
    called: "google.golang.org/grpc.newClientStream",
    variant: NOT_MADE,
    put: |binary| binary.unary_finishes = 1,
};

const EXEC: u8 = 1;
const STATEMENT: u8 = 2;
const NO_SQL: Need = Need::IfThere("some operations have no spans");

const fn sql(functions: &'static [&'static str], variant: u8) -> Probe {
    whole(Program::SqlBegin, Program::SqlEnd, functions, variant, NO_SQL)
}

const STATEMENT_FIELDS: &[FieldPlace] =
    &[field(&["database/sql.Stmt"], "query", |binary, offset| binary.statement_query = offset)];

const fn ask(functions: &'static [&'static str]) -> Probe {
    begin(Program::Ask, functions, 0, Need::IfThere("some operations hang under the request of their goroutine"))
}

const fn ask_write(functions: &'static [&'static str], version: u8) -> Probe {
    begin(Program::AskWrite, functions, version, Need::All)
}

const fn go_redis(
    name: &'static str,
    join_points: &'static [&'static str],
    markers: &'static [&'static str],
    probes: &'static [Probe],
    types: fn(&Offsets, &mut tandem_binary) -> Result<(), String>,
) -> Library {
    Library { name, join_points, on_sockets: true, markers, probes, fields: &[], types }
}

const KAFKA_GO: u8 = 0;
const SARAMA_ONE: u8 = 1;
const SARAMA_MANY: u8 = 2;
const FRANZ_GO: u8 = 3;

const fn sender(
    name: &'static str,
    join_points: &'static [&'static str],
    markers: &'static [&'static str],
    probes: &'static [Probe],
    fields: &'static [FieldPlace],
) -> Library {
    Library { name, join_points, on_sockets: false, markers, probes, fields, types: no_types }
}

/// All that are known.
pub static LIBRARIES: [Library; 10] = [
    Library {
        name: "net/http servers",
        join_points: &["net/http.server"],
        on_sockets: false,
        markers: &["net/http.(*conn).serve"],
        probes: &[
            begin(Program::HttpServe, &["net/http.serverHandler.ServeHTTP"], 0, Need::All),
            begin(Program::HttpServed, &["net/http.(*response).finishRequest"], FINISHED, Need::All),
            Probe {
                fields: HTTP2_FIELDS,
                ..begin(
                    Program::HttpServed,
                    &[
                        "net/http.(*http2responseWriter).handlerDone",
                        "net/http/internal/http2.(*responseWriter).handlerDone",
                    ],
                    HTTP2_DONE,
                    Need::IfThere("requests of HTTP/2 have no spans"),
                )
            },
            begin(
                Program::HttpServed,
                &["net/http.(*conn).hijackLocked", "net/http.(*response).Hijack"],
                HIJACKED,
                Need::IfThere("requests whose connection is taken over have no spans"),
            ),
            begin(
                Program::HttpServed,
                &["net/http.(*conn).serve.func1"],
                CONNECTION_ENDS,
                Need::IfThere("requests whose handler panics have no spans"),
            ),
        ],
        fields: REQUEST_FIELDS,
        types: no_types,
    },
    Library {
        name: "net/http clients",
        join_points: &["net/http.client"],
        on_sockets: false,
        markers: &["net/http.(*Transport).roundTrip"],
        probes: &[
            whole(Program::HttpCall, Program::HttpCalled, &["net/http.(*Transport).roundTrip"], 0, Need::All),
            Probe {
                fields: &[field(&["net/http.persistConn"], "conn", |binary, offset| {
                    binary.sending_connection = offset;
                })],
                ..begin(
                    Program::HttpSend,
                    &["net/http.(*persistConn).roundTrip"],
                    0,
                    Need::IfThere("what serves its requests on this machine does not know who has sent them"),
                )
            },
        ],
        fields: REQUEST_FIELDS,
        types: no_types,
    },
    Library {
        name: "database/sql",
        join_points: &["database/sql.query", "database/sql.exec"],
        on_sockets: false,
        markers: &["database/sql.(*DB).QueryContext", "database/sql.(*DB).ExecContext"],
        probes: &[
            sql(&["database/sql.(*DB).QueryContext"], 0),
            sql(&["database/sql.(*Conn).QueryContext"], 0),
            sql(&["database/sql.(*Tx).QueryContext"], 0),
            Probe { fields: STATEMENT_FIELDS, ..sql(&["database/sql.(*Stmt).QueryContext"], STATEMENT) },
            sql(&["database/sql.(*DB).ExecContext"], EXEC),
            sql(&["database/sql.(*Conn).ExecContext"], EXEC),
            sql(&["database/sql.(*Tx).ExecContext"], EXEC),
            Probe { fields: STATEMENT_FIELDS, ..sql(&["database/sql.(*Stmt).ExecContext"], EXEC | STATEMENT) },
        ],
        fields: &[],
        types: no_types,
    },
    Library {
        name: "grpc servers",
        join_points: &["grpc.server"],
        on_sockets: false,
        markers: &["google.golang.org/grpc.(*Server).handleStream"],
        probes: &[
            begin(Program::GrpcServe, &["google.golang.org/grpc.(*Server).handleStream"], 0, Need::All),
            begin(
                Program::GrpcServed,
                &[
                    "google.golang.org/grpc/internal/transport.(*http2Server).writeStatus",
                    "google.golang.org/grpc/internal/transport.(*http2Server).WriteStatus",
                ],
                0,
                Need::All,
            ),
        ],
        fields: &[],
        types: grpc::server_types,
    },
    Library {
        name: "grpc clients",
        join_points: &["grpc.client.unary", "grpc.client.stream"],
        on_sockets: false,
        markers: &["google.golang.org/grpc.(*ClientConn).Invoke", "google.golang.org/grpc.(*ClientConn).NewStream"],
        probes: &[
            Probe {
                place: Place::Through(&UNARY_CALLS),
                ..begin(
                    Program::GrpcCall,
                    &["google.golang.org/grpc.(*ClientConn).Invoke"],
                    UNARY,
                    Need::IfThere("unary calls have no spans"),
                )
            },
            whole(
                Program::GrpcCall,
                Program::GrpcCalled,
                &["google.golang.org/grpc.(*ClientConn).NewStream"],
                STREAM,
                Need::IfThere("streams have no spans"),
            ),
            begin(Program::GrpcFinish, &["google.golang.org/grpc.(*clientStream).finish"], 0, Need::All),
            begin(Program::GrpcAttempt, NEW_STREAM, 0, CALLS_ARE_KNOWN),
            Probe {
                place: Place::Behind("google.golang.org/grpc/internal/transport.(*http2Client).createHeaderFields"),
                ..begin(Program::GrpcHeaders, NEW_STREAM, 0, CALLS_ARE_KNOWN)
            },
            begin(
                Program::GrpcWrite,
                &["google.golang.org/grpc/internal/transport.(*loopyWriter).writeHeader"],
                0,
                CALLS_ARE_KNOWN,
            ),
            begin(Program::GrpcStream, &["google.golang.org/grpc.(*clientStream).bufferForRetryLocked"], 0, Need::All),
        ],
        fields: &[],
        types: grpc::client_types,
    },
    go_redis(
        "go-redis",
        &["go-redis.command"],
        &["github.com/redis/go-redis/v9.(*baseClient)._process"],
        &[
            ask(&["github.com/redis/go-redis/v9.(*baseClient)._process"]),
            ask(&["github.com/redis/go-redis/v9.(*baseClient).pipelineProcessCmds"]),
            ask(&["github.com/redis/go-redis/v9.(*baseClient).txPipelineProcessCmds"]),
            ask_write(&["github.com/redis/go-redis/v9/internal/pool.(*Conn).WithWriter"], redis::V9),
        ],
        redis::types,
    ),
    go_redis(
        "go-redis v8",
        &["go-redis-v8.command"],
        &["github.com/go-redis/redis/v8.(*baseClient)._process"],
        &[
            ask(&["github.com/go-redis/redis/v8.(*baseClient)._process"]),
            ask(&["github.com/go-redis/redis/v8.(*baseClient).pipelineProcessCmds"]),
            ask(&["github.com/go-redis/redis/v8.(*baseClient).txPipelineProcessCmds"]),
            ask_write(&["github.com/go-redis/redis/v8/internal/pool.(*Conn).WithWriter"], redis::V8),
        ],
        redis::types_v8,
    ),
    sender(
        "kafka-go writers",
        &["kafka-go.send"],
        &["github.com/segmentio/kafka-go.(*Writer).WriteMessages"],
        &[whole(
            Program::Send,
            Program::Sent,
            &["github.com/segmentio/kafka-go.(*Writer).WriteMessages"],
            KAFKA_GO,
            Need::All,
        )],
        &[
            field(&["github.com/segmentio/kafka-go.Writer"], "Topic", |binary, offset| binary.writer_topic = offset),
            field(&["github.com/segmentio/kafka-go.Message"], "Topic", |binary, offset| binary.written_topic = offset),
        ],
    ),
    sender(
        "sarama synchronous producers",
        &["sarama.send"],
        &["github.com/IBM/sarama.(*syncProducer).SendMessage", "github.com/IBM/sarama.(*syncProducer).SendMessages"],
        &[
            whole(
                Program::Send,
                Program::Sent,
                &["github.com/IBM/sarama.(*syncProducer).SendMessage"],
                SARAMA_ONE,
                Need::IfThere("messages that are sent one by one have no spans"),
            ),
            whole(
                Program::Send,
                Program::Sent,
                &["github.com/IBM/sarama.(*syncProducer).SendMessages"],
                SARAMA_MANY,
                Need::IfThere("messages that are sent together have no spans"),
            ),
        ],
        &[field(&["github.com/IBM/sarama.ProducerMessage"], "Topic", |binary, offset| binary.produced_topic = offset)],
    ),
    sender(
        "franz-go producers",
        &["franz-go.send"],
        &["github.com/twmb/franz-go/pkg/kgo.(*Client).produce"],
        &[
            begin(Program::Send, &["github.com/twmb/franz-go/pkg/kgo.(*Client).produce"], FRANZ_GO, Need::All),
            begin(
                Program::Sent,
                &["github.com/twmb/franz-go/pkg/kgo.(*Client).finishRecordPromise"],
                FRANZ_GO,
                Need::All,
            ),
        ],
        &[field(&["github.com/twmb/franz-go/pkg/kgo.Record"], "Topic", |binary, offset| binary.record_topic = offset)],
    ),
];
