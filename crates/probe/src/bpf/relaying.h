/*
 * Requests of programs in any language that name their trace, by the thread that sends them: it serves the request that
 * it has read and not answered yet. Of that one the trace is known when its first bytes arrive; what the thread asks
 * others gets a traceparent while the kernel takes it over.
 *
 * Nothing is inserted where it is not sure to be the head of a request of HTTP/1: connections are followed from their
 * first byte, bodies by the length that their heads tell. Any doubt ends it for the connection.
 */
#ifndef TANDEM_RELAYING_H
#define TANDEM_RELAYING_H

#include "socket.h"
#include "traceparent.h"

#define BPF_ANY 0
#define HEAD_LIMIT 4096
/* Steps through a head: words, and lines. */
#define HEAD_STEPS (HEAD_LIMIT / 8 + 128)
/* A thread that has not answered for so long is taken for another one, ns. */
#define SERVING_LIMIT 300000000000ULL

/* Set by the loader: else none of this is there. */
const volatile bool relays = false;
/* What a header begins as; the loader has its type from here. */
const volatile struct tandem_given nothing_given = {};

/* By process and thread. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, TANDEM_SERVING_COUNT);
	__type(key, u64);
	__type(value, struct tandem_serving);
} serving_threads SEC(".maps");

/* Connections that observed processes make: what is sent on them is seen on its way out. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, TANDEM_RELAYING_COUNT);
	__type(key, u64);
	__type(value, u64);
} relaying_connections SEC(".maps");

struct tandem_arriving {
	u8 bytes[HEAD_LIMIT + 8];
};

/* Where the head of a request that arrives is looked at. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct tandem_arriving);
} arriving_heads SEC(".maps");

/* ---- The head of a request ---- */

struct tandem_head {
	struct sk_msg_md *message; /* it is there, or else */
	const u8 *bytes; /* there */
	u32 size; /* bytes that can be looked at */
	u32 at;
	u32 line; /* where the line behind the first one begins; 0: not found */
	u32 end; /* where it ends; 0: not found */
	u32 parent; /* where the value of its traceparent begins; 0: it has none */
	u32 body; /* bytes that follow it */
	u32 has_length; /* it says so */
	u32 is_unclear; /* what follows it cannot be told from here */
};

static __always_inline bool head_word(const struct tandem_head *head, bool is_sent, u32 at, u64 *word)
{
	/* The verifier is to see the same variable bounded and used. */
	asm volatile("" : "+r"(at));
	at &= HEAD_LIMIT - 1;
	if (is_sent) {
		u8 *data = (u8 *)(long)head->message->data, *end = (u8 *)(long)head->message->data_end;

		if (data + at + 8 > end)
			return false;
		*word = *(u64 *)(data + at);
		return true;
	}
	if (at + 8 > head->size)
		return false;
	*word = *(u64 *)(head->bytes + at);
	return true;
}

#define LETTERS(word) ((word) | WORD_OF(0x20)) /* in lower case */
#define HTTP_1_0 0x302e312f50545448ULL
#define HTTP_1_1 0x312e312f50545448ULL
#define TRACEPAR 0x7261706563617274ULL
#define ENT 0x3a746e65ULL
#define CONTENT 0x2d746e65746e6f63ULL /* content- */
#define LENGTH 0x3a6874676e656cULL /* length: */
#define TRANSFER 0x726566736e617274ULL
#define UPGRADE 0x3a65646172677075ULL

#define UNCLEAR 0xffffffffU

/* The number behind content-length, in the characters that follow; verified on its own. */
__noinline u32 length_of(u64 first, u64 second)
{
	bool begun = false;
	u32 length = 0;

	for (u32 index = 0; index < 16; index++) {
		u8 byte = first;

		first = first >> 8 | second << 56;
		second >>= 8;
		if (byte >= '0' && byte <= '9') {
			length = 10 * length + byte - '0';
			begun = true;
			if (length > 100000000)
				return UNCLEAR;
		} else if (byte == '\r') {
			return begun ? length : UNCLEAR;
		} else if (byte != ' ' || begun) {
			return UNCLEAR;
		}
	}
	return UNCLEAR;
}

/* A word, or what there is of it. */
static __always_inline u64 head_rest(const struct tandem_head *head, bool is_sent, u32 at)
{
	u32 size = head->size;
	u64 word;

	if (at + 8 <= size)
		return head_word(head, is_sent, at, &word) ? word : 0;
	if (at >= size || size < 8 || !head_word(head, is_sent, size - 8, &word))
		return 0;
	return word >> (8 * (at + 8 - size));
}

static __always_inline void read_length(struct tandem_head *head, bool is_sent, u32 at)
{
	u64 first, second;

	head->is_unclear |= head->has_length;
	head->has_length = 1;
	first = head_rest(head, is_sent, at);
	second = head_rest(head, is_sent, at + 8);
	head->body = length_of(first, second);
	if (head->body == UNCLEAR) {
		head->body = 0;
		head->is_unclear = 1;
	}
}

/* A line begins there; whether that is all there is to see. */
static __always_inline bool next_line(struct tandem_head *head, bool is_sent, u32 start)
{
	u64 first, second;

	if (!head->line) {
		if (start < 14 || !head_word(head, is_sent, start - 10, &first) ||
		    (first != HTTP_1_1 && first != HTTP_1_0))
			return true;
		head->line = start;
	}
	if (!head_word(head, is_sent, start, &first)) {
		if (head_word(head, is_sent, start - 6, &first) && first >> 48 == 0x0a0d)
			head->end = start + 2;
		return true;
	}
	if ((first & 0xffff) == 0x0a0d) {
		head->end = start + 2;
		return true;
	}
	if (!head_word(head, is_sent, start + 8, &second))
		return false;
	first = LETTERS(first);
	second = LETTERS(second);
	if (first == TRACEPAR && (u32)second == ENT)
		head->parent = start + 12;
	else if (first == CONTENT && (second & 0xffffffffffffffULL) == LENGTH)
		read_length(head, is_sent, start + 15);
	else if (first == TRANSFER || first == UPGRADE)
		head->is_unclear = 1;
	return false;
}

/* Which of the bytes of a word ends a line, from one on; 8: none. Verified on its own. */
__noinline u32 line_feed(u64 word, u32 from)
{
	for (u32 byte = 0; byte < 8; byte++) {
		if (byte >= from && (word & 0xff) == '\n')
			return byte;
		word >>= 8;
	}
	return 8;
}

/* Goes on by a line's end or a word. */
static __always_inline long head_step(struct tandem_head *head, bool is_sent)
{
	u32 at = head->at, size = head->size, from = 0, byte;
	u64 word;

	if (at >= size || size < 16 || size > HEAD_LIMIT)
		return 1;
	if (at + 8 > size) {
		from = at + 8 - size;
		at = size - 8;
	}
	if (!head_word(head, is_sent, at, &word))
		return 1;
	byte = line_feed(word, from);
	head->at = at + byte + 1;
	if (byte < 8)
		return next_line(head, is_sent, head->at);
	head->at = at + 8;
	return 0;
}

static long sent_step(u64 index, void *context)
{
	return head_step(context, true);
}

static long arrived_step(u64 index, void *context)
{
	return head_step(context, false);
}

/* ---- Requests that come ---- */

/* The first bytes of a message to a process. */
static __always_inline void note_request(struct __sk_buff *skb, u32 at, const struct tandem_segment *segment,
					 struct tandem_observed *observed, struct tandem_observed_socket *socket)
{
	struct tandem_request *request = &socket->request;
	struct tandem_arriving *arriving;
	struct tandem_head head = {};
	u32 zero = 0, size = segment->length;
	const u8 *text;

	arriving = bpf_map_lookup_elem(&arriving_heads, &zero);
	if (!arriving || size < 16)
		return;
	if (size > HEAD_LIMIT)
		size = HEAD_LIMIT;
	asm volatile("" : "+r"(size));
	if (size > HEAD_LIMIT || size < 16 || bpf_skb_load_bytes(skb, at, arriving->bytes, size))
		return;
	if (!is_request(*(u32 *)arriving->bytes))
		return;
	head.bytes = arriving->bytes;
	head.size = size;
	bpf_loop(HEAD_STEPS, arrived_step, &head, 0);
	if (!head.line)
		return;
	observed->asked = 1;
	__builtin_memset(request->trace_id, 0, sizeof(request->trace_id));
	request->trace_flags = 1;
	request->sequence = segment->sequence;
	request->reader = 0;
	at = head.parent;
	if (at && at + 1 + HEADER_SIZE <= size) {
		asm volatile("" : "+r"(at));
		if (at > HEAD_LIMIT - HEADER_SIZE - 1)
			return;
		text = arriving->bytes + at;
		if (*text == ' ')
			text++;
		if (text[2] == '-' && text[35] == '-' && text[52] == '-' &&
		    parse_bytes(request->trace_id, text + 3, 16))
			parse_bytes(&request->trace_flags, text + 53, 1);
		else
			__builtin_memset(request->trace_id, 0, sizeof(request->trace_id));
	}
	request->is_new = 1;
}

/* Somebody reads what has come. */
SEC("tp_btf/tcp_rcv_space_adjust")
int BPF_PROG(on_relay_read, struct sock *sk)
{
	struct tandem_serving *serving, fresh = {.open = 1};
	struct tandem_observed_socket *socket;
	u64 thread, now;

	socket = bpf_sk_storage_get(&observed_sockets, sk, 0, 0);
	if (!socket || !socket->request.is_new)
		return 0;
	socket->request.is_new = 0;
	thread = bpf_get_current_pid_tgid();
	now = bpf_ktime_get_ns();
	serving = bpf_map_lookup_elem(&serving_threads, &thread);
	if (serving && serving->open && now - serving->since < SERVING_LIMIT) {
		serving->is_mixed = 1;
		__sync_fetch_and_add(&serving->open, 1);
		socket->request.reader = thread;
		return 0;
	}
	fresh.cookie = bpf_get_socket_cookie(sk);
	fresh.since = now;
	fresh.sequence = socket->request.sequence;
	fresh.trace_flags = socket->request.trace_flags;
	__builtin_memcpy(fresh.trace_id, socket->request.trace_id, sizeof(fresh.trace_id));
	if (!bpf_map_update_elem(&serving_threads, &thread, &fresh, BPF_ANY))
		socket->request.reader = thread;
	return 0;
}

/* It is answered, or will never be. */
static __always_inline void note_answer(struct tandem_observed_socket *socket)
{
	struct tandem_serving *serving;
	u64 thread = socket->request.reader;

	socket->request.is_new = 0;
	if (!thread)
		return;
	socket->request.reader = 0;
	serving = bpf_map_lookup_elem(&serving_threads, &thread);
	if (!serving)
		return;
	if (serving->open > 1)
		__sync_fetch_and_add(&serving->open, -1);
	else
		bpf_map_delete_elem(&serving_threads, &thread);
}

/* What goes out says only that more is to come: 100 Continue. */
static __always_inline bool is_interim(struct __sk_buff *skb, u32 at)
{
	u8 first[10];

	return !bpf_skb_load_bytes(skb, at, first, sizeof(first)) && first[0] == 'H' && first[8] == ' ' &&
	       first[9] == '1';
}

/* ---- Requests that go ---- */

SEC("sockops")
int on_relay_connect(struct bpf_sock_ops *operation)
{
	struct tandem_observed_socket *socket;
	const struct tandem_observed *observed;
	u64 cookie;

	if (operation->op != BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB || !operation->sk)
		return 1;
	socket = bpf_sk_storage_get(&observed_sockets, operation->sk, 0, 0);
	if (!socket)
		return 1;
	observed = bpf_map_lookup_elem(&observed_processes, &socket->process);
	if (!observed || !observed->relays)
		return 1;
	cookie = bpf_get_socket_cookie(operation);
	if (!bpf_sock_hash_update(operation, &relaying_connections, &cookie, BPF_ANY))
		socket->is_clear = 1;
	return 1;
}

static __always_inline bool is_zero(const u8 *id)
{
	return !*(const u64 *)id;
}

/* Never zero, which would be none. */
static __always_inline void make_id(u8 *id)
{
	u32 low = bpf_get_prandom_u32(), high = bpf_get_prandom_u32();

	*(u64 *)id = (u64)high << 32 | low | 1;
}

/* For whom the thread asks; false: that is not known. */
static __always_inline bool find_served(struct tandem_segment *segment, struct tandem_given *given, u32 process)
{
	const struct tandem_observed *observed;
	struct tandem_serving *serving;
	u64 thread = bpf_get_current_pid_tgid();

	serving = bpf_map_lookup_elem(&serving_threads, &thread);
	if (serving && serving->open) {
		if (serving->is_mixed)
			return false;
		if (is_zero(serving->trace_id) && is_zero(serving->trace_id + 8)) {
			make_id(serving->trace_id);
			make_id(serving->trace_id + 8);
		}
		if (is_zero(serving->span_id))
			make_id(serving->span_id);
		segment->cookie = serving->cookie;
		segment->sequence = serving->sequence;
		given->trace_flags = serving->trace_flags;
		__builtin_memcpy(given->trace_id, serving->trace_id, sizeof(given->trace_id));
		__builtin_memcpy(given->parent_id, serving->span_id, sizeof(given->parent_id));
	} else {
		/* Who was never asked for anything asks for itself. */
		observed = bpf_map_lookup_elem(&observed_processes, &process);
		if (!observed || observed->asked)
			return false;
		make_id(given->trace_id);
		make_id(given->trace_id + 8);
		given->trace_flags = 1;
	}
	make_id(given->span_id);
	segment->thread = thread;
	return true;
}

/* Goes on in a body, or through the head of a request; whether a header can be inserted there. */
static __always_inline bool follow(struct sk_msg_md *message, struct tandem_observed_socket *socket,
				   struct tandem_head *head)
{
	u32 size = message->size, behind, there;

	if (socket->body >= size) {
		socket->body -= size;
		return false;
	}
	if (socket->body)
		goto unclear;
	there = (u8 *)(long)message->data_end - (u8 *)(long)message->data;
	if (there < size && there < HEAD_LIMIT &&
	    bpf_msg_pull_data(message, 0, size < HEAD_LIMIT ? size : HEAD_LIMIT, 0))
		goto unclear;
	if ((u8 *)(long)message->data + 16 > (u8 *)(long)message->data_end || !is_request(*(u32 *)(long)message->data))
		goto unclear;
	head->message = message;
	head->size = size < HEAD_LIMIT ? size : HEAD_LIMIT;
	bpf_loop(HEAD_STEPS, sent_step, head, 0);
	if (!head->end)
		goto unclear;
	behind = head->end + head->body;
	if (head->is_unclear || behind < size)
		socket->is_clear = 0; /* this one is, the next may not be */
	else
		socket->body = behind - size;
	return !head->parent;
unclear:
	socket->is_clear = 0;
	return false;
}

SEC("sk_msg")
int on_relay_message(struct sk_msg_md *message)
{
	struct tandem_observed_socket *socket;
	struct {
		struct tandem_segment segment;
		struct tandem_given given;
	} told = {.given = nothing_given};
	struct tandem_head head = {};
	u8 text[INSERTED_SIZE];
	bool inserted;
	int verdict;

	socket = message->sk ? bpf_sk_storage_get(&observed_sockets, message->sk, 0, 0) : 0;
	if (!socket || !socket->is_clear || !follow(message, socket, &head))
		return SK_PASS;
	if (!find_served(&told.segment, &told.given, socket->process))
		return SK_PASS;
	told.segment.time = bpf_ktime_get_ns();
	told.segment.process = socket->process;
	told.segment.flags = TANDEM_SEGMENT_GIVEN;
	told.segment.copied = told.segment.length = sizeof(told.given);
	if (bpf_ringbuf_output(&segments, &told, sizeof(told), BPF_RB_NO_WAKEUP)) {
		COUNT(ring_full);
		return SK_PASS;
	}
	write_header(text, told.given.trace_id, told.given.span_id, told.given.trace_flags);
	verdict = put_header(message, head.line, text, &inserted);
	if (inserted)
		COUNT(inserted);
	else
		COUNT(not_inserted);
	return verdict;
}

#endif
