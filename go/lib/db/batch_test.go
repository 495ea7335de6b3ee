package db

import (
	"strconv"
	"strings"
	"testing"
)

// What a batch's queries have in common, and how many they are.
func TestBatch(t *testing.T) {
	for _, test := range []struct {
		queries                         []string
		operation, table, summary, text string
		otherOperation                  bool
	}{
		{queries: []string{"INSERT INTO t VALUES (1)"}, operation: "INSERT", table: "t", summary: "INSERT t", text: "INSERT INTO t VALUES (?)"},
		{queries: []string{"INSERT INTO t VALUES ($1)", "INSERT INTO t VALUES ($1)"}, operation: "INSERT", table: "t", summary: "INSERT t", text: "INSERT INTO t VALUES ($1)"},
		{queries: []string{"INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2, 'a')"}, operation: "INSERT", table: "t", summary: "INSERT t", text: "INSERT INTO t VALUES (?); INSERT INTO t VALUES (?, ?)"},
		{queries: []string{"INSERT INTO t VALUES (1)", "DELETE FROM t"}, operation: "INSERT", otherOperation: true, table: "t", text: "INSERT INTO t VALUES (?); DELETE FROM t"},
		{queries: []string{"SELECT 1", "SELECT a FROM t"}, operation: "SELECT", text: "SELECT ?; SELECT a FROM t"},
	} {
		batch := Batch{Dialect: PostgreSQL}
		for _, query := range test.queries {
			batch.Add(query)
		}
		found := batch.texts.statement()
		if batch.operation != test.operation || batch.otherOperation != test.otherOperation || batch.table.text() != test.table ||
			batch.summary.text() != test.summary || found.text != test.text || batch.size != len(test.queries) {
			t.Errorf("%q: %q %t %q %q %q", test.queries, batch.operation, batch.otherOperation, batch.table.text(), batch.summary.text(), found.text)
		}
	}
}

// A long batch is not read to its end, and costs no allocation.
func TestLongBatch(t *testing.T) {
	queries := make([]string, 200)
	for i := range queries {
		queries[i] = "INSERT INTO t" + strings.Repeat("x", i%5) + " VALUES (" + strconv.Itoa(i) + ")"
	}
	if n := testing.AllocsPerRun(10, func() {
		span := StartDetached(opTest, nil, &Target{})
		batch := Batch{Dialect: PostgreSQL}
		for _, query := range queries {
			batch.Add(query)
		}
		if !batch.otherOperation || batch.size != len(queries) || batch.table.text() != "" {
			t.Error("what was not read counts as known")
		}
		batch.Describe(span)
		End(span, nil, nil)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
