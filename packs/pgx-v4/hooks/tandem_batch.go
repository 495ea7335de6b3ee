package pgx

import (
	"context"

	"tandem/db"
	tandem_rt "tandem/rt"
)

// This file makes the span of a batch: from its sending until its results are closed.

var tandemBatch = db.NewOp("pgx-v4.batch", TandemScope, db.Name)

func tandemStartBatch(c *Conn, ctx context.Context, b *Batch) *tandem_rt.Span {
	c.tandem.busy++
	if b.Len() == 0 && c.tandem.given == nil {
		return nil // nothing is asked
	}
	span := tandemStartDetached(tandemBatch, c, ctx)
	if span != nil {
		tandemDescribeBatch(span, c, b)
	}
	return span
}

func tandemSentBatch(c *Conn, span *tandem_rt.Span, results *BatchResults) {
	c.tandem.busy--
	if span == nil {
		return
	}
	if !tandemKeep(span, *results) { // it was empty, or could not be sent
		db.End(span, nil, nil)
	}
}

// tandemKeep leaves the span with the results.
func tandemKeep(span *tandem_rt.Span, results BatchResults) bool {
	sent, ok := results.(*batchResults)
	if ok {
		sent.tandemSpan = span
	}
	return ok
}

func tandemEndBatch(place **tandem_rt.Span, err *error) {
	if span := *place; span != nil {
		*place = nil
		db.End(span, *err, TandemErrors)
	}
}

// tandemDescribeBatch says what the batch's queries do, on a stack frame that only those pay for who come here.
//
//go:noinline
func tandemDescribeBatch(span *tandem_rt.Span, c *Conn, b *Batch) {
	batch := db.Batch{Dialect: c.tandem.target.Dialect}
	for _, query := range b.items {
		batch.Add(tandemText(c, query.query))
	}
	batch.Describe(span)
}
