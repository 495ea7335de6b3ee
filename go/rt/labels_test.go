package rt

import (
	"bytes"
	"context"
	"runtime/pprof"
	"strings"
	"testing"
)

// labelsNow is what a goroutine profile says of the goroutine that calls it. Another one takes it: before Go 1.23 it has none of
// its own labels.
func labelsNow(t *testing.T) string {
	t.Helper()
	taken := make(chan string)
	go func() {
		var profile bytes.Buffer
		pprof.Lookup("goroutine").WriteTo(&profile, 1)
		taken <- profile.String()
	}()
	for _, group := range strings.Split(<-taken, "\n\n") {
		if strings.Contains(group, "labelsNow+0x") {
			_, labels, _ := strings.Cut(group, "# labels: ")
			labels, _, _ = strings.Cut(labels, "\n")
			return labels
		}
	}
	t.Error("this goroutine is in no profile")
	return ""
}

func wanted(span *Span, more string) string {
	ids := appendHex(appendHex(nil, span.trace[:]), span.id[:])
	return "{" + more + `"span_id":"` + string(ids[32:]) + `", "trace_id":"` + string(ids[:32]) + `"}`
}

// Scenario: spans below each other, in other goroutines, in a worker, with labels of the program's own. Guarantees: profiles have
// the ids of the span that the slot holds, beside the program's labels, and none when there is none.
func TestLabelsFollowTheSlot(t *testing.T) {
	labelling = true
	defer func() { labelling = false }()
	done := make(chan bool)
	go func() { // with a slot of its own
		defer close(done)
		Detach()
		check := func(want string) {
			t.Helper()
			if labels := labelsNow(t); labels != want {
				t.Errorf("labels %s, want %s", labels, want)
			}
		}
		op := NewOp("test.labels", "test", KindInternal, "labels")
		check("")
		outer := Start(op, nil)
		check(wanted(outer, ""))
		inner := Start(op, nil)
		check(wanted(inner, ""))
		inner.End()
		check(wanted(outer, ""))

		inherited := make(chan bool)
		go func() {
			defer close(inherited)
			check(wanted(outer, ""))
			Detach()
			check("")
			previous := Resume(outer)
			check(wanted(outer, ""))
			Restore(previous)
			check("")
		}()
		<-inherited

		outer.End()
		check("")
		pprof.Do(context.Background(), pprof.Labels("a", "1"), func(context.Context) {
			span := Start(op, nil)
			check(wanted(span, `"a":"1", `))
			span.End()
			check(`{"a":"1"}`)
		})
		check("")
	}()
	<-done
}
