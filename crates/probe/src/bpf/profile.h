/*
 * What the profiler (profile.bpf.c) and its loader (src/profiler.rs) share. The Rust side is generated from the
 * object's type information, so nothing here is written twice.
 */
#ifndef TANDEM_PROFILE_H
#define TANDEM_PROFILE_H

/* Processes that can be profiled at once. */
#define TANDEM_PROFILED_COUNT 4096
/* Bytes that say which processes are worth a look, by the last bits of their ids. */
#define TANDEM_FILTER_COUNT 4096
/* Frames of a stack: as many as the kernel collects by default. */
#define TANDEM_FRAME_COUNT 127
/* Words at the stack's top: where the return address of a function is that has no frame, or not yet. */
#define TANDEM_TOP_COUNT 2

/* A profiled process: how the span of its current goroutine is found. From the header page of its shared memory. */
struct tandem_profiled {
	long long tls_g_offset;
	unsigned int g_m_offset;
	unsigned int m_curg_offset;
	unsigned int slot_offset;
	unsigned int reserved;
};

enum tandem_sample_kind {
	TANDEM_SAMPLE_CPU = 0, /* it ran */
	TANDEM_SAMPLE_BLOCKED = 1, /* it was blocked in a system call, or by a fault */
};

/* A sample: a stack, and whose it is. `frames` goes as far as the stack was read. */
struct tandem_sample {
	unsigned long long time; /* CLOCK_MONOTONIC, ns: now, or when it was blocked */
	unsigned long long weight; /* the time that it stands for, ns */
	unsigned int process;
	unsigned int thread;
	enum tandem_sample_kind kind;
	unsigned char in_kernel;
	unsigned char in_span; /* trace and span are known */
	unsigned char has_top; /* so are the words at the top */
	unsigned char depth; /* frames */
	unsigned int reserved;
	int syscall; /* in the kernel: number of the system call; negative: a fault or an interrupt */
	unsigned char trace_id[16];
	unsigned char span_id[8];
	unsigned long long top[TANDEM_TOP_COUNT];
	unsigned long long frames[TANDEM_FRAME_COUNT]; /* the innermost first */
};

/* A thread that was blocked while it worked for a goroutine, and was chosen. */
struct tandem_blocked {
	unsigned long long since; /* CLOCK_MONOTONIC, ns; 0: it is not blocked, or not chosen */
	unsigned long long run_delay; /* its sched_info.run_delay at that moment, ns */
	unsigned int shift; /* one of so many (a power of two) was chosen */
	unsigned int reserved;
	struct tandem_sample sample;
};

/* Of one CPU. */
struct tandem_profile_statistics {
	unsigned long long samples; /* handed over */
	unsigned long long lost; /* the buffer was full */
	unsigned long long failed; /* no stack could be read */
	unsigned long long blocked; /* times that a thread was blocked while it worked for a goroutine */
	unsigned long long chosen; /* of these, those whose stack was read */
	/* The clock: when it ticked first, CLOCK_MONOTONIC ns, and how many periods ago that was at the last tick. */
	unsigned long long clock_start;
	unsigned long long clock_periods;
	unsigned long long clock_period; /* the period that these are of, ns */
	/* How many are chosen: */
	unsigned long long window; /* when the current 100 ms began */
	unsigned int chosen_in_window;
	unsigned int shift; /* one of so many (a power of two) */
};

#endif
