/*
 * A traceparent as a header of a request of HTTP/1, and how it gets into what a program sends.
 */
#ifndef TANDEM_TRACEPARENT_H
#define TANDEM_TRACEPARENT_H

#define INSERTED_SIZE 70 /* traceparent: 00-<32 digits>-<16 digits>-01\r\n */
#define HEADER_SIZE 55 /* what it says: 00-<32 digits>-<16 digits>-<2 digits> */
#define WORD_OF(byte) (0x0101010101010101ULL * (byte))

static __always_inline void put_digits(u8 *into, const u8 *bytes, int count)
{
	for (int index = 0; index < count; index++) {
		u8 high = bytes[index] >> 4, low = bytes[index] & 15;

		into[2 * index] = high + (high < 10 ? '0' : 'a' - 10);
		into[2 * index + 1] = low + (low < 10 ? '0' : 'a' - 10);
	}
}

static __always_inline int digit_of(u8 c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

static __always_inline bool parse_bytes(u8 *out, const u8 *digits, u32 count)
{
	int bad = 0;

	for (u32 index = 0; index < count; index++) {
		int high = digit_of(digits[2 * index]), low = digit_of(digits[2 * index + 1]);

		bad |= high | low;
		out[index] = high << 4 | (low & 15);
	}
	return bad >= 0;
}

/* It begins as a request does, whose line ends somewhere: TLS and HTTP/2 do not. */
static __always_inline bool is_request(u32 first)
{
	switch (first) {
	case 0x20544547: /* GET  */
	case 0x54534f50: /* POST */
	case 0x20545550: /* PUT  */
	case 0x44414548: /* HEAD */
	case 0x454c4544: /* DELE */
	case 0x43544150: /* PATC */
	case 0x4954504f: /* OPTI */
		return true;
	}
	return false;
}

/* The header's line. */
static __always_inline void write_header(u8 *text, const u8 *trace_id, const u8 *span_id, u8 flags)
{
	u64 first = 0x7261706563617274ULL, second = 0x2d3030203a746e65ULL; /* traceparent: 00- */

	__builtin_memcpy(text, &first, sizeof(first));
	barrier_var(second);
	__builtin_memcpy(text + 8, &second, sizeof(second));
	put_digits(text + 16, trace_id, 16);
	text[48] = '-';
	put_digits(text + 49, span_id, 8);
	text[65] = '-';
	put_digits(text + 66, &flags, 1);
	text[68] = '\r';
	text[69] = '\n';
}

/*
 * What was inserted makes three pieces of a message, each of which the kernel would send as a packet of its own. Up to
 * so many bytes are put together again, which costs a fraction of that: a power of two.
 */
#define WHOLE_LIMIT 8192

static __always_inline bool make_whole(struct sk_msg_md *message)
{
	u32 size = message->size;

	return size <= WHOLE_LIMIT && !bpf_msg_pull_data(message, 0, size, 0);
}

/* Puts it there; what is to be done with the message. */
static __always_inline int put_header(struct sk_msg_md *message, u32 at, const u8 *text, bool *inserted)
{
	u8 *data, *end;
	u32 from = at;

	*inserted = false;
	if (at >= WHOLE_LIMIT || bpf_msg_push_data(message, at, INSERTED_SIZE, 0))
		return SK_PASS;
	if (!make_whole(message)) {
		if (bpf_msg_pull_data(message, at, at + INSERTED_SIZE, 0))
			goto broken;
		from = 0;
	}
	/* The verifier is to see the same variable bounded and used. */
	asm volatile("" : "+r"(from));
	from &= WHOLE_LIMIT - 1;
	data = (u8 *)(long)message->data;
	end = (u8 *)(long)message->data_end;
	if (data + from + INSERTED_SIZE <= end) {
		__builtin_memcpy(data + from, text, INSERTED_SIZE);
		*inserted = true;
		return SK_PASS;
	}
broken:
	/* There is room, but it cannot be written: it must not be sent either. */
	return bpf_msg_pop_data(message, at, INSERTED_SIZE, 0) ? SK_DROP : SK_PASS;
}

#endif
