package db

import (
	"errors"
	"strings"
	"testing"

	"tandem/rt"
)

var opTest = NewOp("db.test", "tandem/db", Name)

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

// A longer template would be cut, and its last alternatives lost.
func TestNamesFit(t *testing.T) {
	for _, name := range []string{Name, NameCommand} {
		if len(name) > 112 {
			t.Errorf("%d bytes: %s", len(name), name)
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

// Below an operation that is current there is no other; below one that is detached, or muted, or on another goroutine there is.
func TestInside(t *testing.T) {
	before := rt.Unset()
	defer rt.Restore(before)
	var target Target
	target.Set("redis", "", "", 0)
	outer := Start(opTest, nil, &target, "GET", "")
	if outer == nil || !Inside() || Start(opTest, nil, &target, "GET", "") != nil || StartDetached(opTest, nil, &target) != nil {
		t.Error("an operation serves another, and has a span of its own")
	}
	elsewhere := make(chan bool)
	go func() { elsewhere <- Inside() }()
	if <-elsewhere {
		t.Error("another goroutine is inside")
	}
	End(outer, nil, nil)
	detached := StartDetached(opTest, nil, &target)
	if Inside() {
		t.Error("an operation that is not current is one that others are inside of")
	}
	End(detached, nil, nil)
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
