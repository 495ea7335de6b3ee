package sql

import (
	"context"
	"database/sql/driver"
	"errors"
	"unsafe"

	tandem_rt "tandem/rt"
)

// This file makes the spans: one for each operation that the program asks for, whatever database/sql does to serve it
// (waiting for a connection, opening one, preparing, trying again). The operation's span is current while it runs, so
// what the driver does, a request over HTTP for instance, lies below it.

const tandemName = "{db.query.summary}|{db.operation.name} {db.namespace}|{db.operation.name}|{db.system.name}"

func tandemOperation(id string) *tandem_rt.Op {
	return tandem_rt.NewOp("database/sql."+id, "tandem/database/sql", tandem_rt.KindClient, tandemName)
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

// tandemStart begins the span of an operation that has no query: PING, BEGIN, COMMIT, ROLLBACK.
func tandemStart(op *tandem_rt.Op, db *DB, ctx context.Context, name string) *tandem_rt.Span {
	if !op.On() || db == nil {
		return nil
	}
	span := tandem_rt.Start(op, tandem_rt.FromContext(ctx))
	db.tandem.describe(span)
	span.Str(tandem_rt.KeyDBOperationName, name)
	return span
}

// tandemStartQuery begins the span of an operation that has a query. For a statement that is prepared, prefix is
// PREPARE; else it is empty and the operation is the query's own.
func tandemStartQuery(op *tandem_rt.Op, db *DB, ctx context.Context, prefix, query string) *tandem_rt.Span {
	if !op.On() || db == nil {
		return nil
	}
	span := tandem_rt.Start(op, tandem_rt.FromContext(ctx))
	db.tandem.describe(span)
	var read tandemQuery
	if prefix != "" {
		read.add(prefix)
		read.operation = prefix
	}
	read.read(query, db.tandem.dialect)
	if read.operation != "" {
		span.Str(tandem_rt.KeyDBOperationName, read.operation)
	}
	summary := unsafe.String(&read.summary[0], read.summarySize)
	if table := summary[read.collection[0]:read.collection[1]]; table != "" {
		span.Str(tandem_rt.KeyDBCollectionName, table)
	}
	if !span.Recording() {
		return span
	}
	if procedure := summary[read.procedure[0]:read.procedure[1]]; procedure != "" {
		span.Str(tandem_rt.KeyDBStoredProcedureName, procedure)
	}
	if summary != "" {
		span.Str(tandem_rt.KeyDBQuerySummary, summary)
	}
	if text := unsafe.String(&read.text[0], read.textSize); text != "" {
		span.Str(tandem_rt.KeyDBQueryText, text)
	}
	return span
}

// describe says which database it is.
func (s *tandemSource) describe(span *tandem_rt.Span) {
	span.Str(tandem_rt.KeyDBSystemName, s.system)
	if !span.Recording() {
		return
	}
	if s.namespace != "" {
		span.Str(tandem_rt.KeyDBNamespace, s.namespace)
	}
	if s.address != "" {
		span.Str(tandem_rt.KeyServerAddress, s.address)
	}
	if s.port != 0 {
		span.Int(tandem_rt.KeyServerPort, s.port)
	}
}

// tandemEnd ends the span of an operation that returns *result.
func tandemEnd(span *tandem_rt.Span, result *error) {
	if span == nil {
		return
	}
	if err := *result; err != nil && !errors.Is(err, ErrNoRows) {
		code, kind, message := tandemFailure(err)
		if code != "" {
			span.Str(tandem_rt.KeyDBResponseStatusCode, code)
		}
		span.SetError(kind, message)
	}
	span.End()
}

// tandemEndRollback is tandemEnd for rollback, which answers ErrBadConn when it was told to discard the connection.
func tandemEndRollback(span *tandem_rt.Span, result *error, discarded bool) {
	if discarded && errors.Is(*result, driver.ErrBadConn) {
		span.End()
		return
	}
	tandemEnd(span, result)
}
