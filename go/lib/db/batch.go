package db

import (
	"unsafe"

	"tandem/rt"
)

// This file tells what a batch of queries does, as the conventions want it: what all its queries have in common, and their
// texts one after the other. A batch of one is its query.

// batchLimit bounds the queries that are read. What is behind them counts as different from them, unless it is the last text again.
const batchLimit = 64

// Batch is what the queries of a batch tell. It is large and lives on the stack of the one who asks. The zero value is of a
// database whose dialect is not known.
type Batch struct {
	Dialect Dialect

	size             int
	latest           string // the last text: most batches repeat one
	texts            reader // the texts, one after the other
	operation        string
	otherOperation   bool // not all have that operation
	table, procedure shared
	summary          shared
}

// shared is a text that all queries of a batch have so far.
type shared struct {
	bytes  [summaryLimit]byte
	size   int
	differ bool
}

func (s *shared) meet(text string, first bool) {
	if first {
		s.size = copy(s.bytes[:], text)
	} else if !s.differ && string(s.bytes[:s.size]) != text {
		s.differ, s.size = true, 0
	}
}

// Add looks at the next query.
func (b *Batch) Add(query string) {
	b.size++
	first := b.size == 1
	if !first && query == b.latest {
		return
	}
	b.latest = query
	if b.size > batchLimit {
		b.otherOperation, b.texts.textFull = true, true
		b.table, b.procedure, b.summary = shared{differ: true}, shared{differ: true}, shared{differ: true}
		return
	}
	known := recall(query, b.Dialect)
	if known == nil {
		b.addNew(query, first)
		return
	}
	b.add(known, known.operation, first)
}

// addNew reads the query, on a stack frame that only those pay for who come here.
//
//go:noinline
func (b *Batch) addNew(query string, first bool) {
	var read reader
	read.read(query, b.Dialect)
	found := read.statement()
	b.add(&found, read.operation, first)
}

// add keeps nothing of found, which may hold the reader's own texts.
func (b *Batch) add(found *statement, operation string, first bool) {
	if !first {
		b.texts.put("; ")
	}
	b.texts.put(found.text)
	b.table.meet(found.table, first)
	b.procedure.meet(found.procedure, first)
	b.summary.meet(found.summary, first)
	if first {
		b.operation = operation
	} else if b.operation != operation {
		b.otherOperation = true
	}
}

// Describe says on the span what the batch does.
func (b *Batch) Describe(span *rt.Span) {
	if span == nil {
		return
	}
	found := b.texts.statement()
	found.table, found.procedure, found.summary = b.table.text(), b.procedure.text(), b.summary.text()
	if b.size == 1 {
		found.operation = b.operation
		found.describe(span)
		return
	}
	span.Int(KeyBatchSize, int64(b.size))
	if b.otherOperation || b.operation == "" {
		span.Str(rt.KeyDBOperationName, "BATCH")
	} else {
		span.Join(rt.KeyDBOperationName, "BATCH ", b.operation)
	}
	if found.summary == "" {
		span.Str(rt.KeyDBQuerySummary, "BATCH")
	} else {
		span.Join(rt.KeyDBQuerySummary, "BATCH ", found.summary)
	}
	found.operation, found.summary = "", ""
	found.describe(span)
}

func (s *shared) text() string {
	return unsafe.String(&s.bytes[0], s.size)
}
