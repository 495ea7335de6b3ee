// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * For tools that are not ours: the span of each thread of a watched program that is off the CPU, in the map that
 * OpenTelemetry's eBPF programs share.
 *
 * A goroutine goes to another thread, and its span ends, without the kernel hearing of it; but not while its thread
 * does not run. So an entry is written as the thread leaves the CPU and taken away as it comes back: what is in the map
 * is right, and a thread that runs is not in it.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "profile.h"
#include "goroutine.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* As in anatomy.bpf.c: not 0 where a process whose id ends so may have its spans told. Written by the loader. */
u8 may_be_shared[TANDEM_FILTER_COUNT];

/* The value of the map, as its other users have it. */
struct tandem_shared_context {
	u8 trace_id[16];
	u8 span_id[8];
};

/* Process id, as the initial pid namespace counts, to what is known of the process. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TANDEM_PROFILED_COUNT);
	__type(key, u32);
	__type(value, struct tandem_profiled);
} shared_processes SEC(".maps");

/* By process and thread id. Its form is not ours to choose. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 14);
	__type(key, u64);
	__type(value, struct tandem_shared_context);
} traces_ctx_v1 SEC(".maps");

static __always_inline const struct tandem_profiled *sharing(u32 process_id)
{
	if (!may_be_shared[process_id & (TANDEM_FILTER_COUNT - 1)])
		return 0;
	return bpf_map_lookup_elem(&shared_processes, &process_id);
}

static __always_inline u64 key_of(struct task_struct *task)
{
	return (u64)(u32)task->tgid << 32 | (u32)task->pid;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(on_share, bool preempted, struct task_struct *previous, struct task_struct *next)
{
	const struct tandem_profiled *process;
	struct tandem_shared_context found;
	struct tandem_context_record record;
	u64 key, goroutine;

	if (next->mm && sharing(next->tgid)) {
		key = key_of(next);
		bpf_map_delete_elem(&traces_ctx_v1, &key);
	}
	process = previous->mm ? sharing(previous->tgid) : 0;
	goroutine = process ? goroutine_of(previous, process) : 0;
	if (!goroutine || !read_context(&record, goroutine, process))
		return 0;
	__builtin_memcpy(found.trace_id, record.trace_id, sizeof(found.trace_id));
	__builtin_memcpy(found.span_id, record.span_id, sizeof(found.span_id));
	key = key_of(previous);
	bpf_map_update_elem(&traces_ctx_v1, &key, &found, 0);
	return 0;
}
