package bbolt

import (
	"path/filepath"
	"testing"
)

// The hooks add no allocation to what a transaction itself makes.
func TestTandemAllocations(t *testing.T) {
	db, err := Open(filepath.Join(t.TempDir(), "test.db"), 0600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	nothing := func(*Tx) error { return nil }
	for name, do := range map[string]func(){
		"begin and end": func() { err := error(nil); tandemEnd(tandemStart(tandemUpdateOp, db, "UPDATE"), &err) },
		"a hook":        func() { err := error(nil); tandemEnd(tandemView(db), &err) },
	} {
		if allocations := testing.AllocsPerRun(100, do); allocations != 0 {
			t.Errorf("%s: %v allocations", name, allocations)
		}
	}
	if err := db.View(nothing); err != nil {
		t.Fatal(err)
	}
}
