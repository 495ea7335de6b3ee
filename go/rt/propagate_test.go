package rt

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
)

// incomingOf is what came with headers, "name: value" each.
func incomingOf(lines ...string) *Incoming {
	values := map[string][]string{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		values[name] = append(values[name], value)
	}
	in := new(Incoming)
	for name, all := range values {
		in.Catch(name, all)
	}
	return in
}

// outgoingOf is what goes out with a call of the span, as such lines.
func outgoingOf(s *Span) (lines []string) {
	var out Outgoing
	out.Fill(s, nil)
	for heads := out.Heads(); heads != 0; heads &= heads - 1 {
		name, value := out.Header(heads)
		lines = append(lines, name.Lower+": "+value)
	}
	return lines
}

const (
	goodTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	goodSpan  = "00f067aa0ba902b7"
)

// What comes in by each propagator goes out by it, with the new span's id.
func TestPropagators(t *testing.T) {
	const w3c, one = "traceparent: 00-" + goodTrace + "-" + goodSpan + "-01", "b3: " + goodTrace + "-" + goodSpan + "-1"
	const other = "b3: 0102030405060708090a0b0c0d0e0f10-" + goodSpan + "-1"
	several := []string{"X-B3-TraceId: " + goodTrace, "X-B3-SpanId: " + goodSpan, "X-B3-Sampled: 1", "X-B3-ParentSpanId: " + goodSpan}
	for _, test := range []struct {
		list, in, out string // in: what came, several lines; out: what goes out, with T, S for the ids; no T: a trace of its own
	}{
		{"", w3c + "\ntracestate: a=b\nbaggage: k=v", "traceparent: 00-T-S-01 tracestate: a=b baggage: k=v"},
		{"tracecontext,baggage", w3c + "\ntracestate: a=b\nbaggage: k=v", "traceparent: 00-T-S-01 tracestate: a=b baggage: k=v"},
		{"baggage", w3c + "\ntracestate: a=b\nbaggage: k=v", "baggage: k=v"},
		{"tracecontext", w3c + "\nbaggage: k=v", "traceparent: 00-T-S-01"},
		{"none", w3c + "\ntracestate: a=b\nbaggage: k=v", ""},
		{"tracecontext,none", w3c, ""},
		{"b3", one, "b3: T-S-1"},
		{"b3", strings.Join(several, "\n"), "b3: T-S-1"},
		{"b3", one[:len(one)-1] + "0", "b3: T-S-0"},
		{"b3", one[:len(one)-1] + "d", "b3: T-S-d"},
		{"b3", one[:len(one)-2], "b3: T-S-1"},
		{"b3multi", one, "x-b3-traceid: T x-b3-spanid: S x-b3-sampled: 1"},
		{"b3multi", one[:len(one)-1] + "d", "x-b3-traceid: T x-b3-spanid: S x-b3-flags: 1"},
		{"b3multi", strings.Join(several, "\n") + "\nb3: broken", "x-b3-traceid: T x-b3-spanid: S x-b3-sampled: 1"},
		{"b3multi", strings.Join(several[:2], "\n") + "\nx-b3-flags: 1", "x-b3-traceid: T x-b3-spanid: S x-b3-flags: 1"},
		{"b3multi", strings.Join(several[:2], "\n") + "\nx-b3-sampled: False", "x-b3-traceid: T x-b3-spanid: S x-b3-sampled: 0"},
		{"b3,b3multi", one, "b3: T-S-1 x-b3-traceid: T x-b3-spanid: S x-b3-sampled: 1"},
		{"tracecontext,b3", w3c + "\n" + other, "traceparent: 00-0102030405060708090a0b0c0d0e0f10-S-01 b3: 0102030405060708090a0b0c0d0e0f10-S-1"},
		{"b3,tracecontext", w3c + "\n" + other, "traceparent: 00-T-S-01 b3: T-S-1"},
		{"b3,tracecontext,b3", w3c + "\n" + other, "traceparent: 00-T-S-01 b3: T-S-1"},
		{"tracecontext,b3", w3c + "\ntracestate: a=b\nb3: broken", "traceparent: 00-T-S-01 tracestate: a=b b3: T-S-1"},
		{"b3,tracecontext", "traceparent: broken\n" + one, "traceparent: 00-T-S-01 b3: T-S-1"},
		{"jaeger, B3 ,,nothing", one, "b3: T-S-1"},
		{"jaeger", w3c, "traceparent: 00-T-S-01"},
	} {
		propagateBy(t, test.list)
		span := StartIncoming(opServer, incomingOf(strings.Split(test.in, "\n")...))
		child := Start(opInternal, nil)
		id := fmt.Sprintf("%x", child.SpanID())
		want := strings.NewReplacer("T", goodTrace, "S", id).Replace(test.out)
		if got := strings.Join(outgoingOf(child), " "); got != want {
			t.Errorf("%q, %q:\n%s instead of\n%s", test.list, test.in, got, want)
		}
		child.End()
		span.End()
	}
	drain(t)
}

// Names that are not known are told once each, and a list without a known one is the default.
func TestUnknownNames(t *testing.T) {
	var told []string
	wrong := func(variable, value, what string) { told = append(told, variable+"="+value) }
	if got := parsePropagators("xray,b3,ottrace", wrong); got != (propagators{b3: true, b3Wins: true}) || len(told) != 2 {
		t.Errorf("%+v %v", got, told)
	}
	if got := parsePropagators(" , ", wrong); got != defaultPropagators || len(told) != 2 {
		t.Errorf("%+v %v", got, told)
	}
	told = nil
	for name, argument := range map[string]string{"xray": "", "traceidratio": "many", "jaeger_remote": "endpoint=http://localhost:14250"} {
		parseSampler(name, argument, wrong)
	}
	parseSampler("traceidratio", "", wrong) // means 1
	parseSampler("always_on", "many", wrong)
	if len(told) != 3 {
		t.Errorf("%v", told)
	}
}

// A trace that begins here tells its threshold, and whoever goes on with it keeps that as long as it fits the decision.
func TestThresholds(t *testing.T) {
	const high, low = "00-4bf92f3577b34da6a3ffffffffffffff-00f067aa0ba902b7-0", "00-4bf92f3577b34da6a300000000000000-00f067aa0ba902b7-0"
	for _, test := range []struct{ sampler, argument, traceparent, state, want string }{
		{"", "", "", "", "1 "},
		{"parentbased_traceidratio", "1", "", "", "1 ot=th:0"},
		{"traceidratio", "1", "", "", "1 ot=th:0"},
		{"traceidratio", "0", "", "", "0 "},
		{"always_off", "", "", "", "0 "},

		// The parent decides. Its threshold stays only where it tells the truth.
		{"", "", high + "1", "ot=th:c,a=b", "1 ot=th:c,a=b"},
		{"", "", low + "1", "ot=th:c,a=b", "1 a=b"},
		{"", "", low + "1", "a=b,ot=rv:ffffffffffffff;th:c", "1 a=b,ot=rv:ffffffffffffff;th:c"},
		{"", "", high + "1", "a=b,ot=rv:00000000000000;th:c", "1 ot=rv:00000000000000,a=b"},
		{"", "", high + "0", "ot=th:c;x:y,a=b", "0 ot=x:y,a=b"},
		{"", "", high + "1", "ot=th:C", "1 "},
		{"", "", high + "1", "a=b", "1 a=b"},
		{"parentbased_traceidratio", "0.25", low + "1", "a=b", "1 a=b"},
		{"parentbased_always_off", "", high + "1", "ot=th:8", "1 ot=th:8"},

		// The trace's randomness decides, here as everywhere.
		{"traceidratio", "0.25", high + "0", "", "1 ot=th:c"},
		{"traceidratio", "0.25", low + "1", "", "0 "},
		{"traceidratio", "0.25", low + "1", "ot=th:0,a=b", "0 a=b"},
		{"traceidratio", "0.25", high + "1", "a=b,ot=x:y;th:8", "1 ot=th:c;x:y,a=b"},
		{"traceidratio", "0.25", high + "1", "a=b,ot=th:c", "1 a=b,ot=th:c"},
		{"traceidratio", "0.25", low + "0", "ot=rv:d0000000000000", "1 ot=th:c;rv:d0000000000000"},
		{"traceidratio", "0.25", high + "1", "ot=rv:b0000000000000", "0 ot=rv:b0000000000000"},
		{"always_on", "", low + "0", "ot=th:8,a=b", "1 ot=th:0,a=b"},
		{"always_on", "", low + "0", "a=b", "1 a=b"},
		{"always_off", "", high + "1", "ot=th:8;x:y,a=b", "0 ot=x:y,a=b"},

		// What is not a tracestate does not travel, and does no harm to the rest.
		{"", "", high + "1", "a", "1 "},
		{"", "", high + "1", "A=b", "1 "},
		{"", "", high + "1", "a=", "1 "},
		{"", "", high + "1", "a=b\x01", "1 "},
		{"", "", high + "1", " a= b ,, c=d\t", "1 a= b,c=d"},
		{"traceidratio", "0.25", high + "1", "a", "1 ot=th:c"},
	} {
		sample(t, test.sampler, test.argument)
		span := StartRemote(opServer, test.traceparent, test.state)
		got := fmt.Sprint(span.traceFlags&sampledFlag, " ", span.Tracestate())
		if got != test.want {
			t.Errorf("%s %s, %s %q:\n%s instead of\n%s", test.sampler, test.argument, test.traceparent, test.state, got, test.want)
		}
		child := Start(opInternal, nil)
		if child.Tracestate() != span.Tracestate() || child.Sampled() != span.Sampled() {
			t.Error("the child does not follow")
		}
		child.End()
		span.End()
		for _, record := range drain(t) {
			if state := record.ofKind(itemTracestate); span.Tracestate() != "" && (len(state) != 1 || state[0].text != span.Tracestate()) {
				t.Errorf("recorded %+v", state)
			}
		}
	}
}

// The agent's threshold is told as the program's own is.
func TestAgentThreshold(t *testing.T) {
	defer atomic.StoreUint32(&control.flags, 0)
	atomic.StoreUint32(&control.flags, controlSampling)
	for threshold, want := range map[uint64]string{0: "ot=th:0", 0x123: "ot=th:00000000000123", 1: "ot=th:00000000000001"} {
		atomic.StoreUint64(&control.samplingThreshold, threshold)
		span := Start(opServer, nil)
		if span.Tracestate() != want {
			t.Errorf("%q instead of %q", span.Tracestate(), want)
		}
		span.End()
	}
	atomic.StoreUint64(&control.samplingThreshold, neverSample)
	span := Start(opServer, nil)
	if span.Sampled() || span.Tracestate() != "" {
		t.Errorf("%v %q", span.Sampled(), span.Tracestate())
	}
	span.End()
	drain(t)
}

// Flags: a trace of ours is said to be random only where that was asked for.
func TestRandomFlag(t *testing.T) {
	defer func() { rootFlags = 0 }()
	for _, flags := range []uint8{0, randomFlag} {
		rootFlags = flags
		span := Start(opServer, nil)
		if span.traceFlags != flags|sampledFlag {
			t.Errorf("flags %d", span.traceFlags)
		}
		span.End()
	}
	drain(t)
}

// Limits of W3C's: whole members go, large ones first, then from the end; more than 32 are no tracestate.
func TestTracestateLimits(t *testing.T) {
	members := func(count, size int) string {
		var all []string
		for index := 0; index < count; index++ {
			all = append(all, fmt.Sprintf("k%02d=%s", index, strings.Repeat("v", size-4)))
		}
		return strings.Join(all, ",")
	}
	for _, test := range []struct{ state, want string }{
		{members(32, 5), members(32, 5)},
		{members(33, 5), ""},
		{members(32, 15), members(32, 15)},
		{members(32, 16), members(30, 16)},
		{"a=" + strings.Repeat("v", 200) + "," + members(30, 15), members(30, 15)},
		{members(2, 256), members(1, 256)},
		{"a=" + strings.Repeat("v", 256), "a=" + strings.Repeat("v", 256)},
		{"a=" + strings.Repeat("v", 257), ""},
		{strings.Repeat(" ,\t", 1000) + "a=b", "a=b"},
	} {
		span := StartRemote(opServer, goodTraceparent, test.state)
		if got := span.Tracestate(); got != test.want {
			t.Errorf("%q: %q", test.state, got)
		}
		span.End()
	}
	sample(t, "traceidratio", "1")
	span := StartRemote(opServer, goodTraceparent, members(32, 5))
	if got := span.Tracestate(); got != "ot=th:0,"+members(31, 5) {
		t.Errorf("%q", got)
	}
	span.End()
	drain(t)
}

// Baggage: what is sound travels on, within the limits, and to children; whoever wants a value can read it.
func TestBaggage(t *testing.T) {
	long := strings.Repeat("v", 8000)
	many := func(count int) string { return strings.TrimSuffix(strings.Repeat("k=v,", count), ",") }
	for _, test := range []struct{ came, goes string }{
		{"a=b", "a=b"},
		{"a=b;p;q=r , c = d", "a=b;p;q=r , c = d"},
		{"a=b,,c=d", "a=b,c=d"},
		{"a,b=c,=d,e=f g,h=\"i\",j=k", "b=c,j=k"},
		{"a=%zz,b=%41", "b=%41"},
		{"a=\xff,b=c", "b=c"},
		{"a=b\r\nX: y", ""},
		{many(64), many(64)},
		{many(65), many(64)},
		{"a=" + long + ",b=" + long + ",c=d", "a=" + long + ",c=d"},
		{"a=" + strings.Repeat("v", 8190), "a=" + strings.Repeat("v", 8190)},
		{"a=" + strings.Repeat("v", 8191), ""},
		{"", ""},
	} {
		span := StartIncoming(opServer, incomingOf("baggage: "+test.came))
		child := Start(opInternal, nil)
		if child.Baggage() != test.goes {
			t.Errorf("%q becomes %q", test.came, child.Baggage())
		}
		child.End()
		span.End()
	}
	span := StartIncoming(opServer, incomingOf("baggage: a=1;p=2, b = %C3%A4%ff ,a=3"))
	for key, want := range map[string]string{"a": "3", "b": "ä\ufffd"} {
		if got, found := span.BaggageValue(key); got != want || !found {
			t.Errorf("%s is %q", key, got)
		}
	}
	if _, found := span.BaggageValue("p"); found {
		t.Error("a property is no member")
	}
	span.SetBaggage("c=d,?")
	child := StartDetached(opInternal, span)
	if lines := outgoingOf(child); lines[len(lines)-1] != "baggage: c=d" {
		t.Errorf("%v", lines)
	}
	child.End()
	span.End()
	span.SetBaggage("too=late")
	if next := Start(opInternal, nil); next.Baggage() != "" {
		t.Errorf("a new trace has baggage %q", next.Baggage())
	} else {
		next.End()
	}
	drain(t)
}

// Baggage that a context carries by other means goes out in place of the span's.
func TestBaggageOfContext(t *testing.T) {
	defer ReadBaggage(nil)
	ReadBaggage(func(ctx interface{ Value(any) any }) (string, bool) {
		text, found := ctx.Value("baggage").(string)
		return text, found
	})
	span := StartIncoming(opServer, incomingOf("baggage: a=b"))
	defer drain(t)
	defer span.End()
	for value, want := range map[any]string{"c=d": "c=d", 1: "a=b", "": ""} {
		if got := baggageOf(span, valueContext{value}); got != want {
			t.Errorf("%v: %q", value, got)
		}
	}
}

type valueContext struct{ value any }

func (c valueContext) Value(any) any { return c.value }

// What a span leaves behind for contexts that outlive it.
func TestRemains(t *testing.T) {
	if span := Start(opServer, nil); span.Remains() != nil {
		t.Error("a trace of our own leaves more than ids")
	} else {
		span.End()
	}
	propagateBy(t, "tracecontext,baggage,b3")
	span := StartIncoming(opServer, incomingOf("b3: "+goodTrace+"-"+goodSpan+"-d", "baggage: a=b"))
	remains := span.Remains()
	want := outgoingOf(span)
	span.End()
	if got := outgoingOf(remains); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v instead of %v", got, want)
	}
	child := Start(opInternal, remains)
	if child.Baggage() != "a=b" || child.TraceID() != remains.TraceID() || child.extra != b3Debug {
		t.Error("the child has not taken everything over")
	}
	child.End()
	drain(t)
}

// Headers never cost an allocation, but for a single header of B3, baggage, and a tracestate that must be changed.
func TestPropagationAllocations(t *testing.T) {
	for _, test := range []struct {
		list, sampler string
		lines         []string
		want          float64
	}{
		{"", "", nil, 0},
		{"", "", []string{"traceparent: " + goodTraceparent, "tracestate: a=b,ot=th:0"}, 0},
		{"", "traceidratio", []string{"traceparent: " + goodTraceparent, "tracestate: ot=th:0,a=b"}, 0},
		{"", "traceidratio", nil, 0},
		{"b3multi", "", []string{"x-b3-traceid: " + goodTrace, "x-b3-spanid: " + goodSpan, "x-b3-sampled: 1"}, 0},
		{"b3", "", []string{"b3: " + goodTrace + "-" + goodSpan + "-1"}, 1},
		{"", "", []string{"traceparent: " + goodTraceparent, "baggage: a=b"}, 1},
	} {
		propagateBy(t, test.list)
		sample(t, test.sampler, "1")
		names, values := []string{}, [][]string{}
		for _, line := range test.lines {
			name, value, _ := strings.Cut(line, ": ")
			names, values = append(names, name), append(values, []string{value})
		}
		size := 0
		count := testing.AllocsPerRun(500, func() {
			var in Incoming
			for index := range names {
				in.Catch(names[index], values[index])
			}
			span := StartIncoming(opServer, &in)
			client := Start(opInternal, nil)
			var out Outgoing
			out.Fill(client, nil)
			for heads := out.Heads(); heads != 0; heads &= heads - 1 {
				name, value := out.Header(heads)
				size += len(name.Lower) + len(value)
			}
			client.End()
			span.End()
			catchUp()
		})
		if count != test.want || size == 0 {
			t.Errorf("%q %q %v: %v allocations", test.list, test.sampler, test.lines, count)
		}
	}
}
