// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The scheduler probe: charges the time that a goroutine's thread is off the CPU to the goroutine's account.
 *
 * One hook, sched_switch, sees both ends of every absence. When a watched thread leaves the CPU, its goroutine is found
 * by thread-local storage and remembered with the task; when the thread comes back, the absence is split into waiting
 * for a CPU and being blocked, the latter by the class of the system call. Accounts only grow; the program that owns
 * them takes differences. Time of a thread that runs no goroutine with an account belongs to nobody.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "intf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Class by system call number, filled in by the loader. */
const volatile u8 class_of_syscall[TANDEM_SYSCALL_COUNT];

/*
 * Not 0 where a process whose id ends so may be watched: one byte is all that is looked at when a thread of another one
 * leaves the CPU. Written by the loader.
 */
u8 may_be_watched[TANDEM_FILTER_COUNT];

struct accounts {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, TANDEM_ACCOUNT_COUNT);
	__uint(key_size, sizeof(u32)); /* sizes: clang leaves types out that only an inner map names */
	__uint(value_size, sizeof(struct tandem_account));
};

/* Process id, as the initial pid namespace counts, to what is known of the process. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TANDEM_WATCHED_COUNT);
	__type(key, u32);
	__type(value, struct tandem_watched);
} processes SEC(".maps");

/*
 * The accounts of its goroutines. One map a process: none sees another's. Who adds one waits until no program
 * runs that may have seen the place empty, some milliseconds; so maps are added before there are processes for them.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, TANDEM_WATCHED_COUNT);
	__type(key, u32);
	__array(values, struct accounts);
} accounts_of SEC(".maps");

/* Address of an event poll to the id of the process whose Go runtime waits in it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TANDEM_WATCHED_COUNT);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u64);
	__type(value, u32);
} pollers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct tandem_away);
} away_tasks SEC(".maps");

/* System calls by span. Only with the programs of the detail mode, as what follows. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, TANDEM_CALLER_COUNT);
	__type(key, struct tandem_caller);
	__type(value, struct tandem_called);
} callers SEC(".maps");

/* Sockets of watched processes that one of their goroutines waited for. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct tandem_awaited);
} awaited_sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct tandem_statistics);
} statistics SEC(".maps");

static __always_inline struct tandem_watched *watched(u32 process_id)
{
	if (!may_be_watched[process_id & (TANDEM_FILTER_COUNT - 1)])
		return 0;
	return bpf_map_lookup_elem(&processes, &process_id);
}

static __always_inline bool read_user(u64 *value, u64 address, struct tandem_statistics *counts)
{
	if (bpf_probe_read_user(value, sizeof(*value), (void *)address) == 0)
		return true;
	counts->failed_reads++;
	return false;
}

/*
 * Account index of the goroutine that the thread works for; 0: none. While Go itself counts the goroutine's time (it
 * parks, or is being resumed, and the thread loses the CPU over that) it is nobody's here: no time is counted twice.
 */
static __always_inline u32 account_of(struct task_struct *task, const struct tandem_watched *process,
				      struct tandem_statistics *counts)
{
	u64 thread_pointer = task->thread.fsbase;
	u64 g, m, curg, word;

	if (!thread_pointer) /* a new thread that has no thread-local storage yet */
		return 0;
	if (!read_user(&g, thread_pointer + process->tls_g_offset, counts) || !g)
		return 0;
	/* One read of the account word, so that index and on belong together. Behind runtime.g0 there is none. */
	if (g != process->g0_address) {
		if (!read_user(&word, g + process->account_offset, counts))
			return 0;
		if (word) /* an index, for life: an ordinary goroutine, in a span or not */
			return word >> 32 == TANDEM_ACCOUNT_ON ? (u32)word : 0;
	}
	/* On its g0 or gsignal the thread works for m.curg; the scheduler, which works for nobody, has cleared that. */
	if (!read_user(&m, g + process->g_m_offset, counts) || !m)
		return 0;
	if (!read_user(&curg, m + process->m_curg_offset, counts) || !curg || curg == g)
		return 0;
	if (!read_user(&word, curg + process->account_offset, counts) || word >> 32 != TANDEM_ACCOUNT_ON)
		return 0;
	counts->via_curg++;
	return (u32)word;
}

static __always_inline bool waits_for_device(struct task_struct *task)
{
	return bpf_core_field_exists(task->in_iowait) && BPF_CORE_READ_BITFIELD(task, in_iowait);
}

/*
 * For how long threads of its control group, on its CPU, have been kept from running because the group had used up its
 * time, its ancestors' limits included. Grows while such threads are kept.
 */
static __always_inline u64 throttled_time(struct task_struct *task)
{
	struct cfs_rq *queue = task->se.cfs_rq;
	u64 since, clock;

	if (!bpf_core_field_exists(queue->throttled_clock_self_time))
		return 0;
	since = queue->throttled_clock_self;
	clock = queue->rq->clock;
	return queue->throttled_clock_self_time + (since && clock > since ? clock - since : 0);
}

#define EPOLL_WAIT 232
#define EPOLL_PWAIT 281

/* A thread that goes to sleep in the runtime's poller shows which one that is. */
static __noinline void learn_poller(struct task_struct *task, struct tandem_watched *process)
{
	struct pt_regs *registers = (struct pt_regs *)bpf_task_pt_regs(task);
	u32 descriptor = registers->di, process_id = task->tgid;
	struct file **files, *file = 0;
	u64 poller = 0;

	if (registers->orig_ax != EPOLL_PWAIT && registers->orig_ax != EPOLL_WAIT)
		return;
	if (descriptor >= BPF_CORE_READ(task, files, fdt, max_fds))
		return;
	files = BPF_CORE_READ(task, files, fdt, fd);
	if (bpf_probe_read_kernel(&file, sizeof(file), files + descriptor) || !file)
		return;
	poller = (u64)BPF_CORE_READ(file, private_data);
	if (poller && bpf_map_update_elem(&pollers, &poller, &process_id, 0) == 0)
		process->poller = poller;
}

static __always_inline void leaves(struct task_struct *task, bool preempted)
{
	struct tandem_watched *process = watched(task->tgid);
	struct tandem_statistics *counts;
	u32 zero = 0, account;
	struct tandem_away *away;
	long syscall;

	if (!process)
		return;
	counts = bpf_map_lookup_elem(&statistics, &zero);
	if (!counts)
		return;
	counts->switches++;
	away = bpf_task_storage_get(&away_tasks, task, 0, 0);
	if (away && away->account) { /* its return was not seen: how long it was away is not known */
		counts->lost++;
		away->account = 0;
	}
	account = account_of(task, process, counts);
	if (!account) {
		if (!process->poller)
			learn_poller(task, process);
		return;
	}
	counts->attributed++;
	if (!away)
		away = bpf_task_storage_get(&away_tasks, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!away) {
		counts->lost++;
		return;
	}
	away->since = bpf_ktime_get_ns();
	away->run_delay = task->sched_info.run_delay;
	away->queue = (u64)task->se.cfs_rq;
	away->throttled = throttled_time(task);
	away->account = account;
	syscall = ((struct pt_regs *)bpf_task_pt_regs(task))->orig_ax;
	if (preempted || task->__state == 0) /* by an interrupt on its way back to user space, the latter */
		away->class = TANDEM_CLASS_RUN_QUEUE;
	else if (syscall < 0) /* entered the kernel by a fault */
		away->class = TANDEM_CLASS_MAJOR_FAULT;
	else if (waits_for_device(task) && process->parts > TANDEM_PART_BLOCK_IO)
		away->class = TANDEM_CLASS_BLOCK_IO;
	else
		away->class = class_of_syscall[syscall & (TANDEM_SYSCALL_COUNT - 1)];
}

/*
 * Of so long in a run queue, the time that the control group was throttled. On another CPU than before nothing is known
 * of it. Since Linux 6.18 a thread that wakes up in a throttled group runs until it is about to leave the kernel, so a
 * wait that ends has no such time; before, it may have as much as the group was throttled meanwhile.
 */
static __always_inline u64 throttled_of(u64 queued, const struct tandem_away *away,
					const struct tandem_watched *process, struct task_struct *task)
{
	u64 throttled;

	if (away->queue != (u64)task->se.cfs_rq || process->parts <= TANDEM_PART_THROTTLED)
		return 0;
	if (away->class != TANDEM_CLASS_RUN_QUEUE && bpf_core_field_exists(task->throttled))
		return 0;
	throttled = throttled_time(task) - away->throttled;
	return throttled < queued ? throttled : queued;
}

static __always_inline void charge(struct tandem_account *account, struct tandem_away *away,
				   const struct tandem_watched *process, struct task_struct *task)
{
	u64 *parts = (u64 *)account;
	u64 total = bpf_ktime_get_ns() - away->since;
	u64 queued_at = task->sched_info.last_queued;
	u64 clock = task->se.cfs_rq->rq->clock;
	u64 queued, throttled;

	away->off += total;
	if (away->class == TANDEM_CLASS_RUN_QUEUE) {
		throttled = throttled_of(total, away, process, task);
		account->throttled += throttled;
		account->run_queue += total - throttled;
		account->switches_involuntary++;
		return;
	}
	/* Waits on queues that it was moved away from, then on this one; the kernel adds the latter only after us. */
	queued = task->sched_info.run_delay - away->run_delay;
	if (queued_at && clock > queued_at)
		queued += clock - queued_at;
	if (queued > total)
		queued = total;
	throttled = throttled_of(queued, away, process, task);
	account->throttled += throttled;
	account->run_queue += queued - throttled;
	parts[away->class & (TANDEM_CLASS_COUNT - 1)] += total - queued;
	account->switches_voluntary++;
}

static __always_inline void returns(struct task_struct *task)
{
	const struct tandem_watched *process;
	struct tandem_statistics *counts;
	struct tandem_account *account;
	struct tandem_away *away;
	u32 zero = 0, index;
	void *accounts;

	if (!task->bpf_storage) /* nobody's that is watched */
		return;
	away = bpf_task_storage_get(&away_tasks, task, 0, 0);
	if (!away || !away->account)
		return;
	index = away->account;
	away->account = 0;
	process = watched(task->tgid);
	if (!process) /* not watched any more */
		return;
	accounts = bpf_map_lookup_elem(&accounts_of, &process->accounts);
	if (!accounts)
		return;
	account = bpf_map_lookup_elem(accounts, &index);
	if (account)
		charge(account, away, process, task);
	else if ((counts = bpf_map_lookup_elem(&statistics, &zero)))
		counts->lost++;
}

/* The last thread of a dead process leaves the CPU for ever: its id may soon be another's. */
static __always_inline void forget_if_dead(struct task_struct *task)
{
	u32 process_id = task->tgid;
	const struct tandem_watched *process;
	u64 poller;

	if (!task->exit_state || task->signal->live.counter != 0)
		return;
	process = bpf_map_lookup_elem(&processes, &process_id);
	if (!process)
		return;
	poller = process->poller;
	bpf_map_delete_elem(&pollers, &poller);
	bpf_map_delete_elem(&processes, &process_id);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch, bool preempted, struct task_struct *previous, struct task_struct *next)
{
	if (previous->mm)
		leaves(previous, preempted);
	else
		forget_if_dead(previous);
	returns(next);
	return 0;
}

static __always_inline struct tandem_account *account_at(const struct tandem_watched *process, u32 index)
{
	void *accounts = bpf_map_lookup_elem(&accounts_of, &process->accounts);

	return accounts ? bpf_map_lookup_elem(accounts, &index) : 0;
}

/* Entries of a socket's wait queue that are looked at: its pollers, and threads that block on it. */
#define WAITERS 8

/*
 * The kernel sends something again. Whose connection it is, the socket's wait queue says: Go's runtime has every
 * descriptor in its poller. Entries of other kinds are taken for pollers as well; they lead to none that is known. The
 * woven runtime looks at the count before and after it waits for the descriptor.
 */
SEC("?tp_btf/tcp_retransmit_skb")
int BPF_PROG(on_retransmit, struct sock *socket)
{
	const struct tandem_watched *process;
	struct list_head *head, *entry;
	struct socket_wq *queue = socket->sk_wq;
	struct tandem_account *account;
	struct epitem *item;
	u32 *process_id, index;
	u64 poller;

	if (!queue)
		return 0;
	head = __builtin_preserve_access_index(&queue->wait.head);
	entry = BPF_CORE_READ(head, next);
	for (int i = 0; i < WAITERS && entry != head; i++) {
		struct eppoll_entry *waiter = (void *)entry - bpf_core_field_offset(struct eppoll_entry, wait) -
					      bpf_core_field_offset(struct wait_queue_entry, entry);

		item = BPF_CORE_READ(waiter, base);
		poller = (u64)BPF_CORE_READ(item, ep);
		process_id = poller ? bpf_map_lookup_elem(&pollers, &poller) : 0;
		if (process_id) {
			process = bpf_map_lookup_elem(&processes, process_id);
			if (!process || process->poller != poller)
				return 0;
			index = BPF_CORE_READ(item, ffd.fd);
			account = account_at(process, index);
			if (account)
				__sync_fetch_and_add(&account->connection_resent, 1);
			return 0;
		}
		entry = BPF_CORE_READ(entry, next);
	}
	return 0;
}

#define IPPROTO_TCP 6

/* The agent has the descriptors of a watched process gone through, once a second: how far away is the other end? */
SEC("?iter/task_file")
int on_descriptor(struct bpf_iter__task_file *context)
{
	struct task_struct *task = context->task;
	struct file *file = context->file;
	const struct tandem_watched *process;
	struct tandem_account *account;
	struct socket *socket;
	struct sock *peer;
	u32 process_id, rtt;

	if (!task || !file)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	peer = socket->sk;
	if (!peer || peer->sk_protocol != IPPROTO_TCP)
		return 0;
	rtt = BPF_CORE_READ((struct tcp_sock *)peer, srtt_us) >> 3;
	if (!rtt)
		return 0;
	process_id = task->tgid;
	process = bpf_map_lookup_elem(&processes, &process_id);
	if (!process)
		return 0;
	account = account_at(process, context->fd);
	if (!account)
		return 0;
	account->connection_rtt = rtt;
	account->connection_sampled = bpf_ktime_get_ns() >> 24;
	return 0;
}

#define EAGAIN 11

/*
 * The detail mode, from here on. A goroutine that finds a socket empty parks until the runtime's poller sees data
 * there; when it reads them it is known when they came, and, from the goroutine's own stamps, when the poller saw them.
 * What lies in between is time in which the data were there and nobody looked.
 */
SEC("?tp_btf/sk_data_ready")
int BPF_PROG(on_data, struct sock *socket)
{
	struct tandem_awaited *awaited;

	if (!socket->sk_bpf_storage) /* nobody's that is watched */
		return 0;
	awaited = bpf_sk_storage_get(&awaited_sockets, socket, 0, 0);
	if (awaited && awaited->account && !awaited->arrived)
		awaited->arrived = bpf_ktime_get_ns();
	return 0;
}

/* The goroutine that the current thread runs, when it has an account that is on. */
static __always_inline bool current_goroutine(struct tandem_goroutine *goroutine, const struct tandem_watched *process)
{
	struct task_struct *task = bpf_get_current_task_btf();
	u64 thread_pointer = task->thread.fsbase, g;

	if (!thread_pointer || process->parts <= TANDEM_PART_NETWORK_UNREAD)
		return false;
	if (bpf_probe_read_user(&g, sizeof(g), (void *)(thread_pointer + process->tls_g_offset)))
		return false;
	if (!g || g == process->g0_address)
		return false;
	if (bpf_probe_read_user(goroutine, sizeof(*goroutine), (void *)(g + process->account_offset)))
		return false;
	return goroutine->word >> 32 == TANDEM_ACCOUNT_ON && (u32)goroutine->word;
}

SEC("?tp_btf/sock_recv_length")
int BPF_PROG(on_receive, struct sock *socket, int result, int flags)
{
	const struct tandem_watched *process;
	struct tandem_goroutine goroutine;
	struct tandem_awaited *awaited;
	struct tandem_account *account;
	u64 arrived, runnable;
	u32 index;
	void *accounts;

	if (result != -EAGAIN && !socket->sk_bpf_storage) /* nobody waited for it */
		return 0;
	process = watched(bpf_get_current_pid_tgid() >> 32);
	if (!process)
		return 0;
	if (result == -EAGAIN) {
		if (!current_goroutine(&goroutine, process))
			return 0;
		awaited = bpf_sk_storage_get(&awaited_sockets, socket, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
		if (!awaited)
			return 0;
		awaited->arrived = 0;
		awaited->runnable = goroutine.runnable;
		awaited->account = (u32)goroutine.word;
		return 0;
	}
	awaited = bpf_sk_storage_get(&awaited_sockets, socket, 0, 0);
	if (!awaited || !awaited->account)
		return 0;
	index = awaited->account;
	arrived = awaited->arrived;
	runnable = awaited->runnable;
	awaited->account = 0;
	if (!arrived || !current_goroutine(&goroutine, process) || (u32)goroutine.word != index)
		return 0;
	/* From the data's coming until it ran again, less the time that it waited for its turn in Go. */
	arrived += goroutine.runnable - runnable;
	if (goroutine.stamp <= arrived)
		return 0;
	accounts = bpf_map_lookup_elem(&accounts_of, &process->accounts);
	if (!accounts)
		return 0;
	account = bpf_map_lookup_elem(accounts, &index);
	if (account)
		account->network_unread += goroutine.stamp - arrived;
	return 0;
}

/* Goes on in a system call, or a page fault, of a goroutine with an account; 0: of nobody, whose time is not looked at.
 */
static __always_inline struct tandem_away *begins(struct task_struct *task, u32 *account)
{
	const struct tandem_watched *process = watched(task->tgid);
	struct tandem_statistics *counts;
	u32 zero = 0;

	if (!process || process->parts <= TANDEM_PART_MINOR_FAULT)
		return 0;
	counts = bpf_map_lookup_elem(&statistics, &zero);
	if (!counts)
		return 0;
	*account = account_of(task, process, counts);
	if (!*account)
		return 0;
	return bpf_task_storage_get(&away_tasks, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
}

static __always_inline void fault_begins(void)
{
	struct tandem_away *away;
	u32 account;

	away = begins(bpf_get_current_task_btf(), &account);
	if (!away)
		return;
	away->faulting = account;
	away->off_before = away->off;
	away->faulted = bpf_ktime_get_ns();
}

SEC("?tp_btf/page_fault_user")
int BPF_PROG(on_fault)
{
	fault_begins();
	return 0;
}

/* The kernel's own access to memory of the program, in a system call. */
SEC("?tp_btf/page_fault_kernel")
int BPF_PROG(on_kernel_fault)
{
	fault_begins();
	return 0;
}

/* The software event that counts page faults that waited for no device; it comes when the page is there. */
SEC("?perf_event")
int on_fault_end(void *context)
{
	struct task_struct *task = bpf_get_current_task_btf();
	const struct tandem_watched *process;
	struct tandem_account *account;
	struct tandem_away *away;
	u64 spent;

	if (!task->bpf_storage)
		return 0;
	away = bpf_task_storage_get(&away_tasks, task, 0, 0);
	if (!away || !away->faulted)
		return 0;
	spent = bpf_ktime_get_ns() - away->faulted;
	away->faulted = 0;
	if (spent < away->off - away->off_before)
		return 0;
	process = watched(task->tgid);
	account = process ? account_at(process, away->faulting) : 0;
	if (!account)
		return 0;
	account->minor_fault += spent - (away->off - away->off_before);
	account->minor_faults++;
	return 0;
}

SEC("?tp_btf/sys_enter")
int BPF_PROG(on_call, struct pt_regs *registers, long number)
{
	struct tandem_away *away;
	u32 account;

	away = begins(bpf_get_current_task_btf(), &account);
	if (!away)
		return 0;
	away->calling = number + 1;
	away->called = bpf_ktime_get_ns();
	return 0;
}

/* What is known of the span that a goroutine works for; `span` lies behind the record's first words and its trace id.
 */
struct context {
	u64 first;
	u64 trace[2];
	u64 span;
	u8 valid;
	u8 others[7];
	u64 home; /* the slot of the goroutine that began it */
};

/* The span that the thread's goroutine has begun and not ended. */
static __always_inline u64 current_span(struct task_struct *task, const struct tandem_watched *process)
{
	struct context context;
	u64 g = 0, m = 0, curg = 0, record = 0;

	if (bpf_probe_read_user(&g, sizeof(g), (void *)(task->thread.fsbase + process->tls_g_offset)) || !g)
		return 0;
	if (bpf_probe_read_user(&m, sizeof(m), (void *)(g + process->g_m_offset)) || !m)
		return 0;
	if (bpf_probe_read_user(&curg, sizeof(curg), (void *)(m + process->m_curg_offset)) || !curg)
		return 0;
	if (bpf_probe_read_user(&record, sizeof(record), (void *)(curg + process->slot_offset)) || !record)
		return 0;
	if (bpf_probe_read_user(&context, sizeof(context), (void *)record) || !context.valid)
		return 0;
	return context.home == curg + process->slot_offset ? context.span : 0;
}

SEC("?tp_btf/sys_exit")
int BPF_PROG(on_call_end)
{
	struct task_struct *task = bpf_get_current_task_btf();
	const struct tandem_watched *process;
	struct tandem_away *away;
	static const struct tandem_called none;
	struct tandem_caller caller = {};
	struct tandem_called *called;
	u32 number;
	u64 spent;
	int i;

	if (!task->bpf_storage)
		return 0;
	away = bpf_task_storage_get(&away_tasks, task, 0, 0);
	if (!away || !away->called)
		return 0;
	spent = bpf_ktime_get_ns() - away->called;
	away->called = 0;
	number = away->calling; /* the registers no longer say it after a signal's handler */
	process = watched(task->tgid);
	if (!process)
		return 0;
	caller.span = current_span(task, process);
	caller.process = task->tgid;
	if (!caller.span)
		return 0;
	called = bpf_map_lookup_elem(&callers, &caller);
	if (!called) {
		bpf_map_update_elem(&callers, &caller, &none, BPF_NOEXIST);
		called = bpf_map_lookup_elem(&callers, &caller);
		if (!called)
			return 0;
	}
	for (i = 0; i < TANDEM_NAMED_SYSCALLS; i++) {
		if (!called->by_number[i].number)
			called->by_number[i].number = number;
		if (called->by_number[i].number == number)
			break;
	}
	called->by_number[i].count++;
	called->by_number[i].time += spent;
	return 0;
}
