/*
 * The few kernel types that our programs read, written by hand instead of dumped from one kernel's BTF.
 * Only the names of structures and fields count: offsets are filled in when a program is loaded (CO-RE), from the
 * running kernel. Fields that are not read are left out.
 */
#ifndef TANDEM_VMLINUX_H
#define TANDEM_VMLINUX_H

typedef _Bool bool;
enum { false = 0, true = 1 };
typedef signed char __s8;
typedef unsigned char __u8;
typedef short __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __s32 s32;
typedef __s64 s64;
typedef __u64 u64;

/* From the kernel's user-space interface (linux/bpf.h): these values never change. */
enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_ARRAY_OF_MAPS = 12,
	BPF_MAP_TYPE_SOCKHASH = 18,
	BPF_MAP_TYPE_SK_STORAGE = 24,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_MAP_TYPE_TASK_STORAGE = 29,
};

enum {
	BPF_NOEXIST = 1,
	BPF_F_NO_PREALLOC = 1U << 0,
	BPF_F_CLONE = 1U << 9,
	BPF_F_MMAPABLE = 1U << 10,
	BPF_LOCAL_STORAGE_GET_F_CREATE = 1ULL << 0,
	BPF_RB_NO_WAKEUP = 1ULL << 0,
};

enum {
	AF_INET = 2,
	AF_INET6 = 10,
	IPPROTO_TCP = 6,
	IPPROTO_UDP = 17,
	TCP_LISTEN = 10,
};

/* Contexts of programs that see packets and sockets: their form never changes either. */
struct bpf_sock {
	__u32 bound_dev_if;
	__u32 family;
	__u32 type;
	__u32 protocol;
	__u32 mark;
	__u32 priority;
	__u32 src_ip4;
	__u32 src_ip6[4];
	__u32 src_port;
	__be16 dst_port;
	__u16 : 16;
	__u32 dst_ip4;
	__u32 dst_ip6[4];
	__u32 state;
	__s32 rx_queue_mapping;
};

struct __sk_buff {
	__u32 len;
	__u32 others[41];
	struct bpf_sock *sk;
};
_Static_assert(__builtin_offsetof(struct __sk_buff, sk) == 168, "as in linux/bpf.h");

/* Contexts of programs that see connections and what is sent on them: their form never changes either. */
struct bpf_sock_ops {
	__u32 op;
	__u32 others[45];
	struct bpf_sock *sk;
};
_Static_assert(__builtin_offsetof(struct bpf_sock_ops, sk) == 184, "as in linux/bpf.h");

struct sk_msg_md {
	void *data;
	void *data_end;
	__u32 others[13];
	__u32 size;
	struct bpf_sock *sk;
};
_Static_assert(__builtin_offsetof(struct sk_msg_md, sk) == 72, "as in linux/bpf.h");

enum {
	SK_DROP = 0,
	SK_PASS = 1,
	BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB = 4,
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	s64 counter;
} atomic64_t;

struct mm_struct;

struct list_head {
	struct list_head *next;
};

struct wait_queue_head {
	struct list_head head;
};

struct wait_queue_entry {
	struct list_head entry;
};

struct socket_wq {
	struct wait_queue_head wait;
};

struct in6_addr {
	__u8 bytes[16];
};

struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	atomic64_t skc_cookie;
};

struct sock {
	struct sock_common __sk_common;
	void *sk_bpf_storage;
	struct socket_wq *sk_wq;
	__u16 sk_protocol;
};

struct tcp_sock {
	u32 write_seq;
	u32 srtt_us;
};

struct socket {
	struct sock *sk;
};

struct inode {
	unsigned short i_mode;
};

struct file {
	struct inode *f_inode;
	void *private_data;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct eventpoll;

struct epoll_filefd {
	int fd;
};

struct epitem {
	struct epoll_filefd ffd;
	struct eventpoll *ep;
};

struct eppoll_entry {
	struct epitem *base;
	struct wait_queue_entry wait;
};

struct rq {
	u64 clock;
};

struct cfs_rq {
	struct rq *rq;
	u64 throttled_clock_self;
	u64 throttled_clock_self_time;
};

struct sched_entity {
	unsigned long long sum_exec_runtime;
	unsigned long long prev_sum_exec_runtime;
	struct cfs_rq *cfs_rq;
};

struct sched_info {
	unsigned long long run_delay;
	unsigned long long last_queued;
};

struct signal_struct {
	atomic_t live;
};

struct thread_struct {
	unsigned long fsbase;
};

struct pt_regs {
	unsigned long di;
	unsigned long orig_ax;
	unsigned long sp;
};

struct task_struct {
	unsigned int __state;
	unsigned in_iowait : 1;
	struct sched_entity se;
	struct sched_info sched_info;
	struct mm_struct *mm;
	struct files_struct *files;
	void *bpf_storage;
	int exit_state;
	int pid;
	int tgid;
	struct signal_struct *signal;
	struct thread_struct thread;
	bool throttled;
};

struct bpf_iter__task_file {
	struct task_struct *task;
	u32 fd;
	struct file *file;
};

#pragma clang attribute pop

#endif
