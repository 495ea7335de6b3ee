// Package propagation holds Tandem's reading and writing of headers against the reference: go.opentelemetry.io/otel and
// its contrib. `make test` runs the seeds, `make fuzz` goes on from there with whatever bytes it finds.
//
// Each test says where the two differ on purpose; everywhere else they must agree.
package propagation

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"

	"go.opentelemetry.io/contrib/propagators/b3"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"tandem.example/tests/propagation/rt"
)

const (
	traceID     = "4bf92f3577b34da6a3ce929d0e0e4736"
	spanID      = "00f067aa0ba902b7"
	traceparent = "00-" + traceID + "-" + spanID + "-01"
)

func parentOf(sc trace.SpanContext) rt.Parent {
	return rt.Parent{Trace: sc.TraceID(), Span: sc.SpanID(), Flags: uint8(sc.TraceFlags())}
}

func extract(propagator propagation.TextMapPropagator, headers map[string]string) (context.Context, trace.SpanContext) {
	ctx := propagator.Extract(context.Background(), propagation.MapCarrier(headers))
	return ctx, trace.SpanContextFromContext(ctx)
}

func inject(propagator propagation.TextMapPropagator, ctx context.Context) map[string]string {
	carrier := propagation.MapCarrier{}
	propagator.Inject(ctx, carrier)
	return carrier
}

// traceparent. The reference refuses one of version 0 with flags that W3C has reserved, which W3C only forbids to send, and
// lets one pass that ends with a dash too many.
func FuzzTraceparent(f *testing.F) {
	for _, seed := range []string{
		"", traceparent, traceparent[:54], traceparent + "-", traceparent + "-x", "01" + traceparent[2:] + "-x", "01" + traceparent[2:] + "x",
		"ff" + traceparent[2:], "fe" + traceparent[2:], strings.ToUpper(traceparent), traceparent[:53] + "03", traceparent[:53] + "ff",
		"00-00000000000000000000000000000000-" + spanID + "-01", "00-" + traceID + "-0000000000000000-01", "00-" + traceID + "-" + spanID + "-0x",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		_, sc := extract(propagation.TraceContext{}, map[string]string{"traceparent": header})
		ours, valid := rt.ParseTraceparent(header)
		if version0 := strings.HasPrefix(header, "00"); version0 && (valid && ours.Flags > 3 || len(header) == rt.TraceparentSize+1) {
			return
		}
		ours.Flags &= 3
		if valid != sc.IsValid() || valid && ours != parentOf(sc) {
			t.Fatalf("%q: %v %+v, the reference %+v", header, valid, ours, parentOf(sc))
		}
		if valid {
			sent := inject(propagation.TraceContext{}, trace.ContextWithRemoteSpanContext(context.Background(), sc))
			if got := rt.Traceparent(ours); got != sent["traceparent"] {
				t.Fatalf("%q instead of %q", got, sent["traceparent"])
			}
		}
	})
}

// tracestate. Ours is of level 2 of the specification, the reference's of level 1: it refuses keys that begin with a digit,
// has rules of its own for "@", and takes blanks between commas for a member; it gives up where a key is there twice, and
// has no limit of length.
func FuzzTracestate(f *testing.F) {
	long := strings.Repeat("v", 256)
	for _, seed := range []string{
		"", "a=b", "a=b,c=d", " a=b ,\tc=d", "a=b,,c=d", "a=b, ,c=d", "a= b", "a =b", "a=", "=b", "a", "A=b", "1=b", "a@b=c", "t@s@u=c",
		"a=b=c", "a=b\x00", "a=é", "a=b,a=c", "a=" + long, "a=" + long + "v", "a=" + long + ",b=" + long, "ot=th:c", "a=b,ot=th:c;rv:00000000000000",
		strings.Repeat("a=b,", 33), strings.TrimSuffix(strings.Repeat("k0=b,k1=b,k2=b,k3=b,", 8), ","),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		ours := rt.Tracestate(header)
		if len(ours) > rt.TracestateLimit || strings.Count(ours, ",") >= rt.StateMemberLimit {
			t.Fatalf("%q: beyond the limits: %q", header, ours)
		}
		if again := rt.Tracestate(ours); again != ours {
			t.Fatalf("%q becomes %q, and that %q", header, ours, again)
		}
		theirs, err := trace.ParseTraceState(header)
		if err == nil && len(theirs.String()) <= rt.TracestateLimit {
			if ours != theirs.String() {
				t.Fatalf("%q: %q, the reference %q", header, ours, theirs)
			}
			return
		}
		if err == nil {
			for member := range strings.SplitSeq(ours, ",") {
				if key, value, _ := strings.Cut(member, "="); ours != "" && theirs.Get(key) != value {
					t.Fatalf("%q: %q has other members than the reference's %q", header, ours, theirs)
				}
			}
			return
		}
		if ours != "" && !beyondLevel1(header) {
			t.Fatalf("%q: %q, the reference says %v", header, ours, err)
		}
	})
}

// beyondLevel1 says whether a tracestate has what only level 2 allows, or a key twice.
func beyondLevel1(header string) bool {
	seen := map[string]bool{}
	for member := range strings.SplitSeq(header, ",") {
		key, _, _ := strings.Cut(strings.Trim(member, " \t"), "=")
		if seen[key] || member != "" && (key == "" || key[0] >= '0' && key[0] <= '9' || strings.Contains(key, "@")) {
			return true
		}
		seen[key] = true
	}
	return false
}

// B3. The reference takes any character for the dashes behind the span's id. Where the caller leaves the decision to us, the reference says no and we decide; a single header that only says so
// leaves the reference a debug flag that has lost its trace.
func FuzzB3(f *testing.F) {
	single := traceID + "-" + spanID
	for _, seed := range [][6]string{
		{}, {single}, {single + "-1"}, {single + "-0"}, {single + "-d"}, {single + "-x"}, {single + "-"}, {single + "-1-" + spanID}, {single + "-1-x"},
		{single + "-" + spanID}, {"0"}, {"d"}, {spanID + "-" + spanID}, {spanID}, {strings.ToUpper(single)}, {"0000000000000000-" + spanID},
		{"", traceID, spanID}, {"", traceID, spanID, spanID, "1", ""}, {"", spanID, spanID, "", "0", ""}, {"", traceID, "", "", "1", ""},
		{"", traceID, spanID, "x", "1", ""}, {"", traceID, spanID, "", "true", ""}, {"", traceID, spanID, "", "False", "1"}, {"", traceID, spanID, "", "2", ""},
		{"", traceID, spanID, "", "", "1"}, {"", traceID, spanID, "", "", "2"}, {"x", traceID, spanID, "", "1", ""}, {single + "-1", spanID, spanID, "", "0", ""},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3], seed[4], seed[5])
	}
	f.Fuzz(func(t *testing.T, one, traceid, span, parent, sampled, flags string) {
		headers := map[string]string{
			"b3": one, "x-b3-traceid": traceid, "x-b3-spanid": span, "x-b3-parentspanid": parent, "x-b3-sampled": sampled, "x-b3-flags": flags,
		}
		ctx, sc := extract(b3.New(), headers)
		ours, valid := rt.ParseB3(rt.B3{Single: one, Trace: traceid, Span: span, Parent: parent, Sampled: sampled, Flags: flags})
		if !valid && sc.IsValid() && !hasDashes(one) {
			return
		}
		if valid != sc.IsValid() {
			t.Fatalf("%q: %v %+v, the reference %v", headers, valid, ours, sc.IsValid())
		}
		if !valid {
			return
		}
		plain := ours
		plain.Debug, plain.Deferred = false, false
		if plain != parentOf(sc) {
			t.Fatalf("%q: %+v, the reference %+v", headers, ours, parentOf(sc))
		}
		decision := fmt.Sprint(ours.Flags & 1)
		if ours.Debug {
			decision = "d"
		}
		sent := inject(b3.New(), ctx)["b3"]
		switch {
		case len(one) == 1:
		case ours.Deferred:
			if sent != rt.SingleB3(ours, decision)[:len(sent)] || len(sent) != len(traceID)+1+len(spanID) {
				t.Fatalf("%q: deferred, the reference sends %q", headers, sent)
			}
		case sent != rt.SingleB3(ours, decision):
			t.Fatalf("%q: %q, the reference sends %q", headers, rt.SingleB3(ours, decision), sent)
		}
	})
}

// hasDashes says whether there are dashes behind a single header's span and decision.
func hasDashes(single string) bool {
	_, rest, _ := strings.Cut(single, "-")
	return len(rest) <= 16 || rest[16] == '-' && (len(rest) <= 18 || rest[18] == '-')
}

// baggage. We leave what travels on as it came, member by member; the reference takes it apart and writes it anew. So
// the reference must read the same from what we send as from what we got, and find nothing wrong with it. White space that
// no header can hold is none for us.
func FuzzBaggage(f *testing.F) {
	for _, seed := range []string{
		"", "a=b", "a=b,c=d", "a = b ; p ; q = r , c=d", "a=b,,c=d", "a", "=b", "a=", "a=b=c", "a=%41%ff", "a=%4", "a=%", "a=%zz", "a=\"b\"", "a=b\\", "a b=c",
		"a=b;", "a=b;;c", "a=b;c=", "a=b;=c", "a=b; c = d ;e", "ä=b", "a=ä", "a=b,a=c", "a=\x7f", "a=b\t", "!#$%&'*+-.^_`|~=x", "a/b=c",
		strings.Repeat("a=b,", 70), "a=" + strings.Repeat("v", 9000), "a=" + strings.Repeat("v", 8000) + ",b=" + strings.Repeat("v", 8000),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		ours := rt.Baggage(header)
		if len(ours) > rt.BaggageLimit || strings.Count(ours, ",") >= rt.BaggageMemberLimit {
			t.Fatalf("%q: beyond the limits: %q", header, ours)
		}
		if again := rt.Baggage(ours); again != ours {
			t.Fatalf("%q becomes %q, and that %q", header, ours, again)
		}
		sent, err := baggage.Parse(ours)
		if err != nil {
			t.Fatalf("%q becomes %q: the reference says %v", header, ours, err)
		}
		read := map[string]string{}
		for rest := ours; rest != ""; {
			var key, value string
			key, value, rest = rt.NextBaggage(rest)
			read[key] = value
		}
		values := map[string]string{}
		for _, member := range sent.Members() {
			values[member.Key()] = member.Value()
		}
		if !maps.Equal(read, values) {
			t.Fatalf("%q: we read %q, the reference %q", ours, read, values)
		}
		if strings.ContainsFunc(header, otherSpace) || len(header) > rt.BaggageLimit || strings.Count(header, ",") >= rt.BaggageMemberLimit {
			return
		}
		came, _ := baggage.Parse(header)
		if came.Len() != sent.Len() {
			t.Fatalf("%q: %d members, the reference has %d", header, sent.Len(), came.Len())
		}
		for _, member := range came.Members() {
			if other := sent.Member(member.Key()); other.String() != member.String() {
				t.Fatalf("%q: %q, the reference %q", header, other, member)
			}
		}
	})
}

func otherSpace(letter rune) bool {
	return strings.TrimSpace(string(letter)) == "" && letter != ' ' && letter != '\t'
}

// OTEL_PROPAGATORS: any text gives propagators; there is nothing only where "none" says so.
func FuzzPropagators(f *testing.F) {
	for _, seed := range []string{"", "none", "b3", "tracecontext,baggage,b3,b3multi", " B3 , b3multi", "x,,", "none,b3", ","} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, list string) {
		traceContext, carriesBaggage, one, several, wrong := rt.Propagators(list)
		none, named := false, 0
		for name := range strings.SplitSeq(list, ",") {
			name = strings.ToLower(strings.Trim(name, " \t"))
			none = none || name == "none"
			if name != "" {
				named++
			}
		}
		if nothing := !traceContext && !carriesBaggage && !one && !several; nothing != none || wrong > named {
			t.Fatalf("%q: %v, %d wrong", list, nothing, wrong)
		}
	})
}
