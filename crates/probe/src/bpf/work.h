/*
 * What a probe works with: the registers that it was met with, what is known of the executable, and how the program's
 * memory is read. Every address that a program says is read by a helper that may fail.
 */
#ifndef TANDEM_WORK_H
#define TANDEM_WORK_H

#define BPF_ANY 0
#define BPF_NOEXIST 1

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
	struct tandem_binary *binary;
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

/* Half a word of it. */
static __always_inline u32 half_of(const u8 *structure, u32 offset)
{
	return word_of(structure, offset & ~7U) >> (offset & 4) * 8;
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

#endif
