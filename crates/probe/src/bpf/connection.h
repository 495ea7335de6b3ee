/*
 * Which connection lies behind a descriptor of the process that runs. The two ends of one that stays on this machine
 * find the same, each from its side.
 */
#ifndef TANDEM_CONNECTION_H
#define TANDEM_CONNECTION_H

#include "operation.h"

#define FILE_TYPE 0170000
#define FILE_IS_SOCKET 0140000

static __always_inline void map_ipv4(unsigned char *address, u32 ipv4)
{
	*(u32 *)address = *(u32 *)(address + 4) = 0;
	*(u32 *)(address + 8) = 0xffff0000;
	*(u32 *)(address + 12) = ipv4;
}

/* 127.0.0.0/8, mapped, and ::1 */
static __always_inline bool is_loopback(const unsigned char *address)
{
	const u32 *words = (const u32 *)address;

	if (words[0] || words[1])
		return false;
	return words[2] == 0xffff0000 ? address[12] == 127 : !words[2] && words[3] == 1U << 24;
}

/* What else is known of a socket. */
struct tandem_connection {
	u64 cookie; /* 0: it has none */
	u32 position; /* of the next byte that the program will write */
};

/* The ends of the TCP connection behind a descriptor; false: there is no connection. */
static __always_inline bool find_ends(struct tandem_ends *ends, struct tandem_connection *connection, u32 descriptor)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct file **files, *file = 0;
	struct socket *socket;
	struct sock *sk;
	u16 family;

	if (descriptor >= BPF_CORE_READ(task, files, fdt, max_fds))
		return false;
	files = BPF_CORE_READ(task, files, fdt, fd);
	if (bpf_probe_read_kernel(&file, sizeof(file), files + descriptor) || !file)
		return false;
	if ((BPF_CORE_READ(file, f_inode, i_mode) & FILE_TYPE) != FILE_IS_SOCKET)
		return false;
	socket = BPF_CORE_READ(file, private_data);
	sk = BPF_CORE_READ(socket, sk);
	if (!sk)
		return false;
	family = BPF_CORE_READ(sk, __sk_common.skc_family);
	if ((family != AF_INET && family != AF_INET6) || BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP)
		return false;
	if (family == AF_INET) {
		map_ipv4(ends->local, BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr));
		map_ipv4(ends->remote, BPF_CORE_READ(sk, __sk_common.skc_daddr));
	} else {
		BPF_CORE_READ_INTO(&ends->local, sk, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO(&ends->remote, sk, __sk_common.skc_v6_daddr);
	}
	ends->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	ends->remote_port = __builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_dport));
	connection->cookie = BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
	connection->position = BPF_CORE_READ((struct tcp_sock *)sk, write_seq);
	/* Every network namespace has a loopback of its own. */
	ends->network = is_loopback(ends->local) ? BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum) : 0;
	return true;
}

/* The same connection from its other end. */
static __always_inline void turn_round(struct tandem_ends *other, const struct tandem_ends *ends)
{
	__builtin_memcpy(other->local, ends->remote, sizeof(other->local));
	__builtin_memcpy(other->remote, ends->local, sizeof(other->remote));
	other->local_port = ends->remote_port;
	other->remote_port = ends->local_port;
	other->network = ends->network;
}

#define DESCRIPTOR_AT 16 /* in a net.netFD: it begins with a poll.FD, and that with a mutex of two words */
#define WRAPPER_DEPTH 2

/*
 * The ends of a net.Conn: a *net.TCPConn, or what begins with another one, as *tls.Conn and grpc's wrapper around that
 * do. What it is instead has, at that place, no descriptor of a connection.
 */
static __always_inline bool find_ends_of(struct tandem_ends *ends, struct tandem_connection *connection, u64 address)
{
	for (int depth = 0; depth <= WRAPPER_DEPTH && address; depth++) {
		if (find_ends(ends, connection, user_word(user_word(address) + DESCRIPTOR_AT))) {
			if (depth)
				connection->cookie = 0; /* what is sent there is not what the program has written */
			return true;
		}
		address = user_word(address + 8);
	}
	return false;
}

#endif
