package gocql

import (
	"context"

	"tandem/db"
	tandem_rt "tandem/rt"
)

// This file makes the spans of queries and batches that a session is asked for. What the session asks for itself (the cluster's
// nodes, schemas, statements that are prepared) goes another way, and makes none.

const tandemScope = "tandem/github.com/gocql/gocql"

var (
	tandemQuery = db.NewOp("gocql.query", tandemScope, db.Name)
	tandemBatch = db.NewOp("gocql.batch", tandemScope, db.Name)

	tandemConsistency   = tandem_rt.NewKey("cassandra.consistency.level")
	tandemPageSize      = tandem_rt.NewKey("cassandra.page.size")
	tandemIdempotent    = tandem_rt.NewKey("cassandra.query.idempotent")
	tandemCoordinator   = tandem_rt.NewKey("cassandra.coordinator.id")
	tandemCoordinatorDC = tandem_rt.NewKey("cassandra.coordinator.dc")
)

var tandemErrors = db.Errors{
	{Err: context.Canceled, Name: "context.Canceled"},
	{Err: context.DeadlineExceeded, Name: "context.DeadlineExceeded"},
	{Err: ErrTimeoutNoResponse, Name: "gocql.ErrTimeoutNoResponse"},
	{Err: ErrNoConnections, Name: "gocql.ErrNoConnections"},
	{Err: ErrSessionClosed, Name: "gocql.ErrSessionClosed"},
	{Err: ErrConnectionClosed, Name: "gocql.ErrConnectionClosed"},
	{Err: ErrTooManyStmts, Name: "gocql.ErrTooManyStmts"},
}

// Consistencies as the conventions write them.
var tandemConsistencies = [...]string{
	Any: "any", One: "one", Two: "two", Three: "three", Quorum: "quorum", All: "all", LocalQuorum: "local_quorum",
	EachQuorum: "each_quorum", LocalOne: "local_one",
}

type tandemTarget = db.Target

// tandemKnow is called before the session's first connection. Of several hosts nobody knows which it will be.
func tandemKnow(s *Session) {
	s.tandem.Set("cassandra", s.cfg.Keyspace, "", 0)
	if len(s.cfg.Hosts) != 1 {
		return
	}
	s.tandem.SetAddress(s.cfg.Hosts[0])
	if s.tandem.Address != "" && s.tandem.Port == 0 {
		s.tandem.Set("cassandra", s.cfg.Keyspace, s.tandem.Address, int64(s.cfg.Port))
	}
}

func tandemStartQuery(s *Session, q *Query) *tandem_rt.Span {
	if !tandemQuery.On() {
		return nil
	}
	span := db.StartQuery(tandemQuery, tandem_rt.FromContext(q.Context()), &s.tandem, "", q.stmt)
	if span.Recording() {
		tandemDescribe(span, q.cons, q.idempotent)
		if q.pageSize > 0 {
			span.Int(tandemPageSize, int64(q.pageSize))
		}
	}
	return span
}

func tandemStartBatch(s *Session, b *Batch) *tandem_rt.Span {
	if !tandemBatch.On() {
		return nil
	}
	span := db.StartDetached(tandemBatch, tandem_rt.FromContext(b.Context()), &s.tandem)
	if span != nil {
		tandemDescribeBatch(span, b)
	}
	return span
}

// tandemDescribeBatch says what the batch does, on a stack frame that only those pay for who come here.
//
//go:noinline
func tandemDescribeBatch(span *tandem_rt.Span, b *Batch) {
	batch := db.Batch{Dialect: db.CQL}
	idempotent := true
	for i := range b.Entries {
		batch.Add(b.Entries[i].Stmt)
		idempotent = idempotent && b.Entries[i].Idempotent
	}
	batch.Describe(span)
	if span.Recording() {
		tandemDescribe(span, b.Cons, idempotent)
	}
}

func tandemDescribe(span *tandem_rt.Span, level Consistency, idempotent bool) {
	if int(level) < len(tandemConsistencies) && tandemConsistencies[level] != "" {
		span.Str(tandemConsistency, tandemConsistencies[level])
	}
	span.Bool(tandemIdempotent, idempotent)
}

// tandemEnd ends the span when there is an answer, or none. Who answered last is known then.
func tandemEnd(span *tandem_rt.Span, result **Iter) {
	if span == nil {
		return
	}
	iter := *result
	if iter == nil { // it panics
		span.End()
		return
	}
	if host := iter.host; host != nil && span.Recording() {
		span.Str(tandemCoordinator, host.HostID())
		span.Str(tandemCoordinatorDC, host.DataCenter())
	}
	db.End(span, iter.err, tandemErrors)
}
