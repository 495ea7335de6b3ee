//go:build woven

package main

import (
	"log"
	"time"

	"example.com/bench/programs/control"
	"example.com/bench/programs/paired"
)

// cases are each call in each mode of the hooks. An agent takes what is recorded.
func cases(figures *paired.Figures) (cases []paired.Case, finish func() error, err error) {
	memory, err := control.Open()
	if err != nil {
		return nil, nil, err
	}
	taken := func() {
		for limit := time.Now().Add(time.Second); memory.Waiting() > 0 && time.Now().Before(limit); {
			time.Sleep(time.Millisecond)
		}
	}
	for _, each := range calls(plain()) {
		figures.Counts[each.name+" spans"] = float64(each.spans)
		var written, dropped uint64
		begin := func(enter func()) func() {
			return func() { enter(); written, dropped = memory.Written(), memory.Dropped() }
		}
		records := each.spans + each.logs
		end := func(mode string, should bool) func() {
			return func() {
				taken()
				if err := control.Recorded(memory.Written()-written, memory.Dropped()-dropped, each.count*max(records, 1), should); err != nil {
					log.Fatal(each.name, mode, ": ", err)
				}
				figures.Counts[each.name+mode+" line"] = float64(each.lineSize())
			}
		}
		cases = append(cases,
			paired.Case{Name: each.name + ", dormant", Count: each.count, Do: each.do, Set: begin(memory.Dormant), Clear: end(", dormant", false)},
			paired.Case{Name: each.name + ", traced", Count: each.count, Do: counted(figures, each), Set: begin(memory.Traced), Clear: end(", traced", records > 0)})
		if each.decided {
			continue
		}
		unsampled := each // its log records are kept all the same
		unsampled.spans, unsampled.whole = 0, 0
		cases = append(cases, paired.Case{Name: each.name + ", unsampled", Count: each.count, Do: counted(figures, unsampled), Set: begin(memory.Unsampled), Clear: end(", unsampled", each.logs > 0)})
	}
	return cases, func() error {
		taken()
		figures.Counts["dropped"] = float64(memory.Dropped())
		return nil
	}, nil
}
