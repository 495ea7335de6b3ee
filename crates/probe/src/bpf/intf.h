/*
 * What the scheduler probe (anatomy.bpf.c) and its loader (src/kernel.rs) share. The Rust side is generated from the
 * object's type information, so nothing here is written twice. The account itself is in record.h: the program that is
 * watched reads it too.
 */
#ifndef TANDEM_INTF_H
#define TANDEM_INTF_H

#include "record.h"

/* Processes that can be watched at once. */
#define TANDEM_WATCHED_COUNT 4096
/* Entries of the filter of process ids: a power of two. */
#define TANDEM_FILTER_COUNT 4096
/* Entries of the table of system calls: a power of two above the highest number of amd64. */
#define TANDEM_SYSCALL_COUNT 512

/* Spans whose system calls are kept until the agent has read their records; the least recently used go. */
#define TANDEM_CALLER_COUNT 16384
/* System calls of one span that are kept by name; all further ones together. */
#define TANDEM_NAMED_SYSCALLS 8

/* Where a thread's time away from the CPU goes: the index of an 8-byte counter in struct tandem_account. */
enum tandem_class {
	TANDEM_CLASS_RUN_QUEUE = 0,
	TANDEM_CLASS_FILE = 1,
	TANDEM_CLASS_NETWORK = 2,
	TANDEM_CLASS_FUTEX = 3,
	TANDEM_CLASS_LOCK = 4,
	TANDEM_CLASS_SLEEP = 5,
	TANDEM_CLASS_OTHER = 6,
	TANDEM_CLASS_MAJOR_FAULT = 7,
	/* Two of the account's counters are no times. */
	TANDEM_CLASS_BLOCK_IO = 10,
	TANDEM_CLASS_THROTTLED = 11,
	TANDEM_CLASS_COUNT = 16, /* a power of two: the programs mask with it */
};

/* A watched process: how its goroutines are found. From the header page of its shared memory. */
struct tandem_watched {
	long long tls_g_offset;
	unsigned long long g0_address;
	unsigned int g_m_offset;
	unsigned int m_curg_offset;
	unsigned int account_offset;
	unsigned int slot_offset;
	unsigned int reserved;
	unsigned int accounts; /* its index in accounts_of */
	unsigned long long parts; /* how many parts of the anatomy it tells apart */
	unsigned long long poller; /* address of the event poll that its Go runtime waits in; 0: not seen yet */
};

/* A thread that left the CPU while it ran a goroutine with an account. */
struct tandem_away {
	unsigned long long since; /* CLOCK_MONOTONIC, ns */
	unsigned long long run_delay; /* its sched_info.run_delay at that moment, ns */
	unsigned long long throttled; /* what throttled_time said at that moment, ns */
	unsigned long long queue; /* address of the run queue that it said it of */
	/* With the detail mode only. */
	unsigned long long off; /* all time off the CPU that was charged, ns; only ever grows */
	unsigned long long called; /* when its system call began; 0: in none that counts */
	unsigned long long faulted; /* when its page fault began; 0: in none that counts */
	unsigned long long off_before; /* off at that moment */
	unsigned int account; /* account index; 0: not away, or nobody's time */
	enum tandem_class class;
	unsigned int faulting; /* whose page fault it is */
	unsigned int calling; /* number of the system call, and 1 */
};

/* A span of a watched process: what its system calls are kept by. */
struct tandem_caller {
	unsigned long long span; /* its id */
	unsigned int process;
	unsigned int reserved;
};

/* System calls of one number. */
struct tandem_syscalls {
	unsigned int number; /* and 1; 0: of no number yet, or of all others */
	unsigned int count;
	unsigned long long time; /* ns */
};

/* System calls of a span. The last element has all that found no place. */
struct tandem_called {
	struct tandem_syscalls by_number[TANDEM_NAMED_SYSCALLS + 1];
};

/* What is known of the account of the goroutine that waits for a socket; `stamp` and what follows lie behind its word.
 */
struct tandem_goroutine {
	unsigned long long word; /* account index in the low half, on in the high half */
	unsigned long long stamp; /* when it last began to run, CLOCK_MONOTONIC ns */
	unsigned long long runnable; /* for how long it has been runnable in Go, ns */
};

/* A socket that a watched process wanted to read and found empty. */
struct tandem_awaited {
	unsigned long long arrived; /* CLOCK_MONOTONIC, ns; 0: nothing yet */
	unsigned long long runnable; /* of the goroutine, when it found nothing */
	unsigned int account; /* its account index; 0: nobody waits */
	unsigned int reserved;
};

/* What the probe did on one CPU, for watched processes only. */
struct tandem_statistics {
	unsigned long long switches; /* times a thread left the CPU */
	unsigned long long attributed; /* of these: on behalf of a goroutine with an account */
	unsigned long long via_curg; /* of these: the thread was on its g0 or gsignal */
	unsigned long long failed_reads; /* user memory that could not be read */
	unsigned long long lost; /* attributed, but no memory for the thread's state, no such account, or no return */
};

#define TANDEM_CLASS_IS(class, field) \
	_Static_assert(__builtin_offsetof(struct tandem_account, field) == 8 * (class), #field)
TANDEM_CLASS_IS(TANDEM_CLASS_RUN_QUEUE, run_queue);
TANDEM_CLASS_IS(TANDEM_CLASS_FILE, blocked_file);
TANDEM_CLASS_IS(TANDEM_CLASS_NETWORK, blocked_network);
TANDEM_CLASS_IS(TANDEM_CLASS_FUTEX, blocked_futex);
TANDEM_CLASS_IS(TANDEM_CLASS_LOCK, blocked_lock);
TANDEM_CLASS_IS(TANDEM_CLASS_SLEEP, blocked_sleep);
TANDEM_CLASS_IS(TANDEM_CLASS_OTHER, blocked_other);
TANDEM_CLASS_IS(TANDEM_CLASS_MAJOR_FAULT, major_fault);
TANDEM_CLASS_IS(TANDEM_CLASS_BLOCK_IO, block_io);
TANDEM_CLASS_IS(TANDEM_CLASS_THROTTLED, throttled);

#endif
