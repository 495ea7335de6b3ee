/*
 * A traceparent that is inserted into a request, of HTTP/1 or a call of grpc, while the kernel takes it over from the
 * program: on marked connections only, once for each request that a probe has said it of.
 */
#ifndef TANDEM_INSERTING_H
#define TANDEM_INSERTING_H

#include "operation.h"
#include "traceparent.h"

/* Headers that are to be inserted, by the cookie of the socket on which the request will be sent. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, TANDEM_CONNECTION_COUNT);
	__type(key, u64);
	__type(value, struct tandem_identity);
} pending_headers SEC(".maps");

/* The same for calls on connections of many. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, TANDEM_OPEN_CALL_COUNT);
	__type(key, struct tandem_pending_key);
	__type(value, struct tandem_identity);
} pending_calls SEC(".maps");

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
	if (!bpf_sock_hash_update(operation, &marked_connections, &cookie, BPF_ANY)) {
		socket->speech = TANDEM_SPEECH_BEGINS;
		socket->cookie = cookie;
	}
	return 1;
}

#define LINE_LIMIT 4096

/*
 * Where the line behind the request's ends, and the header can be inserted; 0: it is not there. Verified on its own:
 * else what follows would be, for each place.
 */
__noinline u32 end_of_line(struct sk_msg_md *message)
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

/* What comes first on a connection of HTTP/2, and what each of its frames begins with: length, type, flags, stream. */
#define PREFACE_SIZE 24 /* PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n */
#define FRAME_HEAD 9
#define FRAME_HEADERS 1
#define FLAG_END_HEADERS 4
#define FLAG_PADDED 8
#define FRAME_SIZE_LIMIT 16384
#define FRAME_COUNT 1024 /* of a message: so many are looked at */
#define FIELD_SIZE 69 /* a field that is in no table and goes into none: name and value, each behind its length */

/* On the way through the frames of a message. */
struct tandem_frames {
	struct sk_msg_md *message;
	struct tandem_marked_socket *socket;
	struct tandem_uprobe_statistics *counts;
	u32 at;
	u32 broken; /* what stands there now must not be sent */
};

/* Puts the field at the end of a block of headers; whether it stands there. */
static __always_inline bool add_field(struct tandem_frames *frames, u32 end_of_block, u32 length,
				      const struct tandem_identity *identity)
{
	struct sk_msg_md *message = frames->message;
	u8 field[FIELD_SIZE + 3] = "\x10\x0btraceparent\x37"
				   "00-",
			      *data, *end;

	put_digits(field + 17, identity->trace_id, 16);
	field[49] = '-';
	put_digits(field + 50, identity->span_id, 8);
	field[66] = '-';
	put_digits(field + 67, &identity->trace_flags, 1);
	if (bpf_msg_push_data(message, end_of_block, FIELD_SIZE, 0))
		return false;
	make_whole(message); /* else it is sent in pieces */
	if (!bpf_msg_pull_data(message, end_of_block, end_of_block + FIELD_SIZE, 0)) {
		data = (u8 *)(long)message->data;
		end = (u8 *)(long)message->data_end;
		if (data + FIELD_SIZE <= end) {
			__builtin_memcpy(data, field, FIELD_SIZE);
			if (!bpf_msg_pull_data(message, frames->at, frames->at + FRAME_HEAD, 0)) {
				data = (u8 *)(long)message->data;
				end = (u8 *)(long)message->data_end;
				if (data + FRAME_HEAD <= end) {
					length += FIELD_SIZE;
					data[0] = length >> 16;
					data[1] = length >> 8;
					data[2] = length;
					return true;
				}
			}
		}
	}
	frames->broken = bpf_msg_pop_data(message, end_of_block, FIELD_SIZE, 0) != 0;
	return false;
}

static long next_frame(u64 index, void *context)
{
	struct tandem_frames *frames = context;
	struct sk_msg_md *message = frames->message;
	struct tandem_pending_key key = {.cookie = frames->socket->cookie};
	u32 at = frames->at, size = message->size, length, behind;
	const struct tandem_identity *identity;
	u8 *data, *end, type, flags;

	if (at >= size)
		return 1;
	if (size - at < FRAME_HEAD || bpf_msg_pull_data(message, at, at + FRAME_HEAD, 0))
		goto lost;
	data = (u8 *)(long)message->data;
	end = (u8 *)(long)message->data_end;
	if (data + FRAME_HEAD > end)
		goto lost;
	length = data[0] << 16 | data[1] << 8 | data[2];
	type = data[3];
	flags = data[4];
	key.stream = (data[5] & 0x7f) << 24 | data[6] << 16 | data[7] << 8 | data[8];
	behind = at + FRAME_HEAD + length;
	if (type == FRAME_HEADERS) {
		identity = bpf_map_lookup_elem(&pending_calls, &key);
		if (identity) {
			if (flags & FLAG_END_HEADERS && !(flags & FLAG_PADDED) && behind <= size &&
			    length + FIELD_SIZE <= FRAME_SIZE_LIMIT && add_field(frames, behind, length, identity)) {
				frames->counts->inserted++;
				behind += FIELD_SIZE;
			} else {
				frames->counts->not_inserted++;
			}
			bpf_map_delete_elem(&pending_calls, &key);
			if (frames->broken)
				return 1;
		}
	}
	size = message->size;
	frames->at = behind;
	if (behind > size)
		frames->socket->rest = behind - size;
	return behind >= size;
lost:
	frames->socket->speech = TANDEM_SPEECH_UNKNOWN;
	return 1;
}

/* Goes through what is sent by HTTP/2, frame by frame from the connection's beginning: what is in between is left
 * alone. */
static __always_inline int pass_frames(struct sk_msg_md *message, struct tandem_marked_socket *socket,
				       struct tandem_uprobe_statistics *counts, u32 at)
{
	struct tandem_frames frames = {.message = message, .socket = socket, .counts = counts, .at = at};
	u32 size = message->size;

	if (socket->rest >= size) {
		socket->rest -= size;
		return SK_PASS;
	}
	frames.at += socket->rest;
	socket->rest = 0;
	if (bpf_loop(FRAME_COUNT, next_frame, &frames, 0) == FRAME_COUNT)
		socket->speech = TANDEM_SPEECH_UNKNOWN; /* there are more */
	return frames.broken ? SK_DROP : SK_PASS;
}

/* It begins as a connection of HTTP/2 does. */
static __always_inline bool is_preface(struct sk_msg_md *message)
{
	u8 *data = (u8 *)(long)message->data, *end = (u8 *)(long)message->data_end;

	return data + 16 <= end && *(u64 *)data == 0x5448202a20495250ULL && *(u64 *)(data + 8) == 0x0a0d302e322f5054ULL;
}

SEC("sk_msg")
int on_marked_message(struct sk_msg_md *message)
{
	struct tandem_marked_socket *socket;
	struct tandem_uprobe_statistics *counts;
	struct tandem_identity *identity;
	u8 text[INSERTED_SIZE];
	u32 zero = 0, at;
	bool inserted;
	u64 cookie;
	int verdict;

	socket = message->sk ? bpf_sk_storage_get(&marked_sockets, message->sk, 0, 0) : 0;
	if (!socket)
		return SK_PASS;
	cookie = socket->cookie;
	counts = bpf_map_lookup_elem(&uprobe_counts, &zero);
	if (!counts)
		return SK_PASS;
	if (socket->speech == TANDEM_SPEECH_FRAMES)
		return pass_frames(message, socket, counts, 0);
	if (socket->speech == TANDEM_SPEECH_BEGINS) {
		socket->speech = TANDEM_SPEECH_UNKNOWN;
		if (is_preface(message)) {
			socket->speech = TANDEM_SPEECH_FRAMES;
			return pass_frames(message, socket, counts, PREFACE_SIZE);
		}
	}
	identity = bpf_map_lookup_elem(&pending_headers, &cookie);
	if (!identity)
		return SK_PASS;
	write_header(text, identity->trace_id, identity->span_id, identity->trace_flags);
	bpf_map_delete_elem(&pending_headers, &cookie);
	at = end_of_line(message);
	if (!at) {
		counts->not_inserted++;
		return SK_PASS;
	}
	verdict = put_header(message, at, text, &inserted);
	if (inserted)
		counts->inserted++;
	else
		counts->not_inserted++;
	return verdict;
}

#endif
