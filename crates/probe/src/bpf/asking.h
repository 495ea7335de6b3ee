/*
 * Clients whose operations their sockets tell of (go-redis): what is missing there is for whom they are. Where one is
 * about to write on its connection, the position of the next byte and the span that it works for are handed over.
 */
#ifndef TANDEM_ASKING_H
#define TANDEM_ASKING_H

#include "operation.h"
#include "connection.h"

/*
 * (*baseClient)._process and its like(rax: receiver; rbx, rcx: context): an operation begins. One may be inside
 * another: where a connection is made, its first words come before the operation's.
 */
SEC("uprobe.multi.s")
int on_ask(void *context)
{
	struct tandem_work work = {};
	struct tandem_open open = {}, *outer;

	if (!begin_work(&work, context, TANDEM_SPAN_ASKING))
		return 0;
	outer = bpf_map_lookup_elem(&open_spans, &work.key);
	begin_open(&open, TANDEM_SPAN_ASKING, outer ? outer->variant + 1 : 0);
	find_parent(&work, &open, work.registers->cx);
	if (bpf_map_update_elem(&open_spans, &work.key, &open, BPF_ANY))
		work.counts->map_full++;
	return 0;
}

/* (*pool.Conn).WithWriter(rax: *pool.Conn; rbx, rcx: context): the operation, or the first words, will be written now
 */
SEC("uprobe.multi.s")
int on_ask_write(void *context)
{
	struct tandem_work work = {};
	struct tandem_open *found, open = {};
	struct tandem_ends ends = {};
	struct tandem_connection connection = {};
	struct tandem_event *event;
	u32 version;
	u64 address;

	if (!begin_work(&work, context, TANDEM_SPAN_ASKING) || !take_draft(&work))
		return 0;
	found = bpf_map_lookup_elem(&open_spans, &work.key);
	if (found) {
		open = *found;
		if (open.variant)
			found->variant--;
		else
			bpf_map_delete_elem(&open_spans, &work.key);
	} else {
		begin_open(&open, TANDEM_SPAN_ASKING, 0);
		find_parent(&work, &open, work.registers->cx);
	}
	version = work.variant == TANDEM_VARIANT_REDIS_V8 ? TANDEM_VARIANT_REDIS_V8 : TANDEM_VARIANT_REDIS_V9;
	address = user_word(work.registers->ax + work.binary->pooled_connection[version] + 8);
	if (work.binary->pooled_connection_points[version])
		address = user_word(address + 8);
	if (!find_ends_of(&work, &ends, &connection, address))
		return 0;
	begin_event(&work, &open, TANDEM_OUTCOME_DONE);
	event = &work.draft->event;
	event->numbers[TANDEM_ASKING_POSITION] = connection.position;
	__builtin_memcpy(event->texts, &ends, sizeof(ends));
	event->lengths[TANDEM_ASKING_ENDS] = event->used = sizeof(ends);
	hand_over(&work);
	return 0;
}

#endif
