package db

import "tandem/rt"

// This file makes the spans of operations. The hook looks whether its operation is on and asks the context for its span,
// since only the hook knows the context's type:
//
//	if !op.On() {
//		return nil
//	}
//	span := db.StartQuery(op, rt.FromContext(ctx), target, "", query)

// Name is the name of spans of databases that have a query language. NameCommand is that of the others, whose operations
// are commands on keys or collections. A record has room for 112 bytes of a name.
const (
	Name        = "{db.query.summary}|{db.operation.name} {db.namespace}|{db.operation.name}|{db.system.name}"
	NameCommand = "{db.operation.name} {db.collection.name}|{db.operation.name} {server.address}:{server.port}|{db.operation.name}"
)

// KeyBatchSize is db.operation.batch.size: the number of operations in a batch, if there is more than one.
var KeyBatchSize = rt.NewKey("db.operation.batch.size")

// NewOp registers an operation of a database's client. It is for initialisers of package-level variables only.
func NewOp(id, scope, name string) *rt.Op { return rt.NewOp(id, scope, rt.KindClient, name) }

// Inside says whether the goroutine is inside the operation of a database's client: then a client below it serves that
// operation (a driver database/sql, say), and makes no span of its own.
func Inside() bool {
	span := rt.Woven()
	return span.Home() && span.Has(rt.KeyDBSystemName)
}

// Start begins the span of an operation that has no query; collection may be empty. The span is current until it ends. It is
// nil inside another operation.
func Start(op *rt.Op, explicit *rt.Span, target *Target, operation, collection string) *rt.Span {
	if Inside() {
		return nil
	}
	span := rt.Start(op, explicit)
	if span == nil {
		return nil
	}
	target.Describe(span)
	span.Str(rt.KeyDBOperationName, operation)
	if collection != "" {
		span.Str(rt.KeyDBCollectionName, collection)
	}
	return span
}

// StartQuery begins the span of an operation that has a query. For a statement that is prepared, prefix is PREPARE; else it
// is empty and the operation is the query's own.
func StartQuery(op *rt.Op, explicit *rt.Span, target *Target, prefix, query string) *rt.Span {
	if Inside() {
		return nil
	}
	span := rt.Start(op, explicit)
	if span == nil {
		return nil
	}
	target.Describe(span)
	if prefix != "" {
		describeNew(span, target.Dialect, prefix, query)
	} else {
		DescribeQuery(span, target.Dialect, query)
	}
	return span
}

// StartDetached begins the span of an operation that goes on when the hook has returned, and is never current: of one whose
// result is read row by row. The hook says what it is.
func StartDetached(op *rt.Op, explicit *rt.Span, target *Target) *rt.Span {
	if Inside() {
		return nil
	}
	span := rt.StartDetached(op, explicit)
	if span != nil {
		target.Describe(span)
	}
	return span
}

// StartCopy begins the span of COPY, which fills a table whose name has these parts.
func StartCopy(op *rt.Op, explicit *rt.Span, target *Target, table []string) *rt.Span {
	span := Start(op, explicit, target, "COPY", "")
	switch len(table) {
	case 1:
		span.Str(rt.KeyDBCollectionName, table[0])
		span.Join(rt.KeyDBQuerySummary, "COPY ", table[0])
	case 2:
		span.Join(rt.KeyDBCollectionName, table[0], ".", table[1])
		span.Join(rt.KeyDBQuerySummary, "COPY ", table[0], ".", table[1])
	}
	return span
}

// DescribeQuery says on a span that has been started what its query does.
func DescribeQuery(span *rt.Span, dialect Dialect, query string) {
	if span == nil {
		return
	}
	if known := recall(query, dialect); known != nil {
		known.describe(span)
		return
	}
	describeNew(span, dialect, "", query)
}

// describeNew reads the query, on a stack frame that only those pay for who come here.
//
//go:noinline
func describeNew(span *rt.Span, dialect Dialect, prefix, query string) {
	var read reader
	if prefix != "" {
		read.add(prefix)
		read.operation = prefix
	}
	read.read(query, dialect)
	found := read.statement()
	found.describe(span)
}

// describe says what the query does.
func (s *statement) describe(span *rt.Span) {
	if s.operation != "" {
		span.Str(rt.KeyDBOperationName, s.operation)
	}
	if s.table != "" {
		span.Str(rt.KeyDBCollectionName, s.table)
	}
	if !span.Recording() {
		return
	}
	if s.procedure != "" {
		span.Str(rt.KeyDBStoredProcedureName, s.procedure)
	}
	if s.summary != "" {
		span.Str(rt.KeyDBQuerySummary, s.summary)
	}
	if s.text != "" {
		span.Str(rt.KeyDBQueryText, s.text)
	}
}

// End ends the span of an operation that returns err. What is no failure, such as a key that is not there, is nil.
func End(span *rt.Span, err error, names Errors) {
	if span == nil {
		return
	}
	if err != nil {
		Fail(span, err, names)
	}
	span.End()
}

// Fail gives the span status error, and says which: by the database's code, else by the kind of error.
func Fail(span *rt.Span, err error, names Errors) {
	if span == nil {
		return
	}
	code, kind, message := describe(err, names)
	if code != "" {
		span.Str(rt.KeyDBResponseStatusCode, code)
	}
	span.SetError(kind, message)
}
