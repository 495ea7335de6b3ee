package clickhouse

import (
	"context"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"tandem/db"
	tandem_rt "tandem/rt"
)

// This file makes the spans of queries and statements of the library's own interface. Its driver for database/sql goes another
// way: that has the spans of database/sql.

const tandemScope = "tandem/github.com/ClickHouse/clickhouse-go"

var (
	tandemQuery = db.NewOp("clickhouse-go.query", tandemScope, db.Name)
	tandemExec  = db.NewOp("clickhouse-go.exec", tandemScope, db.Name)
)

var tandemErrors = db.Errors{
	{Err: context.Canceled, Name: "context.Canceled"},
	{Err: context.DeadlineExceeded, Name: "context.DeadlineExceeded"},
	{Err: ErrAcquireConnTimeout, Name: "clickhouse.ErrAcquireConnTimeout"},
	{Err: ErrBatchInvalid, Name: "clickhouse.ErrBatchInvalid"},
	{Err: ErrBatchAlreadySent, Name: "clickhouse.ErrBatchAlreadySent"},
}

type tandemTarget = db.Target

// tandemOpened is called when a client was made, whose goroutines belong to nobody. Of several servers nobody knows which it will be.
func tandemOpened(result *driver.Conn, before *tandem_rt.Span) {
	tandem_rt.Restore(before)
	ch, is := (*result).(*clickhouse)
	if !is || ch == nil || ch.opt == nil {
		return
	}
	ch.tandem.Set("clickhouse", ch.opt.Auth.Database, "", 0)
	if len(ch.opt.Addr) == 1 {
		ch.tandem.SetAddress(ch.opt.Addr[0])
	}
}

// tandemStart begins the span of a query or a statement.
func tandemStart(op *tandem_rt.Op, ch *clickhouse, ctx context.Context, query string) *tandem_rt.Span {
	if !op.On() {
		return nil
	}
	return db.StartQuery(op, tandem_rt.FromContext(ctx), &ch.tandem, "", query)
}

// tandemEnd ends the span of an operation that returns *result.
func tandemEnd(span *tandem_rt.Span, result *error) {
	if span != nil {
		db.End(span, *result, tandemErrors)
	}
}

// tandemEndRow ends the span of a query for one row, which keeps its error.
func tandemEndRow(span *tandem_rt.Span, result *driver.Row) {
	if span == nil {
		return
	}
	if *result == nil { // it panics
		span.End()
		return
	}
	db.End(span, (*result).Err(), tandemErrors)
}
