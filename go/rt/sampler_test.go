package rt

import (
	"math"
	"sync/atomic"
	"testing"
)

func TestSampler(t *testing.T) {
	const all, none, half, tenth = 1, 0, 0.5, 0.1
	for _, test := range []struct {
		name, argument             string
		root, remoteKept, remoteNo float64
	}{
		{"", "", all, all, none},
		{"parentbased_always_on", "", all, all, none},
		{"parentbased_always_off", "", none, all, none},
		{"parentbased_traceidratio", "0.5", half, all, none},
		{"parentbased_traceidratio", "1e-1", tenth, all, none},
		{"parentbased_traceidratio", "0", none, all, none},
		{"parentbased_traceidratio", "", all, all, none},
		{"parentbased_traceidratio", "2", all, all, none},
		{"parentbased_traceidratio", "x", all, all, none},
		{"always_on", "", all, all, all},
		{"always_off", "", none, none, none},
		{"traceidratio", "0.5", half, half, half},
		{"traceidratio", ".5", half, half, half},
		{" TraceIDRatio\t", " 0.5 ", half, half, half},
		{"PARENTBASED_ALWAYS_OFF", "", none, all, none},
		{"jaeger_remote", "", all, all, none},
		{"parentbased_jaeger_remote", "", all, all, none},
		{"xray", "", all, all, none},
		{"parentbased_", "", all, all, none},
	} {
		sample(t, test.name, test.argument)
		share := func(decide func(*[16]byte) bool) float64 {
			kept := 0
			const traces = 20000
			for count := 0; count < traces; count++ {
				words := [2]uint64{rand(), rand()}
				if decide((*[16]byte)(bytesOf(&words))) {
					kept++
				}
			}
			return float64(kept) / traces
		}
		check := func(what string, got, want float64) {
			if math.Abs(got-want) > 0.02 || (want == none || want == all) && got != want {
				t.Errorf("%s %s, %s: %v instead of %v", test.name, test.argument, what, got, want)
			}
		}
		remote := func(flags uint8) func(*[16]byte) bool {
			return func(id *[16]byte) bool {
				kept, _ := ownSampler.continued(&parent{trace: *id, flags: flags}, "", rootRule())
				return kept
			}
		}
		check("root", share(func(id *[16]byte) bool { return randomness(id) >= rootRule().threshold }), test.root)
		check("remote, kept", share(remote(sampledFlag)), test.remoteKept)
		check("remote, not kept", share(remote(0)), test.remoteNo)
	}
}

// The agent's threshold replaces the program's own for new roots, and only for these.
func TestAgentSamples(t *testing.T) {
	defer atomic.StoreUint32(&control.flags, 0)
	sample(t, "parentbased_always_on", "")
	atomic.StoreUint64(&control.samplingThreshold, neverSample)
	atomic.StoreUint32(&control.flags, controlSampling)
	root := Start(opServer, nil)
	if root.Sampled() {
		t.Error("the agent's threshold is not used")
	}
	child := Start(opInternal, nil)
	if child.Sampled() || child.TraceID() != root.TraceID() || child.Traceparent()[53:] != "00" {
		t.Error("the child does not follow")
	}
	child.End()
	root.End()
	remote := StartRemote(opServer, goodTraceparent, "")
	if !remote.Sampled() {
		t.Error("the remote parent's decision is not honoured")
	}
	remote.End()
	drain(t)
}

// What the agent says of single operations: spans within others are only counted, and what is below them becomes their
// parents'; of new traces a share is recorded; a rule that names the operation beats the one for all.
func TestRules(t *testing.T) {
	const counted = 0xff << 8
	rule := func(op *Op, threshold uint16, flags uint64) uint64 {
		id := uint64(0)
		if op != nil {
			id = uint64(op.id)
		}
		return id | uint64(threshold)<<32 | (flags|ruleUsed)<<48
	}
	set := func(rules ...uint64) {
		for index := range control.rules {
			atomic.StoreUint64(&control.rules[index], 0)
		}
		for index, rule := range rules {
			atomic.StoreUint64(&control.rules[index], rule)
		}
		atomic.StoreUint32(&control.flags, 0)
		if len(rules) > 0 {
			atomic.StoreUint32(&control.flags, controlRules)
		}
	}
	defer set()
	sample(t, "parentbased_always_on", "")
	drain(t)

	opClient := NewOp("test.client", "tandem/test", KindClient, "client")
	set(rule(nil, 0, 0), rule(opClient, 0, counted))
	root := Start(opServer, nil)
	noisy := Start(opClient, nil)
	inner := Start(opInternal, nil)
	if root.SpanID() != noisy.SpanID() || noisy.Recording() || !noisy.Sampled() || !inner.Recording() {
		t.Error("a span that is only counted")
	}
	if inner.parentID != root.number() {
		t.Error("what is below it is not the parent's")
	}
	inner.End()
	noisy.End()
	root.End()
	alone := Start(opClient, nil)
	if !alone.Recording() {
		t.Error("a root is recorded whatever is said of spans within others")
	}
	alone.End()
	if allocations := testing.AllocsPerRun(100, func() {
		root := Start(opServer, nil)
		Start(opClient, nil).End()
		root.End()
	}); allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}

	set(rule(opClient, 0, 0x40<<8))
	recorded := 0
	for count := 0; count < 4000; count++ {
		root := Start(opServer, nil)
		child := Start(opClient, nil)
		if child.Recording() {
			recorded++
		}
		if trace := child.TraceID(); child.Recording() != (trace[15] >= 0x40) {
			t.Fatal("another part of the traces")
		}
		child.End()
		root.End()
		if count%256 == 0 {
			drain(t)
		}
	}
	if got := float64(recorded) / 4000; math.Abs(got-0.75) > 0.05 {
		t.Errorf("%v instead of three quarters", got)
	}

	share := func(op *Op) float64 {
		kept := 0
		const traces = 4000
		for count := 0; count < traces; count++ {
			root := Start(op, nil)
			if root.Sampled() {
				kept++
			}
			if (root.Tracestate() == "ot=th:c") != (root.Sampled() && op == opServer) {
				t.Fatalf("tracestate %q of %v", root.Tracestate(), root.Sampled())
			}
			root.End()
		}
		return float64(kept) / traces
	}
	set(rule(opServer, 0xc000, 0), rule(nil, 0xffff, 0), rule(opInternal, 0, 0))
	if got := share(opServer); math.Abs(got-0.25) > 0.05 {
		t.Errorf("%v instead of a quarter", got)
	}
	if got := share(opInternal); got != 1 {
		t.Errorf("%v of an operation that is to be recorded as before", got)
	}
	remote := StartRemote(opServer, goodTraceparent, "")
	if !remote.Sampled() {
		t.Error("the remote parent's decision is not honoured")
	}
	remote.End()

	sample(t, "parentbased_always_off", "")
	set(rule(opServer, 0, ruleAll), rule(opInternal, 0, 0))
	for op, want := range map[*Op]bool{opServer: true, opInternal: false} {
		if root := Start(op, nil); root.Sampled() != want {
			t.Errorf("sampled %v", !want)
		} else {
			root.End()
		}
	}
	forgetRules()
	if root := Start(opServer, nil); root.Sampled() {
		t.Error("rules of an agent that is gone")
	} else {
		root.End()
	}
	drain(t)
}

// tellRoutes plays the agent that writes the table.
func tellRoutes(entries ...routeLayout) {
	atomic.StoreUint32(&control.flags, atomic.LoadUint32(&control.flags)&^controlRoutes)
	*routes = [routeCount]routeLayout{}
	for index, entry := range entries {
		word := entry.word
		entry.word = 0
		routes[index] = entry
		atomic.StoreUint64(&routes[index].word, word)
	}
	if len(entries) > 0 {
		atomic.StoreUint32(&control.flags, atomic.LoadUint32(&control.flags)|controlRoutes)
	}
}

func routeOf(pattern string, threshold uint16, flags uint64) routeLayout {
	entry := routeLayout{word: uint64(threshold)<<32 | (flags|ruleUsed)<<48}
	entry.size = uint32(copy(entry.pattern[:], pattern))
	return entry
}

// keptOf is the share of new traces that are kept of those that ask for something. What is below them is kept as they are, and all is
// counted.
func keptOf(t *testing.T, path, state string) float64 {
	t.Helper()
	kept := 0
	const traces = 4000
	for count := 0; count < traces; count++ {
		in := Incoming{Path: path}
		root := StartIncoming(opServer, &in)
		child := Start(opInternal, nil)
		want := ""
		if root.Sampled() {
			kept++
			want = state
		}
		if root.Tracestate() != want || child.Sampled() != root.Sampled() || child.Tracestate() != want {
			t.Fatalf("%s, sampled %v: tracestate %q, the child's %v %q", path, root.Sampled(), root.Tracestate(), child.Sampled(), child.Tracestate())
		}
		child.End()
		root.End()
		if count%256 == 0 {
			drain(t)
		}
	}
	return float64(kept) / traces
}

// Of new traces a share is recorded by what they ask for, whatever is said of their operation; of two shares the larger one keeps all
// that the smaller one does. The first entry that fits counts; what none fits is as the operation's rule says; what somebody else has
// decided stays so.
func TestRoutes(t *testing.T) {
	defer func() {
		tellRoutes()
		atomic.StoreUint64(&control.rules[0], 0)
		atomic.StoreUint32(&control.flags, 0)
	}()
	sample(t, "parentbased_always_on", "")
	drain(t)
	atomic.StoreUint64(&control.rules[0], 0xff00<<32|ruleUsed<<48)
	atomic.StoreUint32(&control.flags, controlRules)
	tellRoutes(routeOf("/cart/mine", 0, 0), routeOf("/cart/*", 0xc000, 0), routeOf("/busy", 0x8000, 0))
	for _, test := range []struct {
		path, state string
		share       float64
	}{
		{"/cart/mine", "", 1}, {"/cart/7", "ot=th:c", 0.25}, {"/busy", "ot=th:8", 0.5}, {"/busy/", "ot=th:ff", 1.0 / 256}, {"", "ot=th:ff", 1.0 / 256},
	} {
		if got := keptOf(t, test.path, test.state); math.Abs(got-test.share) > 0.05 || test.share == 1 && got != 1 {
			t.Errorf("%q: %v instead of %v", test.path, got, test.share)
		}
	}
	tellRoutes(routeOf("*", 0xffff, 0))
	remote := StartIncoming(opServer, &Incoming{Path: "/busy", traceparent: goodTraceparent})
	if !remote.Sampled() {
		t.Error("the remote parent's decision is not honoured")
	}
	served := StartServed(opServer, nil, "/busy")
	if !served.Sampled() {
		t.Error("what is within another span is no new trace")
	}
	served.End()
	remote.End()
	if allocations := testing.AllocsPerRun(100, func() {
		in := Incoming{Path: "/busy"}
		StartIncoming(opServer, &in).End()
	}); allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}

	// The program's own sampler counts, too, but where all are wanted.
	atomic.StoreUint64(&control.rules[0], 0)
	sample(t, "traceidratio", "0.25")
	tellRoutes(routeOf("/more", 0x8000, 0), routeOf("/less", 0xe000, 0), routeOf("/all", 0, ruleAll))
	for path, want := range map[string]struct {
		state string
		share float64
	}{"/more": {"ot=th:c", 0.25}, "/less": {"ot=th:e", 0.125}, "/all": {"ot=th:0", 1}, "/other": {"ot=th:c", 0.25}} {
		if got := keptOf(t, path, want.state); math.Abs(got-want.share) > 0.05 || want.share == 1 && got != 1 {
			t.Errorf("%q: %v instead of %v", path, got, want.share)
		}
	}
	// What cannot be is nothing, and what an agent that is gone has said.
	endless := routeOf("/all", 0, ruleAll)
	endless.size = 1 << 31
	tellRoutes(endless)
	if got := keptOf(t, "/all", "ot=th:c"); math.Abs(got-0.25) > 0.05 {
		t.Errorf("a pattern without end: %v", got)
	}
	tellRoutes(routeOf("/all", 0, ruleAll))
	forgetRules()
	if got := keptOf(t, "/all", "ot=th:c"); math.Abs(got-0.25) > 0.05 {
		t.Errorf("of an agent that is gone: %v", got)
	}
	drain(t)
}

// Operations can be switched off one by one and all together.
func TestSwitchedOff(t *testing.T) {
	defer atomic.StoreUint32(&control.flags, 0)
	word := &control.disabled[opInternal.id/64]
	atomic.StoreUint64(word, opInternal.bit)
	if opInternal.On() || Start(opInternal, nil) != nil || !opServer.On() {
		t.Error("one operation")
	}
	atomic.StoreUint64(word, 0)
	atomic.StoreUint32(&control.flags, controlPaused)
	if opInternal.On() || opServer.On() || StartRemote(opServer, "", "") != nil {
		t.Error("all operations")
	}
	var none *Span
	none.Str(KeyURLPath, "")
	none.Int(KeyURLPath, 0)
	none.Replace(KeyURLPath, "")
	none.Join(KeyURLPath, "a", "b")
	none.SetError("", "")
	none.SetName("")
	none.SetAny(KeyURLPath, 1)
	none.Event(KeyException)
	none.EventEnd()
	none.Link(new([16]byte), new([8]byte))
	none.EndError(nil)
	none.EndPanic(nil)
	none.EndFunc(nil)
	none.Capture()
	if none.Share() || none.Withdraw() || none.Home() {
		t.Error("a nil span that is held")
	}
	if none.AppendTraceparent(nil) != nil || none.Traceparent() != "" || none.Tracestate() != "" || none.Sampled() || none.Recording() {
		t.Error("a nil span")
	}
	none.End()
}

func TestParseRatio(t *testing.T) {
	for text, want := range map[string]float64{"0": 0, "1": 1, "0.25": 0.25, "1.": 1, ".5": 0.5, "5e-1": 0.5, "0.05E+1": 0.5, "1e0": 1, "0.00000000000000000001": 1e-20} {
		if got, valid := parseRatio(text); !valid || math.Abs(got-want) > want*1e-12 {
			t.Errorf("%s: %v %v", text, got, valid)
		}
	}
	for _, text := range []string{"", ".", "-1", "1.1", "a", "1a", "1e", "1e+", "1e9999", "0.5 ", "NaN", "1..0", "99999999999999999999999"} {
		if got, valid := parseRatio(text); valid || got != 1 {
			t.Errorf("%q: %v %v", text, got, valid)
		}
	}
}
