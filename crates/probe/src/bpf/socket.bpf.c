// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What observed processes say on their sockets: the first bytes of each message, and of the rest how much there was.
 *
 * A socket is known by what is kept behind it: it is marked as it is made (or found among a process's descriptors, when
 * it is older), connections inherit the mark of their listener, and it goes with the socket. So a packet of anybody
 * else costs one look, and no table of addresses has to be kept right.
 *
 * Packets are seen at the border of the control group, behind the TCP stack on their way out and before it on their way
 * in: they may come twice, late or in another order, which is for the reader to put right. Nothing is held back, and
 * nothing changed but by relaying.h, where that was asked for.
 */
#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "socket.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define PASS 1
#define TLS_HANDSHAKE 0x16

#define IP_MORE_OR_OFFSET 0x3fff
#define TCP_FIN 0x01
#define TCP_RST 0x04

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TANDEM_OBSERVED_COUNT);
	__type(key, u32);
	__type(value, struct tandem_observed);
} observed_processes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct tandem_observed_socket);
} observed_sockets SEC(".maps");

/* By a socket's cookie. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, TANDEM_ORDER_COUNT);
	__type(key, u64);
	__type(value, u32);
} socket_orders SEC(".maps");

/* Its size is set by the loader. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} segments SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct tandem_socket_statistics);
} socket_counts SEC(".maps");

/* What each event begins as; the loader has its type from here. */
const volatile struct tandem_segment no_segment = {};

#define COUNT(field)                                                                                  \
	do {                                                                                          \
		u32 zero = 0;                                                                         \
		struct tandem_socket_statistics *counts = bpf_map_lookup_elem(&socket_counts, &zero); \
		if (counts)                                                                           \
			counts->field++;                                                              \
	} while (0)

SEC("cgroup/sock_create")
int on_create(struct bpf_sock *sk)
{
	struct tandem_observed_socket *socket;
	u32 process = bpf_get_current_pid_tgid() >> 32;

	if ((sk->family != AF_INET && sk->family != AF_INET6) || !bpf_map_lookup_elem(&observed_processes, &process))
		return PASS;
	socket = bpf_sk_storage_get(&observed_sockets, sk, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (socket)
		socket->process = process;
	else
		COUNT(map_full);
	return PASS;
}

/* Sockets that are older than our interest in their process, and those that it was given. */
SEC("iter/task_file")
int on_descriptor(struct bpf_iter__task_file *context)
{
	struct task_struct *task = context->task;
	struct tandem_observed_socket *state;
	struct file *file = context->file;
	struct socket *socket;
	struct sock *sk;
	u32 process;

	if (!task || !file)
		return 0;
	process = task->tgid;
	socket = bpf_sock_from_file(file);
	sk = socket ? socket->sk : 0;
	if (!sk || (sk->__sk_common.skc_family != AF_INET && sk->__sk_common.skc_family != AF_INET6))
		return 0;
	if (!bpf_map_lookup_elem(&observed_processes, &process))
		return 0;
	state = bpf_sk_storage_get(&observed_sockets, sk, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!state) {
		COUNT(map_full);
		return 0;
	}
	/* One that two processes hold stays with the first, as long as that is observed. */
	if (!state->process || !bpf_map_lookup_elem(&observed_processes, &state->process))
		state->process = process;
	return 0;
}

#include "relaying.h"

/* Reads addresses and ports; where the payload begins, or 0. */
static __always_inline u32 read_headers(struct __sk_buff *skb, struct tandem_segment *segment, bool out)
{
	u8 *source = out ? segment->local : segment->remote, *destination = out ? segment->remote : segment->local;
	u16 ports[2];
	u32 at;
	u8 ip[40];

	if (bpf_skb_load_bytes(skb, 0, ip, 20))
		return 0;
	segment->version = ip[0] >> 4;
	if (segment->version == 4) {
		if (((u16)ip[6] << 8 | ip[7]) & IP_MORE_OR_OFFSET)
			return 0;
		segment->protocol = ip[9];
		at = (ip[0] & 15) * 4;
		__builtin_memcpy(source, ip + 12, 4);
		__builtin_memcpy(destination, ip + 16, 4);
	} else if (segment->version == 6) {
		if (bpf_skb_load_bytes(skb, 0, ip, 40))
			return 0;
		segment->protocol = ip[6];
		at = 40;
		__builtin_memcpy(source, ip + 8, 16);
		__builtin_memcpy(destination, ip + 24, 16);
	} else {
		return 0;
	}
	if (bpf_skb_load_bytes(skb, at, ports, sizeof(ports)))
		return 0;
	segment->local_port = bpf_ntohs(out ? ports[0] : ports[1]);
	segment->remote_port = bpf_ntohs(out ? ports[1] : ports[0]);
	if (segment->protocol == IPPROTO_UDP)
		return at + 8;
	if (segment->protocol == IPPROTO_TCP) {
		u8 tcp[10]; /* from the sequence number on */

		if (bpf_skb_load_bytes(skb, at + 4, tcp, sizeof(tcp)))
			return 0;
		segment->sequence = (u32)tcp[0] << 24 | (u32)tcp[1] << 16 | (u32)tcp[2] << 8 | tcp[3];
		segment->flags =
			(tcp[9] & TCP_FIN ? TANDEM_SEGMENT_FIN : 0) | (tcp[9] & TCP_RST ? TANDEM_SEGMENT_RESET : 0);
		return at + (tcp[8] >> 4) * 4;
	}
	return 0;
}

/* Hands a segment over in an event with room for so many bytes. */
static __always_inline void hand_over(struct __sk_buff *skb, const struct tandem_segment *segment, u32 at,
				      const u32 room)
{
	struct tandem_segment *event;
	u32 size = segment->copied;

	event = bpf_ringbuf_reserve(&segments, sizeof(*event) + room, 0);
	if (!event) {
		COUNT(ring_full);
		return;
	}
	*event = *segment;
	if (room && size) {
		/* The verifier is to see the same variable bounded and used. */
		asm volatile("" : "+r"(size));
		if (size > room)
			size = room;
		if (size && bpf_skb_load_bytes(skb, at, event + 1, size))
			event->copied = 0;
	}
	COUNT(segments);
	if (event->copied < event->length)
		COUNT(cut);
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
}

static __always_inline void hand_over_sized(struct __sk_buff *skb, const struct tandem_segment *segment, u32 at)
{
	if (!segment->copied)
		hand_over(skb, segment, at, 0);
	else if (segment->copied <= 64)
		hand_over(skb, segment, at, 64);
	else if (segment->copied <= 256)
		hand_over(skb, segment, at, 256);
	else if (segment->copied <= 1024)
		hand_over(skb, segment, at, 1024);
	else
		hand_over(skb, segment, at, TANDEM_SEGMENT_LIMIT);
}

/* All of it, in pieces, as far as they go; the rest is counted. */
static __noinline int hand_over_all(struct __sk_buff *skb, struct tandem_segment *segment, u32 at)
{
	u32 left = segment->length;
	int i;

	for (i = 0; i < TANDEM_PIECES && left; i++) {
		segment->copied = left < TANDEM_SEGMENT_LIMIT ? left : TANDEM_SEGMENT_LIMIT;
		segment->length = i == TANDEM_PIECES - 1 ? left : segment->copied;
		hand_over_sized(skb, segment, at);
		at += segment->copied;
		segment->sequence += segment->copied;
		left -= segment->length;
	}
	return 0;
}

/* What cannot wait until the agent has read it: TLS is left alone, of HTTP/2 no byte may be missed. */
static __always_inline void recognise(struct __sk_buff *skb, u32 at, struct tandem_observed_socket *socket)
{
	u8 first[4];

	if (bpf_skb_load_bytes(skb, at, first, sizeof(first)))
		return;
	if (first[0] == TLS_HANDSHAKE && first[1] == 3)
		socket->order = TANDEM_ORDER_QUIET;
	else if (first[0] == 'P' && first[1] == 'R' && first[2] == 'I' && first[3] == ' ')
		socket->order = TANDEM_ORDER_EACH;
}

static __always_inline void look(struct __sk_buff *skb, enum tandem_direction direction)
{
	struct tandem_observed *observed;
	struct tandem_observed_socket *socket;
	struct tandem_segment segment = no_segment;
	struct bpf_sock *sk = skb->sk;
	u32 at, end, *order;
	bool is_first = false; /* of its direction */
	u64 thread;

	sk = sk ? bpf_sk_fullsock(sk) : 0;
	socket = sk ? bpf_sk_storage_get(&observed_sockets, sk, 0, 0) : 0;
	if (!socket || socket->order == TANDEM_ORDER_QUIET)
		return;
	observed = bpf_map_lookup_elem(&observed_processes, &socket->process);
	if (!observed) {
		bpf_sk_storage_delete(&observed_sockets, sk);
		return;
	}
	if (sk->state == TCP_LISTEN)
		return;
	at = read_headers(skb, &segment, direction == TANDEM_OUT);
	if (!at || at > skb->len) {
		COUNT(unread);
		return;
	}
	segment.length = skb->len - at;
	if (!segment.length && !segment.flags)
		return;
	if (segment.protocol == IPPROTO_TCP && segment.length) {
		end = segment.sequence + segment.length;
		if (socket->begun[direction] && (s32)(end - socket->next[direction]) <= 0) {
			COUNT(resent);
			return;
		}
		is_first = !socket->begun[direction];
		socket->begun[direction] = 1;
		socket->next[direction] = end;
	}
	segment.cookie = bpf_get_socket_cookie(skb);
	if (segment.length) {
		order = bpf_map_lookup_elem(&socket_orders, &segment.cookie);
		if (order) {
			socket->order = *order;
			if (socket->order == TANDEM_ORDER_QUIET)
				return;
		}
		if (socket->last != direction + 1 || socket->order == TANDEM_ORDER_EACH ||
		    segment.protocol == IPPROTO_UDP) {
			if (is_first)
				recognise(skb, at, socket);
			if (socket->order == TANDEM_ORDER_QUIET)
				return;
			socket->last = direction + 1;
			socket->left[direction] = observed->limit;
			if (relays && observed->relays && segment.protocol == IPPROTO_TCP) {
				if (direction == TANDEM_IN)
					note_request(skb, at, &segment, observed, socket);
				else if (!is_interim(skb, at))
					note_answer(socket);
			}
		}
		segment.copied = segment.length < socket->left[direction] ? segment.length : socket->left[direction];
		if (segment.copied > TANDEM_SEGMENT_LIMIT)
			segment.copied = TANDEM_SEGMENT_LIMIT;
		socket->left[direction] -= segment.copied;
	}
	if (relays && segment.flags && (direction == TANDEM_OUT || segment.flags & TANDEM_SEGMENT_RESET))
		note_answer(socket); /* it will not be */
	segment.time = bpf_ktime_get_ns();
	segment.process = socket->process;
	segment.direction = direction;
	if (direction == TANDEM_OUT) {
		thread = bpf_get_current_pid_tgid();
		if (thread >> 32 == socket->process)
			segment.thread = thread;
	}
	if (socket->order == TANDEM_ORDER_EACH && segment.length > TANDEM_SEGMENT_LIMIT)
		hand_over_all(skb, &segment, at);
	else
		hand_over_sized(skb, &segment, at);
}

SEC("cgroup_skb/egress")
int on_egress(struct __sk_buff *skb)
{
	look(skb, TANDEM_OUT);
	return PASS;
}

SEC("cgroup_skb/ingress")
int on_ingress(struct __sk_buff *skb)
{
	look(skb, TANDEM_IN);
	return PASS;
}
