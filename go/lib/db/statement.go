package db

import (
	"strings"
	"sync/atomic"
	"unsafe"
)

// This file remembers what queries tell. Most programs send the same few texts all the time; the second time in a row
// that a text comes by it is read into a small table, and from then on costs a comparison. Texts that are new every time
// are never stored; nothing here waits or grows.

const (
	slotCount = 512 // a power of two
	// storeLimit keeps large queries out of the table.
	storeLimit = 4096
)

// statement is what one query's text tells. It never changes.
type statement struct {
	query   string // a copy: nobody else's memory is held
	dialect Dialect

	operation, table, procedure, summary, text string
}

var (
	statements [slotCount]atomic.Pointer[statement]
	lastSeen   [slotCount]atomic.Uint64 // hash of the last text that was not in its slot
)

// recall returns what is known about a query; nil: it has to be read.
func recall(query string, dialect Dialect) *statement {
	if len(query) < 8 || len(query) > storeLimit {
		return nil
	}
	hash := hash(query)
	slot := hash % slotCount
	known := statements[slot].Load()
	if known != nil && known.query == query && known.dialect == dialect {
		return known
	}
	if lastSeen[slot].Load() != hash {
		lastSeen[slot].Store(hash)
		return nil
	}
	known = store(query, dialect)
	statements[slot].Store(known)
	return known
}

// hash looks at the length and at five places: enough to find a slot, the texts are compared anyway. Each place has a factor of
// its own, so that no multiplication waits for another; the upper half, which all of them reach, is mixed into the lower.
func hash(query string) uint64 {
	last := len(query) - 8
	hash := uint64(len(query))*0x9e3779b97f4a7c15 ^
		(word(query, 0)*0xff51afd7ed558ccd + word(query, last/4)*0xc4ceb9fe1a85ec53 + word(query, last/2)*0x9fb21c651e98df25 +
			word(query, last/4*3)*0xd6e8feb86659fd93 + word(query, last)*0xa0761d6478bd642f)
	return hash ^ hash>>32
}

// word is the eight bytes at a place, in one load.
func word(query string, at int) uint64 {
	part := query[at : at+8]
	return uint64(part[0]) | uint64(part[1])<<8 | uint64(part[2])<<16 | uint64(part[3])<<24 |
		uint64(part[4])<<32 | uint64(part[5])<<40 | uint64(part[6])<<48 | uint64(part[7])<<56
}

// store reads a query once and for all.
func store(query string, dialect Dialect) *statement {
	var read reader
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
func (q *reader) statement() statement {
	summary := unsafe.String(&q.summary[0], q.summarySize)
	return statement{
		operation: q.operation,
		table:     summary[q.collection[0]:q.collection[1]],
		procedure: summary[q.procedure[0]:q.procedure[1]],
		summary:   summary,
		text:      unsafe.String(&q.text[0], q.textSize),
	}
}
