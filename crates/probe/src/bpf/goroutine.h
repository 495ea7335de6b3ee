/*
 * The way from a thread to the span of the goroutine that it works for, as the profiler and the map of spans by thread
 * go it. The scheduler probe has its own: it looks for the account, and counts what it cannot read.
 */
#ifndef TANDEM_GOROUTINE_H
#define TANDEM_GOROUTINE_H

/* What the slot of a goroutine points to: the beginning of go/rt's Span. */
struct tandem_context_record {
	u32 captured;
	u32 state;
	u8 trace_id[16];
	u8 span_id[8];
	u8 valid; /* 1: the span runs */
	u8 trace_flags;
	u8 rest[6];
};

static __always_inline u64 word_at(u64 address)
{
	u64 word;

	return bpf_probe_read_user(&word, sizeof(word), (void *)address) ? 0 : word;
}

/* The goroutine that the thread works for, on whichever of its stacks; 0: none. */
static __always_inline u64 goroutine_of(struct task_struct *task, const struct tandem_profiled *process)
{
	u64 thread_pointer = task->thread.fsbase, g, m;

	if (!thread_pointer)
		return 0;
	g = word_at(thread_pointer + process->tls_g_offset);
	m = g ? word_at(g + process->g_m_offset) : 0;
	return m ? word_at(m + process->m_curg_offset) : 0;
}

/* The span that the goroutine is in, while that runs. */
static __always_inline bool read_context(struct tandem_context_record *record, u64 goroutine,
					 const struct tandem_profiled *process)
{
	u64 context = word_at(goroutine + process->slot_offset);

	return context && !bpf_probe_read_user(record, sizeof(*record), (void *)context) && record->valid == 1;
}

#endif
