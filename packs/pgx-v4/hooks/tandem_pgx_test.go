package pgx

import (
	"context"
	"testing"
)

// What the hooks do for an operation costs no allocation.
func TestSpansAllocateNothing(t *testing.T) {
	c := &Conn{}
	c.tandem.target.Set("postgresql", "shop", "db.example", 5433)
	ctx := context.Background()
	rows := &connRows{}
	results := &batchResults{}
	batch := &Batch{}
	for i := 0; i < 10; i++ {
		batch.Queue("INSERT INTO products (id) VALUES ($1)", i)
	}
	var failed error
	for name, run := range map[string]func(){
		"Exec": func() { tandemEnd(tandemStartQuery(tandemExec, c, ctx, "DELETE FROM products WHERE id = $1"), &failed) },
		"Query": func() {
			tandemStartRows(c, ctx, "SELECT name FROM products WHERE id = $1")
			tandemTake(c, rows)
			tandemSent(c, &failed)
			if rows.tandemSpan == nil {
				t.Error("the rows have no span")
			}
			tandemEndRows(rows)
		},
		"Query without rows": func() {
			tandemStartRows(c, ctx, "SELECT name FROM products WHERE id = $1")
			tandemSent(c, &failed)
		},
		"SendBatch": func() {
			var sent BatchResults = results
			tandemSentBatch(c, tandemStartBatch(c, ctx, batch), &sent)
			tandemEndBatch(&results.tandemSpan, &failed)
		},
		"CopyFrom": func() { tandemEnd(tandemStartCopy(c, ctx, Identifier{"public", "products"}), &failed) },
		"Begin":    func() { tandemEnd(tandemStart(tandemBegin, c, ctx, "BEGIN"), &failed) },
	} {
		if n := testing.AllocsPerRun(1000, run); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	if c.tandem.busy != 0 || c.tandem.rows != nil {
		t.Error("the connection is not as it was")
	}
}

func BenchmarkQuerySpan(b *testing.B) {
	c, rows := &Conn{}, &connRows{}
	c.tandem.target.Set("postgresql", "shop", "db.example", 5433)
	var failed error
	b.ReportAllocs()
	for i := 0; i < b.N; i++ {
		tandemStartRows(c, context.Background(), "SELECT name FROM products WHERE id = $1")
		tandemTake(c, rows)
		tandemSent(c, &failed)
		tandemEndRows(rows)
	}
}
