package sql

import (
	"strings"
	"sync/atomic"
	"unsafe"
)

// This file remembers what queries tell. Most programs send the same few texts all the time; the second time in a row
// that a text comes by it is read into a small table, and from then on costs a comparison. Texts that are new every time
// are never stored; nothing here waits or grows.

const (
	tandemSlots = 512 // a power of two
	// tandemStoreLimit keeps large queries out of the table.
	tandemStoreLimit = 4096
)

// tandemStatement is what one query's text tells. It never changes.
type tandemStatement struct {
	query   string // a copy: nobody else's memory is held
	dialect tandemDialect

	operation, table, procedure, summary, text string
}

var (
	tandemStatements [tandemSlots]atomic.Pointer[tandemStatement]
	tandemLastSeen   [tandemSlots]atomic.Uint64 // hash of the last text that was not in its slot
)

// tandemRecall returns what is known about a query; nil: it has to be read.
func tandemRecall(query string, dialect tandemDialect) *tandemStatement {
	if len(query) < 8 || len(query) > tandemStoreLimit {
		return nil
	}
	hash := tandemHash(query)
	slot := hash % tandemSlots
	known := tandemStatements[slot].Load()
	if known != nil && known.query == query && known.dialect == dialect {
		return known
	}
	if tandemLastSeen[slot].Load() != hash {
		tandemLastSeen[slot].Store(hash)
		return nil
	}
	known = tandemStore(query, dialect)
	tandemStatements[slot].Store(known)
	return known
}

// tandemHash looks at the length and at five places: enough to find a slot, the texts are compared anyway.
func tandemHash(query string) uint64 {
	const prime = 0x9e3779b97f4a7c15
	last := len(query) - 8
	hash := uint64(len(query)) * prime
	for _, at := range [...]int{0, last / 4, last / 2, last / 4 * 3, last} {
		part := query[at : at+8]
		word := uint64(part[0]) | uint64(part[1])<<8 | uint64(part[2])<<16 | uint64(part[3])<<24 |
			uint64(part[4])<<32 | uint64(part[5])<<40 | uint64(part[6])<<48 | uint64(part[7])<<56
		hash = (hash ^ word) * prime
		hash ^= hash >> 29
	}
	return hash
}

// tandemStore reads a query once and for all.
func tandemStore(query string, dialect tandemDialect) *tandemStatement {
	var read tandemQuery
	read.read(query, dialect)
	found := read.statement()
	found.query, found.dialect = strings.Clone(query), dialect
	found.operation = strings.Clone(found.operation)
	found.table = strings.Clone(found.table)
	found.procedure = strings.Clone(found.procedure)
	found.summary = strings.Clone(found.summary)
	found.text = strings.Clone(found.text)
	return &found
}

// statement returns what was read, as long as the reader lives: its texts are the reader's own.
func (q *tandemQuery) statement() tandemStatement {
	summary := unsafe.String(&q.summary[0], q.summarySize)
	return tandemStatement{
		operation: q.operation,
		table:     summary[q.collection[0]:q.collection[1]],
		procedure: summary[q.procedure[0]:q.procedure[1]],
		summary:   summary,
		text:      unsafe.String(&q.text[0], q.textSize),
	}
}
