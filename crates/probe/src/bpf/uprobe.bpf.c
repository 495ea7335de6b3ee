// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Probes on functions of Go programs that were not woven: a span of each operation, handed over when it ends.
 *
 * Where a function begins, what names the span is stored by goroutine; where it ends, the rest is read and one event
 * goes into the ring buffer, without waking anybody. The current goroutine is in r14, as Go's calling convention has it
 * (since Go 1.17 on amd64), arguments and results are in rax, rbx, rcx, rdi, rsi, r8, r9, r10, r11. Nothing is ever
 * written to a program. What it says of itself is not believed: every address is read by a helper that may fail.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "profile.h"
#include "goroutine.h"
#include "uprobe.h"
#include "operation.h"
#include "headers.h"
#include "connection.h"
#include "inserting.h"
#include "grpc.h"
#include "asking.h"
#include "sending.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* ---- Connections ---- */

/* Requests by the connections that they were sent on, as the sender sees these. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, TANDEM_CONNECTION_COUNT);
	__type(key, struct tandem_ends);
	__type(value, struct tandem_sent);
} sent_requests SEC(".maps");

/* There has been one: before, no server need look who is at the other end. */
bool any_request_sent;

/* The request that the other end has sent, where that is observed, too. */
static __always_inline bool find_sender(struct tandem_work *work, struct tandem_open *open, u64 response)
{
	const struct tandem_binary *binary = work->binary;
	struct tandem_ends ends = {};
	const struct tandem_open *sending;
	const struct tandem_sent *sent;
	struct tandem_connection connection = {};

	if (!any_request_sent || binary->response_connection == TANDEM_UNKNOWN ||
	    binary->served_connection == TANDEM_UNKNOWN)
		return false;
	if (!find_ends_of(work, &ends, &connection,
			  user_word(user_word(response + binary->response_connection) + binary->served_connection + 8)))
		return false;
	turn_round(&ends);
	sent = bpf_map_lookup_elem(&sent_requests, &ends);
	if (!sent)
		return false;
	/* Of one that has ended this cannot be the request. */
	sending = bpf_map_lookup_elem(&open_spans, &sent->key);
	if (!sending || *(u64 *)sending->own.span_id != *(u64 *)sent->own.span_id)
		return false;
	child_of(open, &sent->own, TANDEM_PARENT_CONNECTION);
	return true;
}

/* (*persistConn).roundTrip(rax: *persistConn; rbx: *transportRequest): the connection for a request has been found */
SEC("uprobe.multi.s")
int on_http_send(void *context)
{
	const struct tandem_open *open;
	struct tandem_work work = {};
	struct tandem_sent sent = {};
	struct tandem_ends ends = {};
	struct tandem_connection connection = {};
	struct tandem_headers headers = {};
	u64 request;

	if (!begin_work(&work, context, TANDEM_SPAN_HTTP_CLIENT))
		return 0;
	open = bpf_map_lookup_elem(&open_spans, &work.key);
	if (!open || !take_draft(&work) ||
	    !find_ends_of(&work, &ends, &connection,
			  user_word(work.registers->ax + work.binary->sending_connection + 8)))
		return 0;
	sent.own = open->own;
	sent.key = work.key;
	bpf_map_update_elem(&sent_requests, &ends, &sent, BPF_ANY);
	if (!any_request_sent) /* whoever serves reads it: it is not written again and again */
		any_request_sent = true;
	if (!connection.cookie || !bpf_map_lookup_elem(&marking_processes, &work.key.process))
		return 0;
	/* One that says itself which trace it belongs to is left alone. */
	request = user_word(work.registers->bx);
	if (!open_headers(&work, &headers, user_word(request + work.binary->request_header)) ||
	    !find_header(&work, &headers, TRACEPARENT_SIZE, NET_HTTP_TRACEPARENT))
		bpf_map_update_elem(&pending_headers, &connection.cookie, &sent.own, BPF_ANY);
	return 0;
}

/* ---- net/http ---- */

/* serverHandler.ServeHTTP(rax: *Server; rbx, rcx: ResponseWriter; rdi: *Request) */
SEC("uprobe.multi.s")
int on_http_serve(void *context)
{
	struct tandem_work work = {};
	struct tandem_open open = {};
	struct tandem_headers headers = {};
	u64 traceparent = 0;
	u8 *request;

	if (!begin_work(&work, context, 0) || !take_draft(&work))
		return 0;
	open.subject = work.registers->di;
	request = work.draft->structure;
	begin_open(&open, TANDEM_SPAN_HTTP_SERVER, 0);
	if (!read_structure(&work, request, open.subject, work.binary->request_size))
		return 0;
	if (work.binary->request_context != TANDEM_UNKNOWN)
		open.context = word_of(request, work.binary->request_context + 8);
	if (open_headers(&work, &headers, word_of(request, work.binary->request_header)))
		traceparent = find_header(&work, &headers, TRACEPARENT_SIZE, NET_HTTP_TRACEPARENT);
	if (!read_remote_parent(&work, &open, traceparent) &&
	    !(word_of(request, work.binary->request_major) == 1 && find_sender(&work, &open, work.registers->cx)))
		new_trace(&open);
	keep_open(&work, &open);
	return 0;
}

/* What a request says of itself, for both sides. */
static __always_inline void add_request(struct tandem_work *work, u64 address, bool client)
{
	const struct tandem_binary *binary = work->binary;
	struct tandem_event *event = &work->draft->event;
	u8 *request = work->draft->structure, *url = work->draft->other;

	if (!read_structure(work, request, address, binary->request_size))
		return;
	event->numbers[TANDEM_HTTP_MAJOR] = word_of(request, binary->request_major);
	event->numbers[TANDEM_HTTP_MINOR] = word_of(request, binary->request_minor);
	event->numbers[TANDEM_HTTP_TLS] = word_of(request, binary->request_tls);
	add_string(work, TANDEM_HTTP_METHOD, request, binary->request_method, 32);
	if (!read_structure(work, url, word_of(request, binary->request_url), binary->url_query + 16))
		return;
	if (client)
		add_string(work, TANDEM_HTTP_HOST, url, binary->url_host, 128);
	else
		add_string(work, TANDEM_HTTP_HOST, request, binary->request_host, 128);
	add_string(work, TANDEM_HTTP_PATH, url, binary->url_path, 512);
	add_string(work, TANDEM_HTTP_QUERY, url, binary->url_query, 512);
	if (!client) {
		add_string(work, TANDEM_HTTP_REMOTE, request, binary->request_remote, 64);
		add_string(work, TANDEM_HTTP_PATTERN, request, binary->request_pattern, 256);
	} else {
		add_string(work, TANDEM_HTTP_SCHEME, url, binary->url_scheme, 16);
		add_string(work, TANDEM_HTTP_OWN_HOST, request, binary->request_host, 128);
	}
}

/* The response is done, in one of several ways. */
SEC("uprobe.multi.s")
int on_http_served(void *context)
{
	struct tandem_work work = {};
	struct tandem_open *found, open;
	enum tandem_outcome outcome = TANDEM_OUTCOME_DONE;
	u64 state;

	if (!begin_work(&work, context, 0))
		return 0;
	found = bpf_map_lookup_elem(&open_spans, &work.key);
	if (!found || found->kind != TANDEM_SPAN_HTTP_SERVER || !take_draft(&work))
		return 0;
	open = *found;
	if (work.variant == TANDEM_VARIANT_CONNECTION_ENDS)
		outcome = TANDEM_OUTCOME_PANIC;
	else if (work.variant == TANDEM_VARIANT_HIJACKED)
		outcome = TANDEM_OUTCOME_TAKEN;
	begin_event(&work, &open, outcome);
	forget(&work, &open);
	add_request(&work, open.subject, false);
	state = work.registers->ax;
	if (work.variant == TANDEM_VARIANT_FINISHED) {
		work.draft->event.numbers[TANDEM_HTTP_STATUS] = user_word(state + work.binary->response_status);
	} else if (work.variant == TANDEM_VARIANT_HTTP2_DONE) {
		state = user_word(state + work.binary->http2_writer_state);
		if (state)
			work.draft->event.numbers[TANDEM_HTTP_STATUS] =
				user_word(state + work.binary->http2_state_status);
	}
	hand_over(&work);
	return 0;
}

/* (*Transport).roundTrip(rax: *Transport; rbx: *Request) */
SEC("uprobe.multi.s")
int on_http_call(void *context)
{
	struct tandem_work work = {};
	struct tandem_open open = {};
	u64 passed = 0;

	if (!begin_work(&work, context, TANDEM_SPAN_HTTP_CLIENT))
		return 0;
	open.subject = work.registers->bx;
	begin_open(&open, TANDEM_SPAN_HTTP_CLIENT, 0);
	if (work.binary->request_context != TANDEM_UNKNOWN)
		passed = user_word(open.subject + work.binary->request_context + 8);
	find_parent(&work, &open, passed);
	keep_open(&work, &open);
	return 0;
}

/* It has returned: rax: *Response; rbx, rcx: error */
SEC("uprobe.multi.s")
int on_http_called(void *context)
{
	struct tandem_work work = {};
	struct tandem_open *found, open;
	u64 answer;

	if (!begin_work(&work, context, TANDEM_SPAN_HTTP_CLIENT))
		return 0;
	found = bpf_map_lookup_elem(&open_spans, &work.key);
	if (!found || !take_draft(&work))
		return 0;
	open = *found;
	answer = work.registers->ax;
	begin_event(&work, &open, work.registers->bx ? TANDEM_OUTCOME_ERROR : TANDEM_OUTCOME_DONE);
	forget(&work, &open);
	add_request(&work, open.subject, true);
	if (answer)
		work.draft->event.numbers[TANDEM_HTTP_STATUS] = user_word(answer + work.binary->answer_status);
	hand_over(&work);
	return 0;
}

/* ---- database/sql ---- */

/*
 * (*DB).QueryContext and its like(rax: receiver; rbx, rcx: context; rdi, rsi: query)
 * (*Stmt).QueryContext and its like(rax: receiver; rbx, rcx: context)
 */
SEC("uprobe.multi.s")
int on_sql_begin(void *context)
{
	struct tandem_work work = {};
	struct tandem_open open = {};
	u64 text[2];

	if (!begin_work(&work, context, TANDEM_SPAN_SQL))
		return 0;
	begin_open(&open, TANDEM_SPAN_SQL, work.variant);
	text[0] = work.registers->di;
	text[1] = work.registers->si;
	if (work.variant & TANDEM_VARIANT_SQL_STATEMENT &&
	    read_user(text, sizeof(text), (void *)(work.registers->ax + work.binary->statement_query))) {
		work.counts->failed_reads++;
		text[1] = 0;
	}
	find_parent(&work, &open, work.registers->cx);
	if (!keep_open(&work, &open) || !text[1])
		return 0;
	keep_text(&work, text[0], text[1]);
	return 0;
}

/* They have returned. Query: rax: *Rows; rbx, rcx: error. Exec: rax, rbx: Result; rcx, rdi: error. */
SEC("uprobe.multi.s")
int on_sql_end(void *context)
{
	struct tandem_work work = {};
	struct tandem_open *found, open;
	u64 error;

	if (!begin_work(&work, context, TANDEM_SPAN_SQL))
		return 0;
	found = bpf_map_lookup_elem(&open_spans, &work.key);
	if (!found || !take_draft(&work))
		return 0;
	open = *found;
	error = work.registers->bx;
	barrier_var(error); /* else one load is made of two, at an address that the verifier does not take */
	if (work.variant & TANDEM_VARIANT_SQL_EXEC)
		error = work.registers->cx;
	begin_event(&work, &open, error ? TANDEM_OUTCOME_ERROR : TANDEM_OUTCOME_DONE);
	forget(&work, &open);
	work.draft->event.numbers[TANDEM_SQL_OPERATION] = open.variant;
	add_kept(&work, TANDEM_SQL_QUERY);
	hand_over(&work);
	return 0;
}
