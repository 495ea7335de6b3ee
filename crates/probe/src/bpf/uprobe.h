/*
 * What the probes on functions of Go programs (uprobe.bpf.c) and their loader (src/uprobe/) share. The Rust side is
 * generated from the object's type information, so nothing here is written twice.
 */
#ifndef TANDEM_UPROBE_H
#define TANDEM_UPROBE_H

/* Executables whose facts are known at once: one entry a process. */
#define TANDEM_BINARY_COUNT 4096
/* Spans that are open at once, of all processes. */
#define TANDEM_OPEN_COUNT 16384
/*
 * Contexts of spans, open or not: so many sets (two to the power of that) of so many. Of a set
 * the oldest goes whose span is over, else the oldest, and its children are found by their goroutine.
 */
#define TANDEM_CONTEXT_SETS_POWER 11
#define TANDEM_CONTEXT_SET_SIZE 8
/* Texts of open spans that are kept at once. */
#define TANDEM_TEXT_ENTRIES 4096
/* Connections whose last request is known; the least recently used go. */
#define TANDEM_CONNECTION_COUNT 8192
/* Calls on connections of many: those that were sent and are not served yet; those that are about to be sent. The
 * oldest go. */
#define TANDEM_CALL_COUNT 4096
#define TANDEM_OPEN_CALL_COUNT 1536
/* Bytes of all texts of a span, and of the longest one: powers of two. */
#define TANDEM_TEXT_SPACE 2048
#define TANDEM_TEXT_LIMIT 1024
#define TANDEM_TEXT_COUNT 8
/* Bytes that are read of a structure at once. */
#define TANDEM_STRUCTURE_SPACE 512
/* An offset that is not known. */
#define TANDEM_UNKNOWN 0xffffffffU

/* What a span is of. */
enum tandem_span_kind {
	TANDEM_SPAN_HTTP_SERVER = 1,
	TANDEM_SPAN_HTTP_CLIENT = 2,
	TANDEM_SPAN_SQL = 3,
	TANDEM_SPAN_GRPC_SERVER = 4,
	TANDEM_SPAN_GRPC_CLIENT = 5, /* a unary call */
	TANDEM_SPAN_GRPC_STREAM = 6, /* a stream of a client, while it is being made */
	TANDEM_SPAN_GRPC_STREAM_MADE = 7, /* the same later: named by its address instead of a goroutine */
	TANDEM_SPAN_ASKING = 8, /* none: its socket tells of it, and a probe for whom that is */
	TANDEM_SPAN_SEND = 9, /* messages that are sent */
};

/* How the parent of a span was found. */
enum tandem_parent {
	TANDEM_PARENT_NONE = 0, /* it is a root */
	TANDEM_PARENT_REMOTE = 1, /* a header of the request names it */
	TANDEM_PARENT_EXPLICIT = 2, /* the context.Context that was passed belongs to it */
	TANDEM_PARENT_GOROUTINE = 3, /* it is open on the same goroutine */
	TANDEM_PARENT_ANCESTOR = 4, /* it is open on the goroutine that started this one */
	TANDEM_PARENT_WOVEN = 5, /* the woven half of the program says so */
	TANDEM_PARENT_CONNECTION =
		6, /* it is the request that the other end of the connection, on this machine, has sent */
};

/* Texts of a span, in the order in which they are in an event. */
enum tandem_http_text {
	TANDEM_HTTP_METHOD = 0,
	TANDEM_HTTP_HOST = 1, /* of the request line or header; of a client's URL */
	TANDEM_HTTP_PATH = 2,
	TANDEM_HTTP_QUERY = 3,
	TANDEM_HTTP_REMOTE = 4, /* of a server: the client's address */
	TANDEM_HTTP_PATTERN = 5, /* of a server: what its multiplexer has matched */
	TANDEM_HTTP_SCHEME = 6, /* of a client */
	TANDEM_HTTP_OWN_HOST = 7, /* of a client: Host where it differs from the URL's */
};
enum tandem_sql_text {
	TANDEM_SQL_QUERY = 0,
};
enum tandem_send_text {
	TANDEM_SEND_TOPIC = 0,
};
enum tandem_asking_text {
	TANDEM_ASKING_ENDS = 0, /* struct tandem_ends */
};
enum tandem_grpc_text {
	TANDEM_GRPC_METHOD = 0, /* with its leading slash */
	TANDEM_GRPC_TARGET = 1, /* of a client: what it was told to connect to; of a server: what it was called */
	TANDEM_GRPC_MESSAGE = 2, /* of the status */
};

/* Numbers of a span. */
enum tandem_http_number {
	TANDEM_HTTP_STATUS = 0, /* 0: not known */
	TANDEM_HTTP_MAJOR = 1,
	TANDEM_HTTP_MINOR = 2,
	TANDEM_HTTP_TLS = 3, /* not 0: by TLS */
};
enum tandem_grpc_number {
	TANDEM_GRPC_CODE = 0,
	TANDEM_GRPC_PEER_PORT = 1, /* 0: the peer is not known */
	TANDEM_GRPC_PEER = 2, /* its address, two numbers */
};
enum tandem_send_number {
	TANDEM_SEND_LIBRARY = 0, /* TANDEM_VARIANT_SEND_* */
	TANDEM_SEND_COUNT = 1, /* of messages */
};
enum tandem_asking_number {
	TANDEM_ASKING_POSITION = 0, /* of the first byte that will be written */
};
enum tandem_sql_number {
	TANDEM_SQL_OPERATION = 0, /* which function: TANDEM_VARIANT_SQL_* bits */
};

/* How a span ended. */
enum tandem_outcome {
	TANDEM_OUTCOME_DONE = 0,
	TANDEM_OUTCOME_ERROR = 1, /* the function returned an error */
	TANDEM_OUTCOME_PANIC = 2, /* the handler panicked, or ended its goroutine */
	TANDEM_OUTCOME_TAKEN = 3, /* the handler has taken the connection over */
};

/* How the maps of a Go program lie in memory. */
enum tandem_map_form {
	TANDEM_MAP_UNKNOWN = 0,
	TANDEM_MAP_BUCKETS = 1, /* until Go 1.23 */
	TANDEM_MAP_GROUPS = 2, /* from Go 1.24 on: keys and elements in turn */
	TANDEM_MAP_SPLIT_GROUPS = 3, /* keys first, then elements */
};

/*
 * A site's cookie: the number of the executable, what is special about the site, and where a conditional jump ends the
 * function on one of its ways, which one (the low four bits of its opcode, as the processor numbers conditions).
 */
#define TANDEM_COOKIE_VARIANT_SHIFT 32
#define TANDEM_COOKIE_CONDITION_SHIFT 40
#define TANDEM_CONDITION_ALWAYS 16

/* Variants of the end of an HTTP server's span. */
enum tandem_http_variant {
	TANDEM_VARIANT_FINISHED = 0, /* rax: *response */
	TANDEM_VARIANT_HTTP2_DONE = 1, /* rax: *http2responseWriter */
	TANDEM_VARIANT_HIJACKED = 2,
	TANDEM_VARIANT_CONNECTION_ENDS = 3, /* a span that is still open: its handler has panicked */
};
/* Variants of the sites of clients that send messages. */
enum tandem_send_variant {
	TANDEM_VARIANT_SEND_KAFKA_GO = 0,
	TANDEM_VARIANT_SEND_SARAMA_ONE = 1,
	TANDEM_VARIANT_SEND_SARAMA_MANY = 2,
	TANDEM_VARIANT_SEND_FRANZ_GO = 3,
};
/* Variants of the sites of go-redis: its version. A program may have both. */
enum tandem_redis_variant {
	TANDEM_VARIANT_REDIS_V9 = 0,
	TANDEM_VARIANT_REDIS_V8 = 1,
	TANDEM_VARIANTS_OF_REDIS = 2,
};
/* Variants of the sites of grpc clients. */
enum tandem_grpc_variant {
	TANDEM_VARIANT_GRPC_UNARY = 0,
	TANDEM_VARIANT_GRPC_STREAM = 1, /* a stream is made, or was */
	TANDEM_VARIANT_GRPC_NOT_MADE = 2, /* behind the call that makes a unary call's stream: did it fail? */
};
/* Variants of the sites of database/sql, a bit each. */
enum tandem_sql_variant {
	TANDEM_VARIANT_SQL_EXEC = 1, /* its result is an interface; else it is a pointer */
	TANDEM_VARIANT_SQL_STATEMENT = 2, /* the receiver has the query; else it is an argument */
};

/* What is known of an executable: offsets of fields. */
struct tandem_binary {
	unsigned int process; /* whose it is */
	unsigned int observation; /* its number: a process that is observed once more has another one */
	unsigned int slot_offset; /* from g, of a woven program; 0: none */
	unsigned int goid;
	unsigned int parent_goid;
	enum tandem_map_form map_form;
	unsigned int request_method;
	unsigned int request_url;
	unsigned int request_major;
	unsigned int request_minor;
	unsigned int request_header;
	unsigned int request_host;
	unsigned int request_remote;
	unsigned int request_tls;
	unsigned int request_pattern;
	unsigned int request_context;
	unsigned int request_size;
	unsigned int url_scheme;
	unsigned int url_host;
	unsigned int url_path;
	unsigned int url_query;
	unsigned int response_request;
	unsigned int response_status; /* net/http.response, of servers */
	unsigned int answer_status; /* net/http.Response, of clients */
	unsigned int http2_writer_state; /* http2responseWriter.rws */
	unsigned int http2_state_status; /* http2responseWriterState.status */
	unsigned int statement_query; /* database/sql.Stmt.query */
	unsigned int response_connection; /* net/http.response.conn */
	unsigned int served_connection; /* net/http.conn.rwc */
	unsigned int sending_connection; /* net/http.persistConn.conn */
	unsigned int served_transport; /* number of the type *transport.http2Server */
	unsigned int served_transport_connection; /* transport.http2Server.conn */
	unsigned int served_stream; /* transport.ServerStream.Stream */
	unsigned int served_stream_points; /* not 0: that is a pointer */
	unsigned int stream_id; /* transport.Stream */
	unsigned int stream_method;
	unsigned int stream_context;
	unsigned int stream_size; /* as far as these fields */
	unsigned int metadata_key; /* number of the type of the key under which a context has the metadata of a call */
	unsigned int calling_target; /* grpc.ClientConn.target */
	unsigned int calling_transport_connection; /* transport.http2Client.conn */
	unsigned int status_error; /* number of the type *status.Error */
	unsigned int status_error_status; /* status.Error.s */
	unsigned int status_message; /* status.Status.s */
	unsigned int message_code; /* rpc/status.Status */
	unsigned int message_text;
	unsigned int plain_error; /* number of the type *errors.errorString */
	unsigned int pooled_connection[TANDEM_VARIANTS_OF_REDIS]; /* go-redis/internal/pool.Conn: its net.Conn */
	unsigned int pooled_connection_points[TANDEM_VARIANTS_OF_REDIS]; /* not 0: it is behind a pointer there */
	unsigned int writer_topic; /* kafka-go.Writer.Topic */
	unsigned int written_topic; /* kafka-go.Message.Topic */
	unsigned int produced_topic; /* sarama.ProducerMessage.Topic */
	unsigned int record_topic; /* kgo.Record.Topic */
	unsigned int unary_finishes; /* not 0: a unary call of grpc is over when its stream is */
	/* Where the program has the descriptions of types, once a probe has met them; 0: not yet. */
	unsigned long long served_transport_place; /* as a transport.ServerTransport */
	unsigned long long metadata_key_place;
};

/* Names a span that is open: by its goroutine, and by what it is of, where one may be inside another. */
struct tandem_open_key {
	unsigned long long goroutine; /* its goid: never given twice in a process */
	unsigned int process;
	unsigned int kind; /* 0: of a server */
};

/* A span as others are its children. */
struct tandem_identity {
	unsigned char trace_id[16];
	unsigned char span_id[8];
	unsigned char trace_flags;
	unsigned char reserved[7];
};

/* The span that a context.Context belongs to, also when that has ended: what was begun for it may go on. */
struct tandem_context_span {
	struct tandem_identity own;
	/*
	 * That, the context's address, whose it is, and the interface that it was derived from (what else lies there
	 * later has another one), in one number.
	 */
	unsigned long long seal;
};

/* Contexts whose addresses have the same hash. */
struct tandem_context_set {
	unsigned long long contexts[TANDEM_CONTEXT_SET_SIZE]; /* address of what the interface points to; 0: none */
	unsigned char over[TANDEM_CONTEXT_SET_SIZE]; /* not 0: its span is */
	unsigned int oldest;
	unsigned int reserved;
	struct tandem_context_span spans[TANDEM_CONTEXT_SET_SIZE];
};

/* A connection, as one of its ends sees it. IPv4 addresses are mapped into IPv6, as they are for a socket of both. */
struct tandem_ends {
	unsigned char local[16];
	unsigned char remote[16];
	unsigned short local_port;
	unsigned short remote_port;
	unsigned int network; /* inode of the network namespace where the address is one of loopback; else 0 */
};

/* A call on a connection of many: both ends number them alike. */
struct tandem_call_key {
	struct tandem_ends ends;
	unsigned int stream;
	unsigned int reserved;
};

/* Who has made it. */
struct tandem_caller {
	struct tandem_identity own;
	unsigned long long time; /* when */
};

/* Names a call by its headers, which lie ready in the memory of who makes it. */
struct tandem_ready_key {
	unsigned long long headers; /* address of the first */
	unsigned int process;
	unsigned int reserved;
};

/* What is known of it before it has a number. */
struct tandem_ready_call {
	struct tandem_identity own;
	struct tandem_ends ends;
	unsigned long long cookie; /* of the socket; 0: it gets no header of ours */
};

/* The request that was last sent on a connection. */
struct tandem_sent {
	struct tandem_identity own;
	struct tandem_open_key key; /* of the span, as long as it is open */
};

/* What is known of what a marked socket sends. */
enum tandem_speech {
	TANDEM_SPEECH_UNKNOWN = 0, /* it was looked up: its beginning was not seen */
	TANDEM_SPEECH_BEGINS = 1,
	TANDEM_SPEECH_FRAMES = 2, /* HTTP/2 */
};

/* What is kept of a socket of a process whose requests are marked. */
struct tandem_marked_socket {
	unsigned long long cookie; /* 0: it is not connected yet */
	enum tandem_speech speech;
	unsigned int rest; /* bytes of a frame that are still to come */
};

/* Names a call that is about to be sent. */
struct tandem_pending_key {
	unsigned long long cookie; /* of the socket */
	unsigned int stream;
	unsigned int reserved;
};

/* A span that is open. */
struct tandem_open {
	struct tandem_identity own; /* first, so that the place of the one is that of the other */
	unsigned long long start; /* CLOCK_MONOTONIC, ns */
	unsigned char parent_id[8];
	unsigned long long subject; /* address of the request */
	unsigned long long context; /* address of the context.Context that belongs to it; 0: none */
	enum tandem_parent parent;
	enum tandem_span_kind kind;
	unsigned int variant;
	/* Of grpc: */
	unsigned int peer_port; /* 0: not known */
	unsigned char peer[16];
	unsigned long long method[2]; /* address and size of a text */
	unsigned long long target; /* address of another one */
	unsigned long long transport; /* address of what sends it */
};

/* A span that has ended. `texts` goes as far as there are any. */
struct tandem_event {
	unsigned long long start;
	unsigned long long end;
	struct tandem_identity own;
	unsigned char parent_id[8];
	unsigned int process;
	enum tandem_span_kind kind;
	enum tandem_parent parent;
	enum tandem_outcome outcome;
	unsigned long long numbers[4];
	unsigned short lengths[TANDEM_TEXT_COUNT];
	unsigned short cut; /* bit by text: it was longer */
	unsigned short reserved;
	unsigned int used; /* bytes of texts */
	unsigned char texts[TANDEM_TEXT_SPACE];
	unsigned char slack[TANDEM_TEXT_LIMIT];
};

/* A text of a span that is open. */
struct tandem_kept_text {
	unsigned int length;
	unsigned int cut; /* it was longer */
	unsigned char text[TANDEM_TEXT_LIMIT];
};

/* Where a thread puts a span together. */
struct tandem_draft {
	unsigned char structure[TANDEM_STRUCTURE_SPACE];
	unsigned char other[TANDEM_STRUCTURE_SPACE];
	struct tandem_event event;
	struct tandem_kept_text kept;
};

/* What the probes did on one CPU. */
struct tandem_uprobe_statistics {
	unsigned long long begun; /* spans */
	unsigned long long handed_over; /* spans that ended and found room in the buffer */
	/* Losses: */
	unsigned long long map_full; /* spans that were not begun: too many are open */
	unsigned long long ring_full; /* spans that ended and found no room */
	unsigned long long failed_reads; /* memory of the program that could not be read */
	unsigned long long no_memory; /* no room for a thread's draft */
	unsigned long long superseded; /* spans whose end was not seen: the goroutine began another one */
	unsigned long long cut; /* texts that were longer than what is kept */
	unsigned long long inserted; /* requests that were sent with our header */
	unsigned long long not_inserted; /* requests in which there was no place for it */
};

#endif
