/*
 * Probes on google.golang.org/grpc: calls that are served, unary calls and streams of clients. A call goes from one
 * process to the other as a stream of HTTP/2, which both ends number alike: connection and number say which call it is.
 */
#ifndef TANDEM_GRPC_H
#define TANDEM_GRPC_H

#include "operation.h"
#include "headers.h"
#include "connection.h"
#include "inserting.h"

/* Contexts from that of a call to the one that has its metadata. */
#define METADATA_DEPTH 6
#define METHOD_LIMIT 256
#define TARGET_LIMIT 256
#define MESSAGE_LIMIT 256

#define CODE_OK 0
#define CODE_UNKNOWN 2
#define CODE_UNIMPLEMENTED 12

/* The number of the type that an interface holds; of a table of methods and of a type it lies at the same place. */
static __always_inline u32 type_number(u64 table)
{
	u32 number;

	return !table || read_user(&number, sizeof(number), (void *)(table + 16)) ? 0 : number;
}

/*
 * Whether the type is the one with this number. A program has one description of it: once its place is known, that is
 * compared instead.
 */
static __always_inline bool is_type(u64 table, u32 number, u64 *known)
{
	if (*known)
		return table == *known;
	if (type_number(table) != number)
		return false;
	*known = table;
	return true;
}

/* A stream of one side, as what both sides' have in common. */
static __always_inline u64 common_stream(u64 stream, u32 offset, u32 points)
{
	return points ? user_word(stream + offset) : stream + offset;
}

/* The metadata that came with a call: in the context that it has, under a key of grpc's own. */
static __always_inline u64 find_metadata(struct tandem_work *work, u64 context)
{
	struct tandem_binary *binary = work->binary;
	struct {
		u64 parent[2], key[2], value[2];
	} *link = (void *)work->draft->other;

	for (int depth = 0; depth < METADATA_DEPTH && context; depth++) {
		if (read_user(link, sizeof(*link), (void *)context))
			return 0;
		if (is_type(link->key[0], binary->metadata_key, &binary->metadata_key_place))
			return link->value[1];
		context = link->parent[1];
	}
	return 0;
}

static __always_inline void set_peer(struct tandem_open *open, const struct tandem_ends *ends)
{
	__builtin_memcpy(open->peer, ends->remote, sizeof(open->peer));
	open->peer_port = ends->remote_port;
}

/* (*Server).handleStream(rax: *Server; rbx, rcx: ServerTransport; rdi: *ServerStream) */
SEC("uprobe.multi.s")
int on_grpc_serve(void *context)
{
	struct tandem_work work = {};
	struct tandem_open open = {};
	struct tandem_call_key call = {};
	struct tandem_connection connection = {};
	struct tandem_headers headers = {};
	u64 stream, traceparent = 0;
	u8 *fields;

	/* What net/http serves has its span already. */
	if (!begin_work(&work, context, 0) ||
	    !is_type(work.registers->bx, work.binary->served_transport, &work.binary->served_transport_place) ||
	    !take_draft(&work))
		return 0;
	open.subject = work.registers->di;
	begin_open(&open, TANDEM_SPAN_GRPC_SERVER, 0);
	stream = common_stream(open.subject, work.binary->served_stream, work.binary->served_stream_points);
	fields = work.draft->structure;
	if (read_structure(&work, fields, stream, work.binary->stream_size)) {
		open.context = word_of(fields, work.binary->stream_context + 8);
		open.method[0] = word_of(fields, work.binary->stream_method);
		open.method[1] = word_of(fields, work.binary->stream_method + 8);
		call.stream = half_of(fields, work.binary->stream_id);
	}
	if (open_headers(&work, &headers, find_metadata(&work, open.context))) {
		open.target = find_header(&work, &headers, AUTHORITY_SIZE, AUTHORITY);
		traceparent = find_header(&work, &headers, TRACEPARENT_SIZE, TRACEPARENT);
	}
	if (find_ends_of(&work, &call.ends, &connection,
			 user_word(work.registers->cx + work.binary->served_transport_connection + 8)))
		set_peer(&open, &call.ends);
	if (!read_remote_parent(&work, &open, traceparent)) {
		turn_round(&call.ends);
		if (!open.peer_port || !find_caller(&open, &call))
			new_trace(&open);
	}
	keep_open(&work, &open);
	return 0;
}

/* The code and the message of a *status.Status. */
static __always_inline u32 read_status(struct tandem_work *work, u64 status, u64 *message)
{
	u64 inner = status ? user_word(status + work->binary->status_message) : 0;
	u32 code = CODE_OK;

	if (!inner)
		return CODE_OK;
	if (read_user(&code, sizeof(code), (void *)(inner + work->binary->message_code)))
		work->counts->failed_reads++;
	if (code && read_user(message, 2 * sizeof(u64), (void *)(inner + work->binary->message_text)))
		message[1] = 0;
	return code;
}

/* The same of an error, as an interface. */
static __always_inline u32 read_error(struct tandem_work *work, u64 table, u64 error, u64 *message)
{
	u64 text[2];
	u32 number;

	if (!table)
		return CODE_OK;
	number = type_number(table);
	if (number == work->binary->status_error)
		return read_status(work, user_word(error + work->binary->status_error_status), message);
	/* Streams that are over say io.EOF. */
	if (number == work->binary->plain_error && !read_user(text, sizeof(text), (void *)error) && text[1] == 3)
		return CODE_OK;
	return CODE_UNKNOWN;
}

/* The span is over. */
static __always_inline void end_call(struct tandem_work *work, const struct tandem_open *open, u32 code,
				     const u64 *message)
{
	struct tandem_event *event = &work->draft->event;
	u64 target[2] = {};

	begin_event(work, open, code ? TANDEM_OUTCOME_ERROR : TANDEM_OUTCOME_DONE);
	forget(work, open);
	event->numbers[TANDEM_GRPC_CODE] = code;
	event->numbers[TANDEM_GRPC_PEER_PORT] = open->peer_port;
	__builtin_memcpy(&event->numbers[TANDEM_GRPC_PEER], open->peer, sizeof(open->peer));
	add_text(work, TANDEM_GRPC_METHOD, open->method[0], open->method[1], METHOD_LIMIT);
	if (open->target && !read_user(target, sizeof(target), (void *)open->target))
		add_text(work, TANDEM_GRPC_TARGET, target[0], target[1], TARGET_LIMIT);
	if (code)
		add_text(work, TANDEM_GRPC_MESSAGE, message[0], message[1], MESSAGE_LIMIT);
	hand_over(work);
}

/* (*http2Server).WriteStatus(rax: *http2Server; rbx: *ServerStream; rcx: *status.Status): the last word to a call */
SEC("uprobe.multi.s")
int on_grpc_served(void *context)
{
	struct tandem_work work = {};
	struct tandem_open *found, open;
	u64 message[2] = {};
	u32 code;

	if (!begin_work(&work, context, 0))
		return 0;
	found = bpf_map_lookup_elem(&open_spans, &work.key);
	if (!found || found->kind != TANDEM_SPAN_GRPC_SERVER || found->subject != work.registers->bx ||
	    !take_draft(&work))
		return 0;
	open = *found;
	code = read_status(&work, work.registers->cx, message);
	end_call(&work, &open, code, message);
	return 0;
}

static __always_inline u32 kind_of_variant(u32 variant)
{
	return variant == TANDEM_VARIANT_GRPC_STREAM ? TANDEM_SPAN_GRPC_STREAM : TANDEM_SPAN_GRPC_CLIENT;
}

/*
 * (*ClientConn).Invoke(rax: *ClientConn; rbx, rcx: context; rdi, rsi: method)
 * (*ClientConn).NewStream(rax: *ClientConn; rbx, rcx: context; rdi: *StreamDesc; rsi, r8: method)
 */
SEC("uprobe.multi.s")
int on_grpc_call(void *context)
{
	struct tandem_work work = {};
	struct tandem_open open = {};
	u64 first, second;

	if (!begin_work(&work, context, 0))
		return 0;
	work.key.kind = kind_of_variant(work.variant);
	begin_open(&open, work.key.kind, 0);
	first = work.registers->di;
	second = work.registers->si;
	if (work.variant == TANDEM_VARIANT_GRPC_STREAM) {
		first = second;
		second = work.registers->r8;
	}
	open.method[0] = first;
	open.method[1] = second;
	open.target = work.registers->ax + work.binary->calling_target;
	find_parent(&work, &open, work.registers->cx);
	keep_open(&work, &open);
	return 0;
}

/* Calls that have their headers and no number yet. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, TANDEM_OPEN_CALL_COUNT);
	__type(key, struct tandem_ready_key);
	__type(value, struct tandem_ready_call);
} ready_calls SEC(".maps");

/* The span of a call that is being made on this goroutine. */
static __always_inline struct tandem_open *call_of_goroutine(struct tandem_work *work)
{
	struct tandem_open *open;

	work->key.kind = TANDEM_SPAN_GRPC_CLIENT;
	open = bpf_map_lookup_elem(&open_spans, &work->key);
	if (open)
		return open;
	work->key.kind = TANDEM_SPAN_GRPC_STREAM;
	return bpf_map_lookup_elem(&open_spans, &work->key);
}

/* (*http2Client).NewStream(rax: *http2Client): an attempt of a call is made on this connection. */
SEC("uprobe.multi.s")
int on_grpc_attempt(void *context)
{
	struct tandem_work work = {};
	struct tandem_open *open;

	if (!begin_work(&work, context, 0))
		return 0;
	open = call_of_goroutine(&work);
	if (open)
		open->transport = work.registers->ax;
	return 0;
}

/* An hpack.HeaderField: name, value and a mark. So many of a call are looked at. */
#define HEADER_FIELD_SIZE 40
#define HEADER_FIELD_COUNT 64

struct tandem_header_search {
	u64 fields;
	u32 names_trace; /* or it cannot be said */
};

static long next_header_field(u64 index, void *context)
{
	struct tandem_header_search *search = context;
	u64 text[2], name[2] = {}, expected[2] = {TRACEPARENT};

	search->names_trace = 1;
	if (read_user(text, sizeof(text), (void *)(search->fields + index * HEADER_FIELD_SIZE)))
		return 1;
	if (text[1] == TRACEPARENT_SIZE) {
		if (read_user(name, TRACEPARENT_SIZE, (void *)text[0]))
			return 1;
		if (name[0] == expected[0] && name[1] == expected[1])
			return 1;
	}
	search->names_trace = 0;
	return 0;
}

/* What a call is about to send names a trace already, or it cannot be said. */
static __always_inline bool may_name_trace(u64 fields, u64 count)
{
	struct tandem_header_search search = {.fields = fields};

	if (count > HEADER_FIELD_COUNT)
		return true;
	bpf_loop(count, next_header_field, &search, 0);
	return search.names_trace;
}

/*
 * createHeaderFields has returned to NewStream: rax, rbx: []hpack.HeaderField. Whoever sends them, on whatever
 * goroutine, has not got them yet.
 */
SEC("uprobe.multi.s")
int on_grpc_headers(void *context)
{
	struct tandem_work work = {};
	struct tandem_ready_key key = {};
	struct tandem_ready_call call = {};
	struct tandem_connection connection = {};
	struct tandem_open *open;

	if (!begin_work(&work, context, 0))
		return 0;
	open = call_of_goroutine(&work);
	if (!open || !open->transport || !work.registers->ax || !take_draft(&work) ||
	    !find_ends_of(&work, &call.ends, &connection,
			  user_word(open->transport + work.binary->calling_transport_connection + 8)))
		return 0;
	set_peer(open, &call.ends);
	call.own = open->own;
	if (connection.cookie && bpf_map_lookup_elem(&marking_processes, &work.key.process) &&
	    !may_name_trace(work.registers->ax, work.registers->bx))
		call.cookie = connection.cookie;
	key.headers = work.registers->ax;
	key.process = work.key.process;
	bpf_map_update_elem(&ready_calls, &key, &call, BPF_ANY);
	return 0;
}

/*
 * (*loopyWriter).writeHeader(rax: *loopyWriter; rbx: number of the stream; cl: it ends; rdi: headers): the goroutine
 * that sends all of a connection is about to send these. What servers answer goes by here, too.
 */
SEC("uprobe.multi.s")
int on_grpc_write(void *context)
{
	struct tandem_work work = {};
	struct tandem_call_key key = {};
	struct tandem_pending_key pending = {};
	struct tandem_caller caller = {};
	struct tandem_ready_key ready = {};
	struct tandem_ready_call *call;

	if (!begin_work(&work, context, 0))
		return 0;
	ready.headers = work.registers->di;
	ready.process = work.key.process;
	call = bpf_map_lookup_elem(&ready_calls, &ready);
	if (!call)
		return 0;
	key.ends = call->ends;
	key.stream = work.registers->bx;
	caller.own = call->own;
	caller.time = bpf_ktime_get_ns();
	bpf_map_update_elem(&grpc_callers, &key, &caller, BPF_ANY);
	if (call->cookie) {
		pending.cookie = call->cookie;
		pending.stream = key.stream;
		bpf_map_update_elem(&pending_calls, &pending, &caller.own, BPF_ANY);
	}
	bpf_map_delete_elem(&ready_calls, &ready);
	return 0;
}

/*
 * (*clientStream).bufferForRetryLocked(rax: *clientStream): an attempt has got its stream. The same is called for
 * messages.
 */
SEC("uprobe.multi.s")
int on_grpc_stream(void *context)
{
	struct tandem_work work = {};
	struct tandem_open *open;

	if (!begin_work(&work, context, 0))
		return 0;
	open = call_of_goroutine(&work);
	if (!open || open->subject == work.registers->ax)
		return 0;
	open->subject = work.registers->ax;
	if (work.key.kind != TANDEM_SPAN_GRPC_STREAM)
		return 0;
	/* From now on any goroutine may end it. */
	open->variant = TANDEM_VARIANT_GRPC_STREAM;
	work.key.goroutine = work.registers->ax;
	work.key.kind = TANDEM_SPAN_GRPC_STREAM_MADE;
	if (bpf_map_update_elem(&open_spans, &work.key, open, BPF_ANY))
		work.counts->map_full++;
	return 0;
}

/*
 * Invoke has returned: rax, rbx: error
 * NewStream has returned, or newClientStream to invoke: rax, rbx: ClientStream; rcx, rdi: error
 */
SEC("uprobe.multi.s")
int on_grpc_called(void *context)
{
	struct tandem_work work = {};
	struct tandem_open *found, open;
	u64 message[2] = {}, table, error;
	u32 code;

	if (!begin_work(&work, context, 0))
		return 0;
	work.key.kind = kind_of_variant(work.variant);
	found = bpf_map_lookup_elem(&open_spans, &work.key);
	if (!found || !take_draft(&work))
		return 0;
	open = *found;
	if (open.variant == TANDEM_VARIANT_GRPC_STREAM) {
		bpf_map_delete_elem(&open_spans, &work.key); /* it goes on under its own name */
		return 0;
	}
	table = work.registers->ax;
	error = work.registers->bx;
	barrier_var(table);
	barrier_var(error);
	if (work.variant != TANDEM_VARIANT_GRPC_UNARY) {
		table = work.registers->cx;
		error = work.registers->di;
	}
	if (work.variant == TANDEM_VARIANT_GRPC_NOT_MADE && !table)
		return 0; /* it goes on */
	code = read_error(&work, table, error, message);
	end_call(&work, &open, code, message);
	return 0;
}

/*
 * (*clientStream).finish(rax: *clientStream; rbx, rcx: error): a stream is over, on whatever goroutine; or a unary call
 * in a program without interceptors, on its own
 */
SEC("uprobe.multi.s")
int on_grpc_finish(void *context)
{
	struct tandem_work work = {};
	struct tandem_open *found, open;
	u64 message[2] = {}, goroutine;
	u32 code;

	if (!begin_work(&work, context, TANDEM_SPAN_GRPC_STREAM_MADE))
		return 0;
	goroutine = work.key.goroutine;
	work.key.goroutine = work.registers->ax;
	found = bpf_map_lookup_elem(&open_spans, &work.key);
	if (!found && work.binary->unary_finishes) {
		work.key.goroutine = goroutine;
		work.key.kind = TANDEM_SPAN_GRPC_CLIENT;
		found = bpf_map_lookup_elem(&open_spans, &work.key);
		if (found && found->subject != work.registers->ax)
			return 0;
	}
	if (!found || !take_draft(&work))
		return 0;
	open = *found;
	code = read_error(&work, work.registers->bx, work.registers->cx, message);
	end_call(&work, &open, code, message);
	return 0;
}

#endif
