/*
 * Messages that are sent to Kafka: by kafka-go and sarama in one call, by franz-go from when a record is given to the
 * client until it says what became of it, on another goroutine.
 */
#ifndef TANDEM_SENDING_H
#define TANDEM_SENDING_H

#include "operation.h"

/*
 * kafka-go: (*Writer).WriteMessages(rax: *Writer; rbx, rcx: context; rdi, rsi: messages)
 * sarama: (*syncProducer).SendMessage(rax; rbx: *ProducerMessage), SendMessages(rax; rbx, rcx: of these)
 * franz-go: (*Client).produce(rax: *Client; rbx, rcx: context; rdi: *Record)
 */
SEC("uprobe.multi.s")
int on_send(void *context)
{
	struct tandem_work work = {};
	struct tandem_open open = {};
	u64 ax, bx, cx, di, si, topic = 0, text[2] = {}, passed = 0, count = 1;

	if (!begin_work(&work, context, TANDEM_SPAN_SEND))
		return 0;
	ax = work.registers->ax;
	bx = work.registers->bx;
	cx = work.registers->cx;
	di = work.registers->di;
	si = work.registers->si;
	barrier_var(ax);
	barrier_var(bx);
	barrier_var(cx);
	barrier_var(di);
	barrier_var(si);
	switch (work.variant) {
	case TANDEM_VARIANT_SEND_KAFKA_GO:
		passed = cx;
		count = si;
		topic = ax + work.binary->writer_topic;
		/* Where the writer has none, each message has its own. */
		if (count == 1 && !user_word(topic + 8))
			topic = di + work.binary->written_topic;
		break;
	case TANDEM_VARIANT_SEND_SARAMA_ONE:
		topic = bx + work.binary->produced_topic;
		break;
	case TANDEM_VARIANT_SEND_SARAMA_MANY:
		count = cx;
		if (count == 1)
			topic = user_word(bx) + work.binary->produced_topic;
		break;
	default:
		passed = cx;
	}
	begin_open(&open, TANDEM_SPAN_SEND, work.variant);
	open.subject = count;
	find_parent(&work, &open, passed);
	if (work.variant == TANDEM_VARIANT_SEND_FRANZ_GO)
		work.key.goroutine = di;
	if (!keep_open(&work, &open) || !topic || read_user(text, sizeof(text), (void *)topic) || !text[1])
		return 0;
	keep_text(&work, text[0], text[1]);
	return 0;
}

/*
 * kafka-go's and SendMessages have returned: rax, rbx: error; SendMessage: rax: partition; rbx: offset; rcx, rdi: error
 * franz-go: (*Client).finishRecordPromise(rax: *Client; rbx, rcx: context; rdi: promise; rsi: *Record; r8, r9: error)
 */
SEC("uprobe.multi.s")
int on_sent(void *context)
{
	struct tandem_work work = {};
	struct tandem_open *found, open;
	u64 ax, cx, si, r8, text[2], error;

	if (!begin_work(&work, context, TANDEM_SPAN_SEND))
		return 0;
	ax = work.registers->ax;
	cx = work.registers->cx;
	si = work.registers->si;
	r8 = work.registers->r8;
	barrier_var(ax);
	barrier_var(cx);
	barrier_var(si);
	barrier_var(r8);
	error = ax;
	if (work.variant == TANDEM_VARIANT_SEND_SARAMA_ONE)
		error = cx;
	if (work.variant == TANDEM_VARIANT_SEND_FRANZ_GO) {
		error = r8;
		work.key.goroutine = si;
	}
	found = bpf_map_lookup_elem(&open_spans, &work.key);
	if (!found || !take_draft(&work))
		return 0;
	open = *found;
	begin_event(&work, &open, error ? TANDEM_OUTCOME_ERROR : TANDEM_OUTCOME_DONE);
	forget(&work, &open);
	work.draft->event.numbers[TANDEM_SEND_LIBRARY] = open.variant;
	work.draft->event.numbers[TANDEM_SEND_COUNT] = open.subject;
	if (work.variant != TANDEM_VARIANT_SEND_FRANZ_GO)
		add_kept(&work, TANDEM_SEND_TOPIC);
	else if (!read_user(text, sizeof(text), (void *)(si + work.binary->record_topic)))
		add_text(&work, TANDEM_SEND_TOPIC, text[0], text[1], 256);
	hand_over(&work);
	return 0;
}

#endif
