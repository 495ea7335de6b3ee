/*
 * Which connection lies behind a descriptor of the process that runs. The two ends of one that stays on this machine
 * find the same, each from its side.
 */
#ifndef TANDEM_CONNECTION_H
#define TANDEM_CONNECTION_H

#include "operation.h"

#define FILE_TYPE 0170000
#define FILE_IS_SOCKET 0140000

/* Bytes that are read of what all sockets begin with: more than that is long. */
#define SOCKET_COMMON_SPACE 256

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

/* The open file behind a descriptor; 0: there is none. */
static __always_inline struct file *find_file(u32 descriptor)
{
	const struct fdtable *table = bpf_get_current_task_btf()->files->fdt;
	struct file *file = 0;

	if (descriptor >= table->max_fds || bpf_probe_read_kernel(&file, sizeof(file), table->fd + descriptor))
		return 0;
	return file;
}

/* A field of what all sockets begin with, which has been read. */
#define SOCKET_FIELD(bytes, type, field) \
	(*(type *)((bytes) + (bpf_core_field_offset(struct sock_common, field) & (SOCKET_COMMON_SPACE - 1))))

/*
 * The ends of the TCP connection behind a descriptor; false: there is no connection. Words that lie together are read
 * at once, into the draft's other structure.
 */
static __always_inline bool find_ends(struct tandem_work *work, struct tandem_ends *ends,
				      struct tandem_connection *connection, u32 descriptor)
{
	struct file *file = find_file(descriptor);
	u32 size = bpf_core_type_size(struct sock_common);
	u8 *common = work->draft->other;
	struct socket *socket;
	struct sock *sk;
	u16 family;

	if (!file || (BPF_CORE_READ(file, f_inode, i_mode) & FILE_TYPE) != FILE_IS_SOCKET)
		return false;
	socket = BPF_CORE_READ(file, private_data);
	sk = BPF_CORE_READ(socket, sk);
	if (!sk || bpf_probe_read_kernel(common, size > SOCKET_COMMON_SPACE ? SOCKET_COMMON_SPACE : size, sk))
		return false;
	family = SOCKET_FIELD(common, u16, skc_family);
	if ((family != AF_INET && family != AF_INET6) || BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP)
		return false;
	if (family == AF_INET) {
		map_ipv4(ends->local, SOCKET_FIELD(common, u32, skc_rcv_saddr));
		map_ipv4(ends->remote, SOCKET_FIELD(common, u32, skc_daddr));
	} else {
		__builtin_memcpy(ends->local, &SOCKET_FIELD(common, u64, skc_v6_rcv_saddr), sizeof(ends->local));
		__builtin_memcpy(ends->remote, &SOCKET_FIELD(common, u64, skc_v6_daddr), sizeof(ends->remote));
	}
	ends->local_port = SOCKET_FIELD(common, u16, skc_num);
	ends->remote_port = __builtin_bswap16(SOCKET_FIELD(common, u16, skc_dport));
	connection->cookie = SOCKET_FIELD(common, u64, skc_cookie);
	connection->position = BPF_CORE_READ((struct tcp_sock *)sk, write_seq);
	/* Every network namespace has a loopback of its own. */
	ends->network = is_loopback(ends->local) ? BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum) : 0;
	return true;
}

/* The same connection from its other end. */
static __always_inline void turn_round(struct tandem_ends *ends)
{
	u64 *local = (u64 *)ends->local, *remote = (u64 *)ends->remote, word;
	u16 port = ends->local_port;

	for (int half = 0; half < 2; half++) {
		word = local[half];
		local[half] = remote[half];
		remote[half] = word;
	}
	ends->local_port = ends->remote_port;
	ends->remote_port = port;
}

#define DESCRIPTOR_AT 16 /* in a net.netFD: it begins with a poll.FD, and that with a mutex of two words */
#define WRAPPER_DEPTH 2

/*
 * The ends of a net.Conn: a *net.TCPConn, or what begins with another one, as *tls.Conn and grpc's wrapper around that
 * do. What it is instead has, at that place, no descriptor of a connection.
 */
static __always_inline bool find_ends_of(struct tandem_work *work, struct tandem_ends *ends,
					 struct tandem_connection *connection, u64 address)
{
	for (int depth = 0; depth <= WRAPPER_DEPTH && address; depth++) {
		if (find_ends(work, ends, connection, user_word(user_word(address) + DESCRIPTOR_AT))) {
			if (depth)
				connection->cookie = 0; /* what is sent there is not what the program has written */
			return true;
		}
		address = user_word(address + 8);
	}
	return false;
}

#endif
