/*
 * The headers of a request, which Go keeps in a map: is there a traceparent, and which span does it name?
 */
#ifndef TANDEM_HEADERS_H
#define TANDEM_HEADERS_H

#include "operation.h"
#include "traceparent.h"

/* Of a map with headers: groups of eight that are looked at. */
#define GROUP_COUNT 16
/* The same of a map of Go 1.23 and older, whose buckets go on elsewhere. */
#define BUCKET_COUNT 4

#define GROUP_SLOTS 8
#define KEY_SIZE 16
#define ELEMENT_SIZE 24
#define GROUP_SIZE (8 + GROUP_SLOTS * (KEY_SIZE + ELEMENT_SIZE))

/* What a look through a map is about. */
struct tandem_search {
	struct tandem_work *work;
	u64 groups; /* address of the first one */
	u64 value; /* found: address of the first of its values */
	u32 form;
	u32 size; /* of the name */
	u64 name[2]; /* as it is written in the map; so long are names at most */
};

/* Reads eight entries, and the word behind them. */
static __always_inline bool read_group(struct tandem_work *work, u64 group)
{
	u8 *bytes = work->draft->other;

	if (!read_user(bytes, GROUP_SIZE + 8, (void *)group))
		return true;
	/* At the end of a page nothing need follow. */
	*(u64 *)(bytes + GROUP_SIZE) = 0;
	if (!read_user(bytes, GROUP_SIZE, (void *)group))
		return true;
	work->counts->failed_reads++;
	return false;
}

/* Looks through the entries that were read; the address of the value's first text, 0: not there. */
static __always_inline u64 look_through_group(struct tandem_search *search)
{
	u32 form = search->form;
	u8 *bytes = search->work->draft->other;
	u32 key_at, element_at;
	u64 name[2], size, address;

	for (u32 slot = 0; slot < GROUP_SLOTS; slot++) {
		u8 control = bytes[slot];

		if (form == TANDEM_MAP_BUCKETS ? control < 5 : control & 0x80)
			continue; /* nothing there */
		if (form == TANDEM_MAP_GROUPS) {
			key_at = 8 + slot * (KEY_SIZE + ELEMENT_SIZE);
			element_at = key_at + KEY_SIZE;
		} else {
			key_at = 8 + slot * KEY_SIZE;
			element_at = 8 + GROUP_SLOTS * KEY_SIZE + slot * ELEMENT_SIZE;
		}
		size = word_of(bytes, key_at + 8);
		address = word_of(bytes, key_at);
		if (size != search->size || size > sizeof(name))
			continue;
		name[0] = name[1] = 0;
		if (read_user(name, size, (void *)address))
			continue;
		if (name[0] != search->name[0] || name[1] != search->name[1])
			continue;
		if (!word_of(bytes, element_at + 8))
			continue;
		return word_of(bytes, element_at);
	}
	return 0;
}

static long search_next(u64 index, void *data)
{
	struct tandem_search *search = data;

	search->value = read_group(search->work, search->groups + index * GROUP_SIZE) ? look_through_group(search) : 0;
	return search->value != 0;
}

/* A W3C traceparent, of any version. */
static __always_inline bool parse_parent(struct tandem_open *open, const u8 *text)
{
	struct tandem_identity parent = {};
	u8 version;

	if (!parse_bytes(&version, text, 1) || version == 0xff || text[2] != '-' || text[35] != '-' || text[52] != '-')
		return false;
	if (!parse_bytes(parent.trace_id, text + 3, 16) || !parse_bytes(parent.span_id, text + 36, 8) ||
	    !parse_bytes(&parent.trace_flags, text + 53, 1))
		return false;
	if (!(*(u64 *)parent.trace_id | *(u64 *)(parent.trace_id + 8)) || !*(u64 *)parent.span_id)
		return false;
	child_of(open, &parent, TANDEM_PARENT_REMOTE);
	return true;
}

/* Names of headers, as two words. */
#define NET_HTTP_TRACEPARENT 0x7261706563617254ULL, 0x746e65ULL /* net/http writes them with capital letters */
#define TRACEPARENT 0x7261706563617274ULL, 0x746e65ULL
#define TRACEPARENT_SIZE 11
#define AUTHORITY 0x69726f687475613aULL, 0x7974ULL
#define AUTHORITY_SIZE 10

/* A map, as it begins: how many entries, what else, where they are, how many groups (0: one, which has been read). */
struct tandem_headers {
	u64 head[4];
};

/*
 * Reads the beginning of a map with headers; false: there are none. Until they have been found, the draft's other
 * structure is theirs.
 */
static __always_inline bool open_headers(struct tandem_work *work, struct tandem_headers *headers, u64 map)
{
	u64 *head = headers->head;
	u32 form = work->binary->map_form;

	if (!map || !form)
		return false;
	if (read_user(head, sizeof(headers->head), (void *)map)) {
		work->counts->failed_reads++;
		return false;
	}
	if (!head[0])
		return false;
	return form == TANDEM_MAP_BUCKETS || head[3] || read_group(work, head[2]);
}

/* The address of the first value of the header, 0: there is none, or too many headers are before it. */
static __always_inline u64 find_header(struct tandem_work *work, const struct tandem_headers *headers, u32 size,
				       u64 first, u64 second)
{
	struct tandem_search search = {
		.work = work, .form = work->binary->map_form, .size = size, .name = {first, second}};
	const u64 *head = headers->head;
	u64 table[4], directory, count;

	if (search.form == TANDEM_MAP_BUCKETS) {
		u32 shift = head[1] >> 8 & 0xff; /* flags, logarithm of the number of buckets */

		for (u32 index = 0; index < BUCKET_COUNT && index < (1U << (shift & 7)); index++) {
			u64 bucket = head[2] + index * (GROUP_SIZE + 8);

			for (int chained = 0; chained < 2 && bucket; chained++) {
				if (!read_group(work, bucket))
					break;
				search.value = look_through_group(&search);
				if (search.value)
					return search.value;
				bucket = *(u64 *)(work->draft->other + GROUP_SIZE); /* where it goes on */
			}
		}
		return 0;
	}
	if (!head[3])
		return look_through_group(&search);
	/* More than eight headers: of a directory of tables, in all but extreme cases, there is one table. */
	if (read_user(&directory, sizeof(directory), (void *)head[2]) ||
	    read_user(table, sizeof(table), (void *)directory)) {
		work->counts->failed_reads++;
		return 0;
	}
	search.groups = table[2];
	count = table[3] + 1;
	bpf_loop(count < GROUP_COUNT ? count : GROUP_COUNT, search_next, &search, 0);
	return search.value;
}

/* `value` is the address of the header's text. */
static __always_inline bool read_remote_parent(struct tandem_work *work, struct tandem_open *open, u64 value)
{
	u8 *bytes = work->draft->other;
	u64 text[2];

	if (!value || read_user(text, sizeof(text), (void *)value) || text[1] < HEADER_SIZE)
		return false;
	if (read_user(bytes, HEADER_SIZE, (void *)text[0])) {
		work->counts->failed_reads++;
		return false;
	}
	return parse_parent(open, bytes);
}

#endif
