package rt

import (
	"testing"
	"time"
)

// Nothing on the hot path allocates.
func TestAllocations(t *testing.T) {
	root := Start(opServer, nil)
	root.End()
	cases := map[string]func(){
		"server span with ten attributes": func() {
			span := StartRemote(opServer, "", "")
			tenAttributes(span)
			span.End()
		},
		"server span of a remote trace": func() {
			span := StartRemote(opServer, "00-0102030405060708090a0b0c0d0e0f10-1112131415161718-01", "a=b")
			tenAttributes(span)
			span.Replace(KeyHTTPRoute, "/other")
			span.Join(KeyURLFull, "http", "://", "host", "/path")
			var header [TraceparentSize]byte
			span.AppendTraceparent(header[:0])
			span.End()
		},
		"nested child": func() {
			span := Start(opServer, nil)
			child := Start(opInternal, nil)
			sixAttributes(child)
			child.SetError("type", "message")
			child.End()
			span.End()
		},
		"child of an explicit span": func() {
			span := Start(opServer, nil)
			child := Start(opInternal, FromContext(&contextOf{span}))
			child.End()
			span.End()
		},
		"detached": func() { StartDetached(opInternal, nil).End() },
		"event": func() {
			span := Start(opInternal, nil)
			span.Event(KeyException)
			span.EventStr(KeyExceptionType, "x")
			span.EventEnd()
			span.End()
		},
		"with waits": func() {
			span := Start(opInternal, nil)
			time.Sleep(time.Microsecond)
			span.End()
		},
		"withdrawn": func() {
			span := StartRemote(opServer, "", "")
			if !span.Withdraw() {
				t.Error("somebody holds it")
			}
			span.End()
		},
	}
	for name, work := range cases {
		if count := testing.AllocsPerRun(500, func() { work(); catchUp() }); count != 0 {
			t.Errorf("%s: %v allocations", name, count)
		}
	}
	sample(t, "always_off", "")
	if count := testing.AllocsPerRun(500, cases["server span with ten attributes"]); count != 0 {
		t.Errorf("not sampled, with its count: %v allocations", count)
	}
}
