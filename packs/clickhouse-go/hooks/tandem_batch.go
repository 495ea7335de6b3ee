package clickhouse

import (
	"context"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"tandem/db"
	tandem_rt "tandem/rt"
)

// This file makes the spans of batches: one when a batch is prepared, which asks the server for the table's columns, and one when it is sent.

var (
	tandemPreparing = db.NewOp("clickhouse-go.prepare", tandemScope, db.Name)
	tandemSending   = db.NewOp("clickhouse-go.send", tandemScope, db.Name)
)

// tandemBatch is what a batch knows of who made it.
type tandemBatch struct {
	target *tandemTarget
	query  string
}

// tandemPrepare begins the span of a batch that is prepared.
func tandemPrepare(ch *clickhouse, ctx context.Context, query string) *tandem_rt.Span {
	if !tandemPreparing.On() {
		return nil
	}
	return db.StartQuery(tandemPreparing, tandem_rt.FromContext(ctx), &ch.tandem, "PREPARE", query)
}

// tandemPrepared ends it, whether there is one or not.
func tandemPrepared(span *tandem_rt.Span, ch *clickhouse, query string, result *driver.Batch, err *error) {
	if *err == nil {
		switch made := (*result).(type) {
		case *batch:
			made.tandem = tandemBatch{&ch.tandem, query}
		case *httpBatch:
			made.tandem = tandemBatch{&ch.tandem, query}
		}
	}
	tandemEnd(span, err)
}

// send begins the span of a batch that is sent. Those of database/sql have none.
func (b *tandemBatch) send(ctx context.Context) *tandem_rt.Span {
	if b.target == nil || !tandemSending.On() {
		return nil
	}
	return db.StartQuery(tandemSending, tandem_rt.FromContext(ctx), b.target, "", b.query)
}
