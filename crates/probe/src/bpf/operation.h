/*
 * An operation of an observed Go program, from where it begins to the event that tells of it: what the probes of all
 * libraries share. Every address that a program says is read by a helper that may fail.
 */
#ifndef TANDEM_OPERATION_H
#define TANDEM_OPERATION_H

#define BPF_ANY 0

/* Contexts from the one that was passed to the one that belongs to a span: so many are looked at. */
#define CONTEXT_DEPTH 12

/* The registers at a probe, in the form of the kernel's user-space interface. */
struct tandem_registers {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TANDEM_BINARY_COUNT);
	__type(key, u32);
	__type(value, struct tandem_binary);
} binaries SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TANDEM_OPEN_COUNT);
	__type(key, struct tandem_open_key);
	__type(value, struct tandem_open);
} open_spans SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, TANDEM_CONTEXT_COUNT);
	__type(key, struct tandem_context_key);
	__type(value, struct tandem_context_span);
} span_contexts SEC(".maps");

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

/* A thread's own, since a probe may be interrupted by one on another thread of the same CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct tandem_draft);
} uprobe_drafts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct tandem_uprobe_statistics);
} uprobe_counts SEC(".maps");

/* What a probe works with. */
struct tandem_work {
	struct tandem_registers *registers;
	const struct tandem_binary *binary;
	struct tandem_uprobe_statistics *counts;
	struct tandem_draft *draft;
	struct tandem_open_key key;
	u32 variant;
};

/* Reads memory of the program. What is not in memory right now is brought there: these programs may sleep. */
static __always_inline long read_user(void *into, u32 size, const void *address)
{
	long failed = bpf_probe_read_user(into, size, address);

	return failed ? bpf_copy_from_user(into, size, address) : 0;
}

static __always_inline u64 user_word(u64 address)
{
	u64 word;

	return read_user(&word, sizeof(word), (void *)address) ? 0 : word;
}

/* Whether a conditional jump is taken with these flags. */
static __always_inline bool jumps(u32 condition, u64 flags)
{
	bool carry = flags & 1, parity = flags >> 2 & 1, zero = flags >> 6 & 1, sign = flags >> 7 & 1;
	bool overflow = flags >> 11 & 1, holds;

	switch (condition >> 1 & 7) {
	case 0:
		holds = overflow;
		break;
	case 1:
		holds = carry;
		break;
	case 2:
		holds = zero;
		break;
	case 3:
		holds = carry | zero;
		break;
	case 4:
		holds = sign;
		break;
	case 5:
		holds = parity;
		break;
	case 6:
		holds = sign != overflow;
		break;
	default:
		holds = zero | (sign != overflow);
		break;
	}
	return holds != (condition & 1);
}

static __always_inline bool begin_work(struct tandem_work *work, void *context, u32 kind)
{
	u64 cookie = bpf_get_attach_cookie(context);
	u32 zero = 0, index = (u32)cookie, condition = cookie >> TANDEM_COOKIE_CONDITION_SHIFT & 0xff;

	work->registers = context;
	work->variant = cookie >> TANDEM_COOKIE_VARIANT_SHIFT & 0xff;
	if (condition != TANDEM_CONDITION_ALWAYS && !jumps(condition, work->registers->flags))
		return false;
	work->binary = bpf_map_lookup_elem(&binaries, &index);
	work->counts = bpf_map_lookup_elem(&uprobe_counts, &zero);
	if (!work->binary || !work->counts)
		return false;
	work->key.process = bpf_get_current_pid_tgid() >> 32;
	work->key.kind = kind;
	if (read_user(&work->key.goroutine, sizeof(u64), (void *)(work->registers->r14 + work->binary->goid))) {
		work->counts->failed_reads++;
		return false;
	}
	return true;
}

static __always_inline bool take_draft(struct tandem_work *work)
{
	work->draft =
		bpf_task_storage_get(&uprobe_drafts, bpf_get_current_task_btf(), 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!work->draft)
		work->counts->no_memory++;
	return work->draft;
}

/* A word of a structure that has been read. */
static __always_inline u64 word_of(const u8 *structure, u32 offset)
{
	if (offset > TANDEM_STRUCTURE_SPACE - sizeof(u64))
		return 0;
	return *(u64 *)(structure + (offset & (TANDEM_STRUCTURE_SPACE - 8)));
}

static __always_inline bool read_structure(struct tandem_work *work, u8 *structure, u64 address, u32 size)
{
	if (size > TANDEM_STRUCTURE_SPACE)
		size = TANDEM_STRUCTURE_SPACE;
	if (read_user(structure, size, (void *)address)) {
		work->counts->failed_reads++;
		return false;
	}
	return true;
}

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

/* The context.Context that was passed, or one that it was derived from, belongs to a span. */
static __always_inline struct tandem_identity *span_of_context(struct tandem_work *work, u64 context)
{
	struct tandem_context_key key = {.context = context, .process = work->key.process};
	struct tandem_context_span *found;
	u64 origin[2];

	/* What Go's own contexts begin with is the interface that they were derived from: type, then address. */
	for (int depth = 0; depth < CONTEXT_DEPTH && key.context; depth++) {
		if (read_user(origin, sizeof(origin), (void *)key.context))
			return 0;
		found = bpf_map_lookup_elem(&span_contexts, &key);
		if (found && found->origin[0] == origin[0] && found->origin[1] == origin[1])
			return &found->own;
		key.context = origin[1];
	}
	return 0;
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
	struct tandem_identity *found;
	enum tandem_parent how;
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
	found = span_of_context(work, context);
	how = TANDEM_PARENT_EXPLICIT;
	if (!found) {
		found = span_of_goroutine(work, work->key.goroutine);
		how = TANDEM_PARENT_GOROUTINE;
	}
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
	struct tandem_open *before = bpf_map_lookup_elem(&open_spans, &work->key);

	if (before) {
		struct tandem_context_key context = {.context = before->context, .process = work->key.process};

		work->counts->superseded++;
		if (context.context)
			bpf_map_delete_elem(&span_contexts, &context);
	}
	if (bpf_map_update_elem(&open_spans, &work->key, open, BPF_ANY)) {
		work->counts->map_full++;
		return false;
	}
	work->counts->begun++;
	if (open->context) {
		struct tandem_context_key context = {.context = open->context, .process = work->key.process};
		struct tandem_context_span span = {.own = open->own};

		/* Without it, children are found by their goroutine. */
		if (!read_user(span.origin, sizeof(span.origin), (void *)open->context))
			bpf_map_update_elem(&span_contexts, &context, &span, BPF_ANY);
	}
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
static __always_inline void forget(struct tandem_work *work)
{
	bpf_map_delete_elem(&open_spans, &work->key);
}

#endif
