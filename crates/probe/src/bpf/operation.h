/*
 * An operation of an observed Go program, from where it begins to the event that tells of it: what the probes of all
 * libraries share.
 */
#ifndef TANDEM_OPERATION_H
#define TANDEM_OPERATION_H

#include "context.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TANDEM_OPEN_COUNT);
	__type(key, struct tandem_open_key);
	__type(value, struct tandem_open);
} open_spans SEC(".maps");

/* Texts of open spans that may be gone when those end. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TANDEM_TEXT_ENTRIES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct tandem_open_key);
	__type(value, struct tandem_kept_text);
} kept_texts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20); /* the loader says more where there are many CPUs */
} ended_spans SEC(".maps");

/* Callers by their calls, as they see the connection. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, TANDEM_CALL_COUNT);
	__type(key, struct tandem_call_key);
	__type(value, struct tandem_caller);
} grpc_callers SEC(".maps");

/* Puts a text into the event. Texts come in the order of their numbers; one that is left out is empty. */
static __always_inline void add_text(struct tandem_work *work, u32 number, u64 address, u64 size, u32 limit)
{
	struct tandem_event *event = &work->draft->event;
	u32 used = event->used & (TANDEM_TEXT_SPACE - 1), length = size > limit ? limit : size;

	if (!size || !address)
		return;
	if (used != event->used || used + length > TANDEM_TEXT_SPACE) {
		event->cut |= 1 << number;
		work->counts->cut++;
		return;
	}
	if (size > limit) {
		event->cut |= 1 << number;
		work->counts->cut++;
	}
	length &= 2 * TANDEM_TEXT_LIMIT - 1;
	if (length > TANDEM_TEXT_LIMIT)
		return;
	if (read_user(event->texts + used, length, (void *)address)) {
		work->counts->failed_reads++;
		return;
	}
	event->lengths[number & (TANDEM_TEXT_COUNT - 1)] = length;
	event->used = used + length;
}

/* A Go string that lies in a structure. */
static __always_inline void add_string(struct tandem_work *work, u32 number, const u8 *structure, u32 offset, u32 limit)
{
	if (offset != TANDEM_UNKNOWN)
		add_text(work, number, word_of(structure, offset), word_of(structure, offset + 8), limit);
}

static __always_inline void random_id(u8 *id)
{
	u32 low = bpf_get_prandom_u32(), high = bpf_get_prandom_u32();

	*(u64 *)id = (u64)high << 32 | low | 1; /* never zero, which would be none */
}

static __always_inline void new_trace(struct tandem_open *open)
{
	random_id(open->own.trace_id);
	random_id(open->own.trace_id + 8);
	open->own.trace_flags = 1;
}

static __always_inline void child_of(struct tandem_open *open, const struct tandem_identity *parent,
				     enum tandem_parent how)
{
	__builtin_memcpy(open->own.trace_id, parent->trace_id, sizeof(parent->trace_id));
	__builtin_memcpy(open->parent_id, parent->span_id, sizeof(parent->span_id));
	open->own.trace_flags = parent->trace_flags;
	open->parent = how;
}

/* A connection may be one that had the same ends as an older one: what is older than this was said of that. */
#define CALLER_AGE 10000000000ULL

/* Who, at the other end of the connection, has made this call. */
static __always_inline bool find_caller(struct tandem_open *open, const struct tandem_call_key *call)
{
	const struct tandem_caller *caller = bpf_map_lookup_elem(&grpc_callers, call);

	if (!caller || (open->start > caller->time && open->start - caller->time > CALLER_AGE))
		return false;
	child_of(open, &caller->own, TANDEM_PARENT_CONNECTION);
	bpf_map_delete_elem(&grpc_callers, call); /* it comes once */
	return true;
}

/* The span that is open on a goroutine. */
static __always_inline struct tandem_identity *span_of_goroutine(struct tandem_work *work, u64 goroutine)
{
	struct tandem_open_key key = {.goroutine = goroutine, .process = work->key.process};
	struct tandem_open *open = bpf_map_lookup_elem(&open_spans, &key);

	return open ? &open->own : 0;
}

/* The parent of a span that is no server's: the surest way first. */
static __always_inline void find_parent(struct tandem_work *work, struct tandem_open *open, u64 context)
{
	struct tandem_identity passed;
	struct tandem_identity *found;
	enum tandem_parent how = TANDEM_PARENT_GOROUTINE;
	u64 slot, ancestor;

	if (work->binary->slot_offset) {
		struct tandem_context_record record;

		slot = user_word(work->registers->r14 + work->binary->slot_offset);
		if (slot && !read_user(&record, sizeof(record), (void *)slot) && record.valid == 1) {
			__builtin_memcpy(open->own.trace_id, record.trace_id, sizeof(record.trace_id));
			__builtin_memcpy(open->parent_id, record.span_id, sizeof(record.span_id));
			open->own.trace_flags = record.trace_flags;
			open->parent = TANDEM_PARENT_WOVEN;
			return;
		}
	}
	if (find_context(work, context, &passed))
		return child_of(open, &passed, TANDEM_PARENT_EXPLICIT);
	found = span_of_goroutine(work, work->key.goroutine);
	if (!found && work->binary->parent_goid != TANDEM_UNKNOWN) {
		ancestor = user_word(work->registers->r14 + work->binary->parent_goid);
		found = ancestor ? span_of_goroutine(work, ancestor) : 0;
		how = TANDEM_PARENT_ANCESTOR;
	}
	if (!found)
		return new_trace(open);
	child_of(open, found, how);
}

static __always_inline void begin_open(struct tandem_open *open, enum tandem_span_kind kind, u32 variant)
{
	open->start = bpf_ktime_get_ns();
	random_id(open->own.span_id);
	open->kind = kind;
	open->variant = variant;
}

static __always_inline bool keep_open(struct tandem_work *work, const struct tandem_open *open)
{
	struct tandem_open *before;

	if (bpf_map_update_elem(&open_spans, &work->key, open, BPF_NOEXIST)) {
		/* Nearly never: the goroutine has begun one and not ended it, or there is no room. */
		before = bpf_map_lookup_elem(&open_spans, &work->key);
		if (before) {
			work->counts->superseded++;
			if (before->context)
				forget_context(work, before->context);
		}
		if (!before || bpf_map_update_elem(&open_spans, &work->key, open, BPF_ANY)) {
			work->counts->map_full++;
			return false;
		}
	}
	work->counts->begun++;
	if (open->context)
		keep_context(work, open->context, &open->own);
	return true;
}

/* Begins the event of a span that ends. */
static __always_inline void begin_event(struct tandem_work *work, const struct tandem_open *open,
					enum tandem_outcome outcome)
{
	struct tandem_event *event = &work->draft->event;

	event->start = open->start;
	event->end = bpf_ktime_get_ns();
	event->own = open->own;
	__builtin_memcpy(event->parent_id, open->parent_id, sizeof(event->parent_id));
	event->process = work->key.process;
	event->kind = open->kind;
	event->parent = open->parent;
	event->outcome = outcome;
	__builtin_memset(event->numbers, 0, sizeof(event->numbers));
	__builtin_memset(event->lengths, 0, sizeof(event->lengths));
	event->cut = event->reserved = 0;
	event->used = 0;
}

/* Keeps a text: at the end its memory may be something else's. */
static __always_inline void keep_text(struct tandem_work *work, u64 address, u64 size)
{
	struct tandem_kept_text *kept;
	u32 length = size > TANDEM_TEXT_LIMIT ? TANDEM_TEXT_LIMIT : size;

	if (!take_draft(work))
		return;
	kept = &work->draft->kept;
	kept->cut = size > TANDEM_TEXT_LIMIT;
	kept->length = length;
	if (read_user(kept->text, length, (void *)address)) {
		work->counts->failed_reads++;
		return;
	}
	if (bpf_map_update_elem(&kept_texts, &work->key, kept, BPF_ANY))
		work->counts->map_full++;
}

/* Puts the text that was kept into the event, as its first one. */
static __always_inline void add_kept(struct tandem_work *work, u32 number)
{
	struct tandem_kept_text *kept = bpf_map_lookup_elem(&kept_texts, &work->key);
	struct tandem_event *event = &work->draft->event;
	u32 length;

	if (!kept)
		return;
	length = kept->length;
	if (length <= TANDEM_TEXT_LIMIT) {
		bpf_probe_read_kernel(event->texts, length, kept->text);
		event->lengths[number] = length;
		event->used = length;
	}
	if (kept->cut) {
		event->cut = 1 << number;
		work->counts->cut++;
	}
	bpf_map_delete_elem(&kept_texts, &work->key);
}

static __always_inline void hand_over(struct tandem_work *work)
{
	struct tandem_event *event = &work->draft->event;
	u32 used = event->used;
	u64 size;

	if (used > TANDEM_TEXT_SPACE)
		used = TANDEM_TEXT_SPACE;
	size = __builtin_offsetof(struct tandem_event, texts) + used;
	if (bpf_ringbuf_output(&ended_spans, event, size, BPF_RB_NO_WAKEUP))
		work->counts->ring_full++;
	else
		work->counts->handed_over++;
}

/* The span is no longer open. Whoever has its context later is still its child. */
static __always_inline void forget(struct tandem_work *work, const struct tandem_open *open)
{
	if (open->context)
		end_context(work, open->context);
	bpf_map_delete_elem(&open_spans, &work->key);
}

#endif
