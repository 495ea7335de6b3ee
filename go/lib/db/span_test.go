package db

import (
	"errors"
	"strings"
	"testing"

	"tandem/rt"
)

var opTest = rt.NewOp("db.test", "tandem/db", rt.KindClient, Name)

// Describing an operation costs no allocation, nor does ending it well, whether the target fits into one copy or not.
func TestSpanAllocatesNothing(t *testing.T) {
	var target, long Target
	target.Set("cassandra", "shop", "db.example", 9042)
	long.Set("postgresql", strings.Repeat("n", 100), strings.Repeat("a", 100), 5432)
	if !long.fixed.Empty() || target.fixed.Empty() {
		t.Fatal("nothing is tested")
	}
	for _, each := range []*Target{&target, &long, {}} {
		if n := testing.AllocsPerRun(1000, func() {
			End(StartQuery(opTest, nil, each, "", "SELECT id, name FROM products WHERE id IN (1, 2)"), nil, nil)
			End(Start(opTest, nil, each, "GET", "products"), nil, nil)
			span := Start(opTest, nil, each, "BATCH", "")
			span.Int(KeyBatchSize, 3)
			DescribeQuery(span, CQL, "INSERT INTO products (id) VALUES (?)")
			End(span, nil, nil)
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
}

// A span that is off is nil, and everything takes it.
func TestNoSpan(t *testing.T) {
	before := rt.Ignore()
	defer rt.Restore(before)
	var target Target
	if Start(opTest, nil, &target, "GET", "") != nil || StartQuery(opTest, nil, &target, "", "SELECT 1") != nil {
		t.Fatal("there is a span")
	}
	DescribeQuery(nil, 0, "SELECT 1")
	Fail(nil, errors.New("no"), nil)
	End(nil, errors.New("no"), nil)
}

func BenchmarkSpan(b *testing.B) {
	var target Target
	target.Set("postgresql", "shop", "db.example", 5433)
	b.Run("query", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; i < b.N; i++ {
			End(StartQuery(opTest, nil, &target, "", "SELECT id, name FROM products WHERE id = $1"), nil, nil)
		}
	})
	b.Run("command", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; i < b.N; i++ {
			End(Start(opTest, nil, &target, "GET", ""), nil, nil)
		}
	})
}
