package pgx

import (
	"tandem/db"
	tandem_rt "tandem/rt"
)

// tandemDescribeBatch says what the batch's queries do, on a stack frame that only those pay for who come here.
//
//go:noinline
func tandemDescribeBatch(span *tandem_rt.Span, c *Conn, b *Batch) {
	batch := db.Batch{Dialect: c.tandem.target.Dialect}
	for _, query := range b.queuedQueries {
		batch.Add(tandemText(c, query.query))
	}
	batch.Describe(span)
}
