/*
 * Which span a context.Context belongs to. There is one for each span of a server, and they come and go with these, so
 * they lie in an array, whose sets are found without a helper: a map that forgets by itself has locks and lists.
 *
 * Nothing locks a set. What two processors have written at once, or one while another one reads, does not fit its seal
 * and is not found; children are found by their goroutine then.
 */
#ifndef TANDEM_CONTEXT_H
#define TANDEM_CONTEXT_H

#include "work.h"

/* Contexts from the one that was passed to the one that belongs to a span: so many are looked at. */
#define CONTEXT_DEPTH 12

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1 << TANDEM_CONTEXT_SETS_POWER);
	__type(key, u32);
	__type(value, struct tandem_context_set);
} span_contexts SEC(".maps");

static __always_inline struct tandem_context_set *context_set(const struct tandem_work *work, u64 context)
{
	u64 mixed = context ^ (u64)work->binary->observation << 32;
	u32 index;

	/* Addresses of one kind lie at even distances: once is not enough to spread them. */
	mixed = (mixed ^ mixed >> 32) * 0xd6e8feb86659fd93ULL;
	mixed = (mixed ^ mixed >> 32) * 0xd6e8feb86659fd93ULL;
	index = mixed >> (64 - TANDEM_CONTEXT_SETS_POWER);
	return bpf_map_lookup_elem(&span_contexts, &index);
}

static __always_inline u64 context_seal(const struct tandem_work *work, u64 context, const struct tandem_identity *own,
					const u64 *origin)
{
	const u64 *words = (const u64 *)own;

	return context ^ (u64)work->binary->observation << 32 ^ words[0] ^ words[1] ^ words[2] ^ words[3] ^ origin[0] ^
	       origin[1];
}

/* Where a context goes: whose memory was used again, or the oldest whose span is over, or the oldest. */
static __always_inline u32 place_in_set(struct tandem_context_set *set, u64 context)
{
	u32 place, oldest = set->oldest;

	for (place = 0; place < TANDEM_CONTEXT_SET_SIZE; place++)
		if (set->contexts[place] == context)
			return place;
	for (u32 later = 0; later < TANDEM_CONTEXT_SET_SIZE; later++) {
		place = (oldest + later) % TANDEM_CONTEXT_SET_SIZE;
		if (!set->contexts[place] || set->over[place])
			break;
		place = oldest;
	}
	set->oldest = place + 1;
	return place;
}

/* From now on the context belongs to this span. */
static __always_inline void keep_context(struct tandem_work *work, u64 context, const struct tandem_identity *own)
{
	struct tandem_context_set *set = context_set(work, context);
	u64 origin[2];
	u32 place;

	/* Without it, children are found by their goroutine. */
	if (!set || read_user(origin, sizeof(origin), (void *)context))
		return;
	place = place_in_set(set, context) % TANDEM_CONTEXT_SET_SIZE;
	set->contexts[place] = context;
	set->over[place] = 0;
	set->spans[place].own = *own;
	set->spans[place].seal = context_seal(work, context, own, origin);
}

/* Its span is over: it is kept as long as there is room. */
static __always_inline void end_context(struct tandem_work *work, u64 context)
{
	struct tandem_context_set *set = context_set(work, context);

	for (int place = 0; set && place < TANDEM_CONTEXT_SET_SIZE; place++)
		if (set->contexts[place] == context)
			set->over[place] = 1;
}

static __always_inline void forget_context(struct tandem_work *work, u64 context)
{
	struct tandem_context_set *set = context_set(work, context);

	for (int place = 0; set && place < TANDEM_CONTEXT_SET_SIZE; place++)
		if (set->contexts[place] == context)
			set->contexts[place] = 0;
}

/* The context.Context that was passed, or one that it was derived from, belongs to a span. */
static __always_inline bool find_context(struct tandem_work *work, u64 context, struct tandem_identity *own)
{
	struct tandem_context_set *set;
	u64 origin[2];

	/* What Go's own contexts begin with is the interface that they were derived from: type, then address. */
	for (int depth = 0; depth < CONTEXT_DEPTH && context; depth++) {
		if (read_user(origin, sizeof(origin), (void *)context))
			return false;
		set = context_set(work, context);
		for (int place = 0; set && place < TANDEM_CONTEXT_SET_SIZE; place++) {
			if (set->contexts[place] != context)
				continue;
			*own = set->spans[place].own;
			if (set->spans[place].seal == context_seal(work, context, own, origin))
				return true;
		}
		context = origin[1];
	}
	return false;
}

#endif
