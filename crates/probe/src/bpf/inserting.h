/*
 * A traceparent that is inserted into a request while the kernel takes it over from the program: on marked connections
 * only, once for each request that a probe has said it of.
 */
#ifndef TANDEM_INSERTING_H
#define TANDEM_INSERTING_H

#include "operation.h"

/* Headers that are to be inserted, by the cookie of the socket on which the request will be sent. */
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

#endif
