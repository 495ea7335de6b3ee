package sql

import (
	"context"
	"database/sql/driver"
	"errors"

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
	if prefix == "" {
		if known := tandemRecall(query, db.tandem.dialect); known != nil {
			known.describe(span)
			return span
		}
	}
	tandemDescribeNew(span, db.tandem.dialect, prefix, query)
	return span
}

// tandemDescribeNew reads the query, on a stack frame that only those pay for who come here.
//
//go:noinline
func tandemDescribeNew(span *tandem_rt.Span, dialect tandemDialect, prefix, query string) {
	var read tandemQuery
	if prefix != "" {
		read.add(prefix)
		read.operation = prefix
	}
	read.read(query, dialect)
	found := read.statement()
	found.describe(span)
}

// describe says what the query does.
func (s *tandemStatement) describe(span *tandem_rt.Span) {
	if s.operation != "" {
		span.Str(tandem_rt.KeyDBOperationName, s.operation)
	}
	if s.table != "" {
		span.Str(tandem_rt.KeyDBCollectionName, s.table)
	}
	if !span.Recording() {
		return
	}
	if s.procedure != "" {
		span.Str(tandem_rt.KeyDBStoredProcedureName, s.procedure)
	}
	if s.summary != "" {
		span.Str(tandem_rt.KeyDBQuerySummary, s.summary)
	}
	if s.text != "" {
		span.Str(tandem_rt.KeyDBQueryText, s.text)
	}
}

// describe says which database it is.
func (s *tandemSource) describe(span *tandem_rt.Span) {
	span.Str(tandem_rt.KeyDBSystemName, s.system)
	if s.namespace != "" {
		span.Str(tandem_rt.KeyDBNamespaceDimension, s.namespace)
	}
	if s.address != "" {
		span.Str(tandem_rt.KeyServerAddressDimension, s.address)
	}
	if s.port != 0 {
		span.Int(tandem_rt.KeyServerPortDimension, s.port)
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
		span.SetError(kind, tandemWithoutValues(message))
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
