package sql

import (
	"context"
	"database/sql/driver"
	"errors"

	"tandem/db"
	tandem_rt "tandem/rt"
)

// This file makes the spans: one for each operation that the program asks for, whatever database/sql does to serve it
// (waiting for a connection, opening one, preparing, trying again). The operation's span is current while it runs, so
// what the driver does, a request over HTTP for instance, lies below it.

const tandemScope = "tandem/database/sql"

func tandemOperation(id string) *tandem_rt.Op {
	return db.NewOp("database/sql."+id, tandemScope, db.Name)
}

var (
	tandemPing     = tandemOperation("ping")
	tandemExec     = tandemOperation("exec")
	tandemRows     = tandemOperation("query")
	tandemPrepare  = tandemOperation("prepare")
	tandemBegin    = tandemOperation("begin")
	tandemCommit   = tandemOperation("commit")
	tandemRollback = tandemOperation("rollback")
)

var tandemErrors = db.Errors{
	{Err: context.Canceled, Name: "context.Canceled"},
	{Err: context.DeadlineExceeded, Name: "context.DeadlineExceeded"},
	{Err: driver.ErrBadConn, Name: "driver.ErrBadConn"},
	{Err: ErrTxDone, Name: "sql.ErrTxDone"},
	{Err: ErrConnDone, Name: "sql.ErrConnDone"},
}

// tandemStart begins the span of an operation that has no query: PING, BEGIN, COMMIT, ROLLBACK.
func tandemStart(op *tandem_rt.Op, d *DB, ctx context.Context, name string) *tandem_rt.Span {
	if !op.On() || d == nil {
		return nil
	}
	return db.Start(op, tandem_rt.FromContext(ctx), &d.tandem.target, name, "")
}

// tandemStartQuery begins the span of an operation that has a query. For a statement that is prepared, prefix is
// PREPARE; else it is empty and the operation is the query's own.
func tandemStartQuery(op *tandem_rt.Op, d *DB, ctx context.Context, prefix, query string) *tandem_rt.Span {
	if !op.On() || d == nil {
		return nil
	}
	return db.StartQuery(op, tandem_rt.FromContext(ctx), &d.tandem.target, prefix, query)
}

// tandemEnd ends the span of an operation that returns *result.
func tandemEnd(span *tandem_rt.Span, result *error) {
	if span == nil {
		return
	}
	err := *result
	if err != nil && errors.Is(err, ErrNoRows) {
		err = nil
	}
	db.End(span, err, tandemErrors)
}

// tandemEndRollback is tandemEnd for rollback, which answers ErrBadConn when it was told to discard the connection.
func tandemEndRollback(span *tandem_rt.Span, result *error, discarded bool) {
	if discarded && errors.Is(*result, driver.ErrBadConn) {
		span.End()
		return
	}
	tandemEnd(span, result)
}
