package http2

import (
	"testing"

	"golang.org/x/net/http2/hpack"
)

// What is in a list stays; nine fields take no more allocations than eight did.
func TestTandemRoom(t *testing.T) {
	allocations := testing.AllocsPerRun(10, func() {
		var fields []hpack.HeaderField
		for i := 0; i < 9; i++ {
			fields = append(tandemRoom(fields), hpack.HeaderField{})
		}
		if len(fields) != 9 {
			t.Fatal(len(fields))
		}
	})
	if allocations > 4 {
		t.Error(allocations)
	}
}
