// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The profiler: now and then looks at what watched processes do, and hands their stacks over, each with the span that
 * the goroutine is in.
 *
 * on_clock runs on each CPU so many times a second: its samples stand for equal times on a CPU. on_block sees threads
 * leave the CPU in the middle of a goroutine's work, and come back: its samples stand for times blocked. Neither writes
 * anything to a watched process. Where a time goes is decided by chance with the right odds, so that sums are right
 * however few samples there are.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "profile.h"
#include "goroutine.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* The time between two samples, ns. The loader fills it in, and changes it while the clock ticks. */
volatile u32 period = 10000000;

/* As in anatomy.bpf.c: not 0 where a process whose id ends so may be profiled. Written by the loader. */
u8 may_be_profiled[TANDEM_FILTER_COUNT];

/* In a window of 100 ms, so many blocked threads' stacks are read on a CPU; beyond that, of every other one, and so on.
 */
#define WINDOW 100000000
#define MOST_IN_WINDOW 50
#define LARGEST_SHIFT 12

#define BPF_F_USER_STACK (1ULL << 8)

/* What the hook on the clock is given: the registers at that moment, in the form of the kernel's user-space interface.
 */
struct tandem_clock_context {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
	u64 sample_period;
	u64 address;
};

/* Process id, as the initial pid namespace counts, to what is known of the process. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TANDEM_PROFILED_COUNT);
	__type(key, u32);
	__type(value, struct tandem_profiled);
} profiled SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20); /* the loader says more where there are many CPUs */
} samples SEC(".maps");

/* Where a sample is put together. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct tandem_sample);
} drafts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct tandem_blocked);
} blocked_tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct tandem_profile_statistics);
} profile_counts SEC(".maps");

static __always_inline const struct tandem_profiled *profile_of(u32 process_id)
{
	if (!may_be_profiled[process_id & (TANDEM_FILTER_COUNT - 1)])
		return 0;
	return bpf_map_lookup_elem(&profiled, &process_id);
}

/* Whose the sample is: the span that the goroutine is in, while it runs. */
static __always_inline void name_span(struct tandem_sample *sample, u64 goroutine,
				      const struct tandem_profiled *process)
{
	struct tandem_context_record record;

	if (!read_context(&record, goroutine, process))
		return;
	__builtin_memcpy(sample->trace_id, record.trace_id, sizeof(record.trace_id));
	__builtin_memcpy(sample->span_id, record.span_id, sizeof(record.span_id));
	sample->in_span = 1;
}

/* The stack of the current thread. */
static __always_inline bool read_stack(void *context, struct tandem_sample *sample, u64 stack_pointer)
{
	long size = bpf_get_stack(context, sample->frames, sizeof(sample->frames), BPF_F_USER_STACK);

	if (size <= 0)
		return false;
	sample->depth = size / sizeof(u64);
	if (!bpf_probe_read_user(sample->top, sizeof(sample->top), (void *)stack_pointer))
		sample->has_top = 1;
	return true;
}

static __always_inline void begin(struct tandem_sample *sample, struct task_struct *task, enum tandem_sample_kind kind)
{
	sample->time = bpf_ktime_get_ns();
	sample->weight = 0;
	sample->process = task->tgid;
	sample->thread = task->pid;
	sample->kind = kind;
	sample->in_kernel = sample->in_span = sample->has_top = 0;
	sample->depth = 0;
	sample->syscall = -1;
}

static __always_inline void hand_over(struct tandem_sample *sample, struct tandem_profile_statistics *counts)
{
	u64 size = __builtin_offsetof(struct tandem_sample, frames) + 8 * (u64)(sample->depth & 127);

	if (bpf_ringbuf_output(&samples, sample, size, BPF_RB_NO_WAKEUP))
		counts->lost++;
	else
		counts->samples++;
}

/*
 * The time that a tick stands for: it may come late, where interrupts were off or the machine below took the CPU away,
 * and then stands for those that it replaces. Sums are right, since each period is counted once.
 *
 * A thread answers for no more than it has run since the scheduler chose it: a CPU that slept, or was away for a
 * second, may tick late in a thread that has only just come. The scheduler brings a thread's time up to date at its own
 * ticks.
 */
#define SCHEDULER_TICK 10000000 /* at HZ=100, the longest */
static __always_inline u64 ticked(struct tandem_profile_statistics *counts, struct task_struct *task)
{
	u64 now = bpf_ktime_get_ns(), every = period, periods, passed, ran;

	if (!every)
		return 0;
	if (counts->clock_period != every) { /* the first tick, or the first at this rate */
		counts->clock_period = every;
		counts->clock_start = now;
		counts->clock_periods = 0;
		return every;
	}
	periods = (now - counts->clock_start + every / 2) / every;
	passed = (periods - counts->clock_periods) * every;
	counts->clock_periods = periods;
	ran = task->se.sum_exec_runtime - task->se.prev_sum_exec_runtime + SCHEDULER_TICK + every;
	return passed < ran ? passed : ran;
}

SEC("perf_event")
int on_clock(struct tandem_clock_context *context)
{
	const struct tandem_profiled *process = profile_of(bpf_get_current_pid_tgid() >> 32);
	u32 zero = 0;
	struct tandem_profile_statistics *counts;
	struct tandem_sample *sample;
	struct task_struct *task;
	struct pt_regs *registers;
	u64 stack_pointer, goroutine, weight;

	counts = bpf_map_lookup_elem(&profile_counts, &zero);
	if (!counts)
		return 0;
	task = bpf_get_current_task_btf();
	weight = ticked(counts, task);
	if (!process || !weight)
		return 0;
	sample = bpf_map_lookup_elem(&drafts, &zero);
	if (!sample)
		return 0;
	begin(sample, task, TANDEM_SAMPLE_CPU);
	sample->weight = weight;
	if (context->cs & 3) {
		stack_pointer = context->sp;
	} else {
		registers = (struct pt_regs *)bpf_task_pt_regs(task);
		stack_pointer = registers->sp;
		sample->syscall = registers->orig_ax;
		sample->in_kernel = 1;
	}
	if (!read_stack(context, sample, stack_pointer)) {
		counts->failed++;
		return 0;
	}
	goroutine = goroutine_of(task, process);
	if (goroutine)
		name_span(sample, goroutine, process);
	hand_over(sample, counts);
	return 0;
}

/* Whether this thread's stack is read. Its share is such that reading costs little, however often threads are blocked.
 */
static __always_inline bool is_chosen(struct tandem_profile_statistics *counts, u64 now, u32 *shift)
{
	if (now - counts->window > WINDOW) {
		if (counts->chosen_in_window > MOST_IN_WINDOW && counts->shift < LARGEST_SHIFT)
			counts->shift++;
		else if (counts->chosen_in_window < MOST_IN_WINDOW / 3 && counts->shift > 0)
			counts->shift--;
		counts->window = now;
		counts->chosen_in_window = 0;
	}
	*shift = counts->shift; /* what its share is now: what is chosen stands for so many */
	if (bpf_get_prandom_u32() & ((1U << (*shift & 31)) - 1))
		return false;
	/* A burst in a window whose share was right for the one before. */
	if (counts->chosen_in_window > 4 * MOST_IN_WINDOW && counts->shift < LARGEST_SHIFT) {
		counts->shift++;
		counts->chosen_in_window = MOST_IN_WINDOW;
	}
	counts->chosen_in_window++;
	return true;
}

static __always_inline void leaves(void *context, struct task_struct *task)
{
	const struct tandem_profiled *process = profile_of(task->tgid);
	u32 zero = 0;
	struct tandem_profile_statistics *counts;
	struct tandem_blocked *blocked;
	struct pt_regs *registers;
	u64 goroutine, now;
	u32 shift;

	if (!process)
		return;
	counts = bpf_map_lookup_elem(&profile_counts, &zero);
	if (!counts)
		return;
	goroutine = goroutine_of(task, process);
	if (!goroutine)
		return;
	counts->blocked++;
	now = bpf_ktime_get_ns();
	if (!is_chosen(counts, now, &shift))
		return;
	blocked = bpf_task_storage_get(&blocked_tasks, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!blocked) {
		counts->lost++;
		return;
	}
	registers = (struct pt_regs *)bpf_task_pt_regs(task);
	begin(&blocked->sample, task, TANDEM_SAMPLE_BLOCKED);
	blocked->sample.syscall = registers->orig_ax;
	blocked->sample.in_kernel = 1;
	if (!read_stack(context, &blocked->sample, registers->sp)) {
		counts->failed++;
		return;
	}
	name_span(&blocked->sample, goroutine, process);
	counts->chosen++;
	blocked->shift = shift;
	blocked->run_delay = task->sched_info.run_delay;
	blocked->since = now;
}

static __always_inline void returns(struct task_struct *task)
{
	struct tandem_blocked *blocked;
	struct tandem_profile_statistics *counts;
	u64 weight, queued, queued_at, clock, every = period;
	u32 zero = 0;

	if (!task->bpf_storage) /* nobody's that is looked at */
		return;
	blocked = bpf_task_storage_get(&blocked_tasks, task, 0, 0);
	if (!blocked || !blocked->since)
		return;
	weight = bpf_ktime_get_ns() - blocked->since;
	blocked->since = 0;
	counts = bpf_map_lookup_elem(&profile_counts, &zero);
	if (!counts)
		return;
	/* Without the wait for a CPU at its end: see charge() in anatomy.bpf.c. */
	queued = task->sched_info.run_delay - blocked->run_delay;
	queued_at = task->sched_info.last_queued;
	clock = task->se.cfs_rq->rq->clock;
	if (queued_at && clock > queued_at)
		queued += clock - queued_at;
	weight = weight > queued ? weight - queued : 0;
	weight <<= blocked->shift & 31;
	if (weight < every) { /* it stands for others like it */
		if (bpf_get_prandom_u32() % every >= weight)
			return;
		weight = every;
	}
	blocked->sample.weight = weight;
	hand_over(&blocked->sample, counts);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(on_block, bool preempted, struct task_struct *previous, struct task_struct *next)
{
	if (previous->mm && !preempted && previous->__state != 0)
		leaves(ctx, previous);
	returns(next);
	return 0;
}
