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

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* What the slot of a goroutine points to: the beginning of go/rt's Span. */
struct tandem_shared_record {
	u32 captured;
	u32 state;
	u8 trace_id[16];
	u8 span_id[8];
	u8 valid; /* 1: the span runs */
	u8 rest[7];
};

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

static __always_inline u64 word_at(u64 address)
{
	u64 word;

	return bpf_probe_read_user(&word, sizeof(word), (void *)address) ? 0 : word;
}

static __always_inline bool find_span(struct tandem_shared_context *found, struct task_struct *task,
				      const struct tandem_profiled *process)
{
	u64 thread_pointer = task->thread.fsbase, g, m, context;
	struct tandem_shared_record record;

	if (!thread_pointer)
		return false;
	g = word_at(thread_pointer + process->tls_g_offset);
	m = g ? word_at(g + process->g_m_offset) : 0;
	g = m ? word_at(m + process->m_curg_offset) : 0;
	context = g ? word_at(g + process->slot_offset) : 0;
	if (!context || bpf_probe_read_user(&record, sizeof(record), (void *)context) || record.valid != 1)
		return false;
	__builtin_memcpy(found->trace_id, record.trace_id, sizeof(found->trace_id));
	__builtin_memcpy(found->span_id, record.span_id, sizeof(found->span_id));
	return true;
}

static __always_inline u64 key_of(struct task_struct *task)
{
	return (u64)(u32)task->tgid << 32 | (u32)task->pid;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(on_share, bool preempted, struct task_struct *previous, struct task_struct *next)
{
	struct tandem_shared_context found;
	const struct tandem_profiled *process;
	u32 process_id = next->tgid;
	u64 key;

	if (next->mm && bpf_map_lookup_elem(&shared_processes, &process_id)) {
		key = key_of(next);
		bpf_map_delete_elem(&traces_ctx_v1, &key);
	}
	process_id = previous->tgid;
	process = previous->mm ? bpf_map_lookup_elem(&shared_processes, &process_id) : 0;
	if (!process || !find_span(&found, previous, process))
		return 0;
	key = key_of(previous);
	bpf_map_update_elem(&traces_ctx_v1, &key, &found, 0);
	return 0;
}
