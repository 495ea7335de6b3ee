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
#include "connection.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define BPF_RB_NO_WAKEUP 1
#define BPF_ANY 0

/* Contexts from the one that was passed to the one that belongs to a span: so many are looked at. */
#define CONTEXT_DEPTH 12
/* Of a map with headers: groups of eight that are looked at. */
#define GROUP_COUNT 16
/* The same of a map of Go 1.23 and older, whose buckets go on elsewhere. */
#define BUCKET_COUNT 4

/* The registers at a probe, in the form of the kernel's user-space interface. */
struct tandem_registers {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TANDEM_BINARY_COUNT);
	__type(key, u32);
	__type(value, struct tandem_binary);
} binaries SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TANDEM_OPEN_COUNT);
	__type(key, struct tandem_open_key);
	__type(value, struct tandem_open);
} open_spans SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TANDEM_OPEN_COUNT);
	__type(key, struct tandem_context_key);
	__type(value, struct tandem_identity);
} span_contexts SEC(".maps");

/* Requests by the connections that they were sent on, as the sender sees these. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, TANDEM_CONNECTION_COUNT);
	__type(key, struct tandem_ends);
	__type(value, struct tandem_sent);
} sent_requests SEC(".maps");

/* The same by the cookie of the sender's socket, of requests into which a header is to be inserted. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, TANDEM_CONNECTION_COUNT);
	__type(key, u64);
	__type(value, struct tandem_identity);
} pending_headers SEC(".maps");

/* Processes into whose requests a header may be inserted. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TANDEM_BINARY_COUNT);
	__type(key, u32);
	__type(value, u32);
} marking_processes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct tandem_marked_socket);
} marked_sockets SEC(".maps");

/* Their connections: what is sent on them is seen on its way out. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, TANDEM_CONNECTION_COUNT);
	__type(key, u64);
	__type(value, u64);
} marked_connections SEC(".maps");

/* Texts of open spans that may be gone when those end. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TANDEM_TEXT_ENTRIES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct tandem_open_key);
	__type(value, struct tandem_kept_text);
} kept_texts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20); /* the loader says more where there are many CPUs */
} ended_spans SEC(".maps");

/* A thread's own, since a probe may be interrupted by one on another thread of the same CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct tandem_draft);
} uprobe_drafts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct tandem_uprobe_statistics);
} uprobe_counts SEC(".maps");

/* What a probe works with. */
struct tandem_work {
	struct tandem_registers *registers;
	const struct tandem_binary *binary;
	struct tandem_uprobe_statistics *counts;
	struct tandem_draft *draft;
	struct tandem_open_key key;
	u32 variant;
};

/* Reads memory of the program. What is not in memory right now is brought there: these programs may sleep. */
static __always_inline long read_user(void *into, u32 size, const void *address)
{
	long failed = bpf_probe_read_user(into, size, address);

	return failed ? bpf_copy_from_user(into, size, address) : 0;
}

static __always_inline u64 user_word(u64 address)
{
	u64 word;

	return read_user(&word, sizeof(word), (void *)address) ? 0 : word;
}

/* Whether a conditional jump is taken with these flags. */
static __always_inline bool jumps(u32 condition, u64 flags)
{
	bool carry = flags & 1, parity = flags >> 2 & 1, zero = flags >> 6 & 1, sign = flags >> 7 & 1;
	bool overflow = flags >> 11 & 1, holds;

	switch (condition >> 1 & 7) {
	case 0:
		holds = overflow;
		break;
	case 1:
		holds = carry;
		break;
	case 2:
		holds = zero;
		break;
	case 3:
		holds = carry | zero;
		break;
	case 4:
		holds = sign;
		break;
	case 5:
		holds = parity;
		break;
	case 6:
		holds = sign != overflow;
		break;
	default:
		holds = zero | (sign != overflow);
		break;
	}
	return holds != (condition & 1);
}

static __always_inline bool begin_work(struct tandem_work *work, void *context, u32 kind)
{
	u64 cookie = bpf_get_attach_cookie(context);
	u32 zero = 0, index = (u32)cookie, condition = cookie >> TANDEM_COOKIE_CONDITION_SHIFT & 0xff;

	work->registers = context;
	work->variant = cookie >> TANDEM_COOKIE_VARIANT_SHIFT & 0xff;
	if (condition != TANDEM_CONDITION_ALWAYS && !jumps(condition, work->registers->flags))
		return false;
	work->binary = bpf_map_lookup_elem(&binaries, &index);
	work->counts = bpf_map_lookup_elem(&uprobe_counts, &zero);
	if (!work->binary || !work->counts)
		return false;
	work->key.process = bpf_get_current_pid_tgid() >> 32;
	work->key.kind = kind;
	if (read_user(&work->key.goroutine, sizeof(u64), (void *)(work->registers->r14 + work->binary->goid))) {
		work->counts->failed_reads++;
		return false;
	}
	return true;
}

static __always_inline bool take_draft(struct tandem_work *work)
{
	work->draft =
		bpf_task_storage_get(&uprobe_drafts, bpf_get_current_task_btf(), 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!work->draft)
		work->counts->no_memory++;
	return work->draft;
}

/* A word of a structure that has been read. */
static __always_inline u64 word_of(const u8 *structure, u32 offset)
{
	if (offset > TANDEM_STRUCTURE_SPACE - sizeof(u64))
		return 0;
	return *(u64 *)(structure + (offset & (TANDEM_STRUCTURE_SPACE - 8)));
}

static __always_inline bool read_structure(struct tandem_work *work, u8 *structure, u64 address, u32 size)
{
	if (size > TANDEM_STRUCTURE_SPACE)
		size = TANDEM_STRUCTURE_SPACE;
	if (read_user(structure, size, (void *)address)) {
		work->counts->failed_reads++;
		return false;
	}
	return true;
}

/* Puts a text into the event. Texts come in the order of their numbers; one that is left out is empty. */
static __always_inline void add_text(struct tandem_work *work, u32 number, u64 address, u64 size, u32 limit)
{
	struct tandem_event *event = &work->draft->event;
	u32 used = event->used & (TANDEM_TEXT_SPACE - 1), length = size > limit ? limit : size;

	if (!size || !address)
		return;
	if (used != event->used || used + length > TANDEM_TEXT_SPACE) {
		event->cut |= 1 << number;
		work->counts->cut++;
		return;
	}
	if (size > limit) {
		event->cut |= 1 << number;
		work->counts->cut++;
	}
	length &= 2 * TANDEM_TEXT_LIMIT - 1;
	if (length > TANDEM_TEXT_LIMIT)
		return;
	if (read_user(event->texts + used, length, (void *)address)) {
		work->counts->failed_reads++;
		return;
	}
	event->lengths[number & (TANDEM_TEXT_COUNT - 1)] = length;
	event->used = used + length;
}

/* A Go string that lies in a structure. */
static __always_inline void add_string(struct tandem_work *work, u32 number, const u8 *structure, u32 offset, u32 limit)
{
	if (offset != TANDEM_UNKNOWN)
		add_text(work, number, word_of(structure, offset), word_of(structure, offset + 8), limit);
}

static __always_inline void random_id(u8 *id)
{
	u32 low = bpf_get_prandom_u32(), high = bpf_get_prandom_u32();

	*(u64 *)id = (u64)high << 32 | low | 1; /* never zero, which would be none */
}

static __always_inline void new_trace(struct tandem_open *open)
{
	random_id(open->own.trace_id);
	random_id(open->own.trace_id + 8);
	open->own.trace_flags = 1;
}

static __always_inline void child_of(struct tandem_open *open, const struct tandem_identity *parent,
				     enum tandem_parent how)
{
	__builtin_memcpy(open->own.trace_id, parent->trace_id, sizeof(parent->trace_id));
	__builtin_memcpy(open->parent_id, parent->span_id, sizeof(parent->span_id));
	open->own.trace_flags = parent->trace_flags;
	open->parent = how;
}

/* The context.Context that was passed, or one that it was derived from, belongs to a span. */
static __always_inline const struct tandem_identity *span_of_context(struct tandem_work *work, u64 context)
{
	struct tandem_context_key key = {.context = context, .process = work->key.process};
	const struct tandem_identity *found;

	/* What Go's own contexts begin with is the interface that they were derived from: type, then address. */
	for (int depth = 0; depth < CONTEXT_DEPTH && key.context; depth++) {
		found = bpf_map_lookup_elem(&span_contexts, &key);
		if (found)
			return found;
		key.context = user_word(key.context + 8);
	}
	return 0;
}

/* The span that is open on a goroutine. */
static __always_inline const struct tandem_identity *span_of_goroutine(struct tandem_work *work, u64 goroutine)
{
	struct tandem_open_key key = {.goroutine = goroutine, .process = work->key.process};
	const struct tandem_open *open = bpf_map_lookup_elem(&open_spans, &key);

	return open ? &open->own : 0;
}

/* The parent of a span that is no server's: the surest way first. */
static __always_inline void find_parent(struct tandem_work *work, struct tandem_open *open, u64 context)
{
	const struct tandem_identity *found;
	u64 slot, ancestor;

	if (work->binary->slot_offset) {
		struct tandem_context_record record;

		slot = user_word(work->registers->r14 + work->binary->slot_offset);
		if (slot && !read_user(&record, sizeof(record), (void *)slot) && record.valid == 1) {
			__builtin_memcpy(open->own.trace_id, record.trace_id, sizeof(record.trace_id));
			__builtin_memcpy(open->parent_id, record.span_id, sizeof(record.span_id));
			open->own.trace_flags = record.trace_flags;
			open->parent = TANDEM_PARENT_WOVEN;
			return;
		}
	}
	found = span_of_context(work, context);
	if (found)
		return child_of(open, found, TANDEM_PARENT_EXPLICIT);
	found = span_of_goroutine(work, work->key.goroutine);
	if (found)
		return child_of(open, found, TANDEM_PARENT_GOROUTINE);
	if (work->binary->parent_goid != TANDEM_UNKNOWN) {
		ancestor = user_word(work->registers->r14 + work->binary->parent_goid);
		found = ancestor ? span_of_goroutine(work, ancestor) : 0;
		if (found)
			return child_of(open, found, TANDEM_PARENT_ANCESTOR);
	}
	new_trace(open);
}

static __always_inline bool keep_open(struct tandem_work *work, const struct tandem_open *open)
{
	struct tandem_open *before = bpf_map_lookup_elem(&open_spans, &work->key);

	if (before) {
		struct tandem_context_key context = {.context = before->context, .process = work->key.process};

		work->counts->superseded++;
		if (context.context)
			bpf_map_delete_elem(&span_contexts, &context);
	}
	if (bpf_map_update_elem(&open_spans, &work->key, open, BPF_ANY)) {
		work->counts->map_full++;
		return false;
	}
	work->counts->begun++;
	if (open->context) {
		struct tandem_context_key context = {.context = open->context, .process = work->key.process};

		/* Where that finds no room, children are found by their goroutine. */
		bpf_map_update_elem(&span_contexts, &context, &open->own, BPF_ANY);
	}
	return true;
}

/* Begins the event of a span that ends. */
static __always_inline void begin_event(struct tandem_work *work, const struct tandem_open *open,
					enum tandem_outcome outcome)
{
	struct tandem_event *event = &work->draft->event;

	event->start = open->start;
	event->end = bpf_ktime_get_ns();
	event->own = open->own;
	__builtin_memcpy(event->parent_id, open->parent_id, sizeof(event->parent_id));
	event->process = work->key.process;
	event->kind = open->kind;
	event->parent = open->parent;
	event->outcome = outcome;
	__builtin_memset(event->numbers, 0, sizeof(event->numbers));
	__builtin_memset(event->lengths, 0, sizeof(event->lengths));
	event->cut = event->reserved = 0;
	event->used = 0;
}

static __always_inline void hand_over(struct tandem_work *work)
{
	struct tandem_event *event = &work->draft->event;
	u32 used = event->used;
	u64 size;

	if (used > TANDEM_TEXT_SPACE)
		used = TANDEM_TEXT_SPACE;
	size = __builtin_offsetof(struct tandem_event, texts) + used;
	if (bpf_ringbuf_output(&ended_spans, event, size, BPF_RB_NO_WAKEUP))
		work->counts->ring_full++;
	else
		work->counts->handed_over++;
}

/* The span is no longer open. */
static __always_inline void forget(struct tandem_work *work, u64 context)
{
	struct tandem_context_key key = {.context = context, .process = work->key.process};

	bpf_map_delete_elem(&open_spans, &work->key);
	if (context)
		bpf_map_delete_elem(&span_contexts, &key);
}

/* ---- Headers ---- */

#define HEADER_NAME_SIZE 11 /* Traceparent */
#define HEADER_SIZE 55 /* 00-<32 digits>-<16 digits>-<2 digits> */
#define GROUP_SLOTS 8
#define KEY_SIZE 16
#define ELEMENT_SIZE 24
#define GROUP_SIZE (8 + GROUP_SLOTS * (KEY_SIZE + ELEMENT_SIZE))

/* What a look through a map is about. */
struct tandem_search {
	struct tandem_work *work;
	u64 groups; /* address of the first one */
	u64 value; /* found: address of the first of its values */
	u32 form;
};

/* Looks through eight entries; the address of the value's first text, 0: not there. */
static __always_inline u64 search_group(struct tandem_work *work, u64 group, u32 form, u64 *overflow)
{
	u8 *bytes = work->draft->other;
	u32 key_at, element_at;
	u64 name[2], size, address;

	if (read_user(bytes, GROUP_SIZE + 8, (void *)group)) {
		/* At the end of a page nothing need follow. */
		if (read_user(bytes, GROUP_SIZE, (void *)group)) {
			work->counts->failed_reads++;
			return 0;
		}
		*(u64 *)(bytes + GROUP_SIZE) = 0;
	}
	*overflow = form == TANDEM_MAP_BUCKETS ? *(u64 *)(bytes + GROUP_SIZE) : 0;
	for (u32 slot = 0; slot < GROUP_SLOTS; slot++) {
		u8 control = bytes[slot];

		if (form == TANDEM_MAP_BUCKETS ? control < 5 : control & 0x80)
			continue; /* nothing there */
		if (form == TANDEM_MAP_GROUPS) {
			key_at = 8 + slot * (KEY_SIZE + ELEMENT_SIZE);
			element_at = key_at + KEY_SIZE;
		} else {
			key_at = 8 + slot * KEY_SIZE;
			element_at = 8 + GROUP_SLOTS * KEY_SIZE + slot * ELEMENT_SIZE;
		}
		size = word_of(bytes, key_at + 8);
		address = word_of(bytes, key_at);
		if (size != HEADER_NAME_SIZE)
			continue;
		name[1] = 0;
		if (read_user(name, HEADER_NAME_SIZE, (void *)address))
			continue;
		/* "Traceparent", as net/http writes the names of headers. */
		if (name[0] != 0x7261706563617254ULL || name[1] != 0x746e65ULL)
			continue;
		if (!word_of(bytes, element_at + 8))
			continue;
		return word_of(bytes, element_at);
	}
	return 0;
}

static long search_next(u64 index, void *data)
{
	struct tandem_search *search = data;
	u64 overflow = 0;

	search->value = search_group(search->work, search->groups + index * GROUP_SIZE, search->form, &overflow);
	return search->value != 0;
}

static __always_inline int digit_of(u8 c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

static __always_inline bool parse_bytes(u8 *out, const u8 *digits, u32 count)
{
	int bad = 0;

	for (u32 index = 0; index < count; index++) {
		int high = digit_of(digits[2 * index]), low = digit_of(digits[2 * index + 1]);

		bad |= high | low;
		out[index] = high << 4 | (low & 15);
	}
	return bad >= 0;
}

/* A W3C traceparent, of any version. */
static __always_inline bool parse_parent(struct tandem_open *open, const u8 *text)
{
	struct tandem_identity parent = {};
	u8 version;

	if (!parse_bytes(&version, text, 1) || version == 0xff || text[2] != '-' || text[35] != '-' || text[52] != '-')
		return false;
	if (!parse_bytes(parent.trace_id, text + 3, 16) || !parse_bytes(parent.span_id, text + 36, 8) ||
	    !parse_bytes(&parent.trace_flags, text + 53, 1))
		return false;
	if (!(*(u64 *)parent.trace_id | *(u64 *)(parent.trace_id + 8)) || !*(u64 *)parent.span_id)
		return false;
	child_of(open, &parent, TANDEM_PARENT_REMOTE);
	return true;
}

/* The address of the first value of the header, 0: there is none, or too many headers are before it. */
static __always_inline u64 find_header(struct tandem_work *work, u64 map)
{
	struct tandem_search search = {.work = work, .form = work->binary->map_form};
	u64 head[4], table[4], overflow = 0, directory, count;

	if (!map || !search.form)
		return 0;
	if (read_user(head, sizeof(head), (void *)map)) {
		work->counts->failed_reads++;
		return 0;
	}
	if (search.form == TANDEM_MAP_BUCKETS) {
		u32 shift = head[1] >> 8 & 0xff; /* a map: count; flags, logarithm of the number of buckets; buckets */

		if (!head[0])
			return 0;
		for (u32 index = 0; index < BUCKET_COUNT && index < (1U << (shift & 7)); index++) {
			u64 bucket = head[2] + index * (GROUP_SIZE + 8);

			for (int chained = 0; chained < 2 && bucket; chained++) {
				search.value = search_group(work, bucket, search.form, &overflow);
				if (search.value)
					return search.value;
				bucket = overflow;
			}
		}
		return 0;
	}
	if (!head[0])
		return 0;
	directory = head[2];
	count = head[3];
	if (!count)
		return search_group(work, directory, search.form, &overflow);
	/* More than eight headers: of a directory of tables, in all but extreme cases, there is one table. */
	if (read_user(&directory, sizeof(directory), (void *)directory) ||
	    read_user(table, sizeof(table), (void *)directory)) {
		work->counts->failed_reads++;
		return 0;
	}
	search.groups = table[2];
	count = table[3] + 1;
	bpf_loop(count < GROUP_COUNT ? count : GROUP_COUNT, search_next, &search, 0);
	return search.value;
}

static __always_inline bool find_remote_parent(struct tandem_work *work, struct tandem_open *open, u64 headers)
{
	u64 value = find_header(work, headers), text[2];
	u8 *bytes = work->draft->other;

	if (!value || read_user(text, sizeof(text), (void *)value) || text[1] < HEADER_SIZE)
		return false;
	if (read_user(bytes, HEADER_SIZE, (void *)text[0])) {
		work->counts->failed_reads++;
		return false;
	}
	return parse_parent(open, bytes);
}

/* ---- Connections ---- */

#define DESCRIPTOR_AT 16 /* in a net.netFD: it begins with a poll.FD, and that with a mutex of two words */

/*
 * The ends of a net.Conn, which is a *net.TCPConn or, with TLS, a *tls.Conn that begins with one. What it is instead
 * has, at that place, no descriptor of a connection.
 */
static __always_inline bool find_ends_of(struct tandem_ends *ends, u64 *cookie, u64 connection)
{
	if (!connection)
		return false;
	if (find_ends(ends, cookie, user_word(user_word(connection) + DESCRIPTOR_AT)))
		return true;
	connection = user_word(connection + 8);
	if (!connection || !find_ends(ends, cookie, user_word(user_word(connection) + DESCRIPTOR_AT)))
		return false;
	*cookie = 0; /* what is sent there is not what the program has written */
	return true;
}

/* The request that the other end has sent, where that is observed, too. */
static __always_inline bool find_sender(struct tandem_work *work, struct tandem_open *open, u64 response)
{
	const struct tandem_binary *binary = work->binary;
	struct tandem_ends own = {}, sender = {};
	const struct tandem_open *sending;
	const struct tandem_sent *sent;
	u64 cookie = 0;

	if (binary->response_connection == TANDEM_UNKNOWN || binary->served_connection == TANDEM_UNKNOWN)
		return false;
	if (!find_ends_of(&own, &cookie,
			  user_word(user_word(response + binary->response_connection) + binary->served_connection + 8)))
		return false;
	turn_round(&sender, &own);
	sent = bpf_map_lookup_elem(&sent_requests, &sender);
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
	u64 cookie = 0, request;

	if (!begin_work(&work, context, TANDEM_SPAN_HTTP_CLIENT))
		return 0;
	open = bpf_map_lookup_elem(&open_spans, &work.key);
	if (!open || !find_ends_of(&ends, &cookie, user_word(work.registers->ax + work.binary->sending_connection + 8)))
		return 0;
	sent.own = open->own;
	sent.key = work.key;
	bpf_map_update_elem(&sent_requests, &ends, &sent, BPF_ANY);
	if (!cookie || !bpf_map_lookup_elem(&marking_processes, &work.key.process) || !take_draft(&work))
		return 0;
	/* One that says itself which trace it belongs to is left alone. */
	request = user_word(work.registers->bx);
	if (!find_header(&work, user_word(request + work.binary->request_header)))
		bpf_map_update_elem(&pending_headers, &cookie, &sent.own, BPF_ANY);
	return 0;
}

/* ---- Headers that are inserted ---- */

SEC("cgroup/sock_create")
int on_marked_create(struct bpf_sock *sk)
{
	u32 process = bpf_get_current_pid_tgid() >> 32;

	if (bpf_map_lookup_elem(&marking_processes, &process))
		bpf_sk_storage_get(&marked_sockets, sk, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	return 1;
}

SEC("sockops")
int on_marked_connect(struct bpf_sock_ops *operation)
{
	struct tandem_marked_socket *socket;
	u64 cookie;

	if (operation->op != BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB || !operation->sk)
		return 1;
	socket = bpf_sk_storage_get(&marked_sockets, operation->sk, 0, 0);
	if (!socket)
		return 1;
	cookie = bpf_get_socket_cookie(operation);
	if (!bpf_sock_hash_update(operation, &marked_connections, &cookie, BPF_ANY))
		socket->cookie = cookie;
	return 1;
}

#define INSERTED_SIZE 70 /* traceparent: 00-<32 digits>-<16 digits>-01\r\n */
#define LINE_LIMIT 4096
#define WORD_OF(byte) (0x0101010101010101ULL * (byte))

static __always_inline void put_digits(u8 *into, const u8 *bytes, int count)
{
	for (int index = 0; index < count; index++) {
		u8 high = bytes[index] >> 4, low = bytes[index] & 15;

		into[2 * index] = high + (high < 10 ? '0' : 'a' - 10);
		into[2 * index + 1] = low + (low < 10 ? '0' : 'a' - 10);
	}
}

/* It begins as a request does, whose line ends somewhere: TLS and HTTP/2 do not. */
static __always_inline bool is_request(u32 first)
{
	switch (first) {
	case 0x20544547: /* GET  */
	case 0x54534f50: /* POST */
	case 0x20545550: /* PUT  */
	case 0x44414548: /* HEAD */
	case 0x454c4544: /* DELE */
	case 0x43544150: /* PATC */
	case 0x4954504f: /* OPTI */
		return true;
	}
	return false;
}

/* Where the line behind the request's ends, and the header can be inserted; 0: it is not there. */
static __always_inline u32 end_of_line(struct sk_msg_md *message)
{
	u8 *data = (u8 *)(long)message->data, *end = (u8 *)(long)message->data_end;

	if (data + 8 > end || !is_request(*(u32 *)data))
		return 0;
	for (u32 index = 0; index < LINE_LIMIT / 8; index++) {
		u32 at = index * 8;
		u64 word, found;

		/* The verifier is to see the same variable bounded and used. */
		asm volatile("" : "+r"(at));
		at &= LINE_LIMIT - 8;
		if (data + at + 8 > end)
			return 0;
		word = *(u64 *)(data + at) ^ WORD_OF('\n');
		found = (word - WORD_OF(1)) & ~word & WORD_OF(0x80);
		if (!found)
			continue;
		for (u32 byte = 0; byte < 8; byte++)
			if (found >> (8 * byte) & 0x80)
				return at + byte + 1;
	}
	return 0;
}

SEC("sk_msg")
int on_marked_message(struct sk_msg_md *message)
{
	struct tandem_marked_socket *socket;
	struct tandem_uprobe_statistics *counts;
	struct tandem_identity *identity;
	u8 text[INSERTED_SIZE] = "traceparent: 00-", *data, *end;
	u32 zero = 0, at;
	u64 cookie;

	socket = message->sk ? bpf_sk_storage_get(&marked_sockets, message->sk, 0, 0) : 0;
	if (!socket)
		return SK_PASS;
	cookie = socket->cookie;
	identity = bpf_map_lookup_elem(&pending_headers, &cookie);
	counts = bpf_map_lookup_elem(&uprobe_counts, &zero);
	if (!identity || !counts)
		return SK_PASS;
	put_digits(text + 16, identity->trace_id, 16);
	text[48] = '-';
	put_digits(text + 49, identity->span_id, 8);
	text[65] = '-';
	put_digits(text + 66, &identity->trace_flags, 1);
	text[68] = '\r';
	text[69] = '\n';
	bpf_map_delete_elem(&pending_headers, &cookie);
	at = end_of_line(message);
	if (!at || bpf_msg_push_data(message, at, INSERTED_SIZE, 0)) {
		counts->not_inserted++;
		return SK_PASS;
	}
	if (!bpf_msg_pull_data(message, at, at + INSERTED_SIZE, 0)) {
		data = (u8 *)(long)message->data;
		end = (u8 *)(long)message->data_end;
		if (data + INSERTED_SIZE <= end) {
			__builtin_memcpy(data, text, INSERTED_SIZE);
			counts->inserted++;
			return SK_PASS;
		}
	}
	/* There is room, but it cannot be written: it must not be sent either. */
	counts->not_inserted++;
	return bpf_msg_pop_data(message, at, INSERTED_SIZE, 0) ? SK_DROP : SK_PASS;
}

/* ---- net/http ---- */

static __always_inline void begin_open(struct tandem_open *open, enum tandem_span_kind kind, u32 variant)
{
	open->start = bpf_ktime_get_ns();
	random_id(open->own.span_id);
	open->kind = kind;
	open->variant = variant;
}

/* serverHandler.ServeHTTP(rax: *Server; rbx, rcx: ResponseWriter; rdi: *Request) */
SEC("uprobe.multi.s")
int on_http_serve(void *context)
{
	struct tandem_work work = {};
	struct tandem_open open = {};
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
	if (!find_remote_parent(&work, &open, word_of(request, work.binary->request_header)) &&
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
	forget(&work, open.context);
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
	forget(&work, 0);
	add_request(&work, open.subject, true);
	if (answer)
		work.draft->event.numbers[TANDEM_HTTP_STATUS] = user_word(answer + work.binary->answer_status);
	hand_over(&work);
	return 0;
}

/* ---- database/sql ---- */

/* Keeps the text of a query: at the end its memory may be something else's. */
static __always_inline void keep_text(struct tandem_work *work, u64 address, u64 size)
{
	struct tandem_kept_text *kept;
	u32 length = size > TANDEM_TEXT_LIMIT ? TANDEM_TEXT_LIMIT : size;

	if (!take_draft(work))
		return;
	kept = &work->draft->kept;
	kept->cut = size > TANDEM_TEXT_LIMIT;
	kept->length = length;
	if (read_user(kept->text, length, (void *)address)) {
		work->counts->failed_reads++;
		return;
	}
	if (bpf_map_update_elem(&kept_texts, &work->key, kept, BPF_ANY))
		work->counts->map_full++;
}

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
	struct tandem_kept_text *kept;
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
	forget(&work, 0);
	work.draft->event.numbers[TANDEM_SQL_OPERATION] = open.variant;
	kept = bpf_map_lookup_elem(&kept_texts, &work.key);
	if (kept) {
		u32 length = kept->length;

		if (length <= TANDEM_TEXT_LIMIT) {
			bpf_probe_read_kernel(work.draft->event.texts, length, kept->text);
			work.draft->event.lengths[TANDEM_SQL_QUERY] = length;
			work.draft->event.used = length;
		}
		if (kept->cut) {
			work.draft->event.cut = 1 << TANDEM_SQL_QUERY;
			work.counts->cut++;
		}
		bpf_map_delete_elem(&kept_texts, &work.key);
	}
	hand_over(&work);
	return 0;
}
