package memcache

import (
	"testing"
)

// A command's span costs no allocation.
func TestSpanAllocatesNothing(t *testing.T) {
	var list ServerList
	if err := list.SetServers("127.0.0.1:11211"); err != nil {
		t.Fatal(err)
	}
	addr, err := list.PickServer("key")
	if err != nil {
		t.Fatal(err)
	}
	miss := ErrCacheMiss
	if n := testing.AllocsPerRun(1000, func() {
		span := tandemStart("get")
		tandemServer(addr, nil)
		tandemEnd(span, &miss)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkSpan(b *testing.B) {
	var list ServerList
	list.SetServers("127.0.0.1:11211")
	addr, _ := list.PickServer("key")
	var failed error
	b.ReportAllocs()
	for i := 0; i < b.N; i++ {
		span := tandemStart("get")
		tandemServer(addr, nil)
		tandemEnd(span, &failed)
	}
}
