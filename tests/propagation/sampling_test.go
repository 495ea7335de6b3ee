package propagation

import (
	"context"
	"encoding/binary"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/sampling"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"tandem.example/tests/propagation/rt"
)

// specified is the specification's own way from a probability to the digits of a threshold, with four digits.
func specified(probability float64) string {
	if probability == 1 {
		return "0"
	}
	_, exponent := math.Frexp(probability)
	precision := max(1, min(12, 4+int(math.Floor(float64(exponent)/-4))))
	rejection := 2 - probability + math.Ldexp(0.5, -4*precision)
	digits := "fffffffffffff"
	if rejection < 2 {
		digits = strconv.FormatFloat(rejection, 'x', 13, 64)[4:17]
	}
	return strings.TrimRight(digits[:precision], "0")
}

// A threshold is what the specification's algorithm makes of a ratio, and the Collector's; the latter is more exact close
// to 1, where the specification sees no use, and the former less where a ratio is smaller than any in use.
func FuzzThreshold(f *testing.F) {
	for _, ratio := range []float64{0, 1, 0.5, 0.25, 1.0 / 3, 0.1, 0.01, 0.001, 1e-4, 1e-5, 1e-6, 0.0625, 0.06249, 0x1p-56, 0x1p-57, 0.9999, 0.99999999, 5e-324} {
		f.Add(ratio)
	}
	f.Fuzz(func(t *testing.T, ratio float64) {
		if !(ratio >= 0 && ratio <= 1) {
			return
		}
		got := rt.Threshold(ratio)
		if ratio < sampling.MinSamplingProbability {
			if got < sampling.MaxAdjustedCount-1 {
				t.Fatalf("%g: %#x", ratio, got)
			}
			return
		}
		if ratio >= 0x1p-32 {
			digits := specified(ratio)
			want, err := sampling.TValueToThreshold(max(digits, "0"))
			if err != nil || got != want.Unsigned() {
				t.Fatalf("%g: %#x, the specification %s", ratio, got, digits)
			}
		}
		if ratio <= 1-1.0/16 || ratio == 1 {
			want, err := sampling.ProbabilityToThresholdWithPrecision(ratio, 4)
			if err != nil || got != want.Unsigned() && want.Unsigned() < sampling.MaxAdjustedCount {
				t.Fatalf("%g: %#x, the Collector %#x", ratio, got, want.Unsigned())
			}
		}
	})
}

// A ratio is a decimal number. No sign, no hexadecimal digits, no names of numbers; no exponent of more than three digits.
func FuzzRatio(f *testing.F) {
	for _, seed := range []string{"", "0", "1", "0.5", ".5", "1.", "1e-3", "1E+0", "1e", "0x1p-1", "1_0", "+1", "-0", "NaN", "inf", "0.1.2", "2", "1e400", "0e999", "99999999999999999999e-20", "1e-1000"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, valid := rt.Ratio(text)
		if valid && !(got >= 0 && got <= 1) || !valid && got != 1 {
			t.Fatalf("%q: %v %v", text, got, valid)
		}
		want, err := strconv.ParseFloat(text, 64)
		inRange := err == nil && want >= 0 && want <= 1
		if valid && (!inRange || math.Abs(got-want) > 1e-9*want) {
			t.Fatalf("%q: %v, strconv says %v %v", text, got, want, err)
		}
		plain := strings.Trim(text, "0123456789.eE-+") == "" && !strings.HasPrefix(text, "+") && !strings.HasPrefix(text, "-")
		if inRange && !valid && plain && len(text) <= 15 && !strings.ContainsAny(text, "eE") {
			t.Fatalf("%q is %v", text, want)
		}
	})
}

// reference is what the specification makes of a tracestate, by the Collector's library. That also takes large letters for
// digits, which the specification does not.
func reference(text string) (state sampling.W3CTraceState, sound bool) {
	state, err := sampling.NewW3CTraceState(text)
	return state, err == nil && strings.ToLower(text) == text
}

func traceOf(high, low uint64) (id [16]byte) {
	binary.BigEndian.PutUint64(id[:8], high|1)
	binary.BigEndian.PutUint64(id[8:], low)
	return id
}

// Samplers by ratio: the decision is that of the Collector's library for the same trace, wherever the randomness comes
// from; the threshold is told; nothing else of the tracestate changes; a higher ratio keeps whatever a lower one does.
func FuzzProbability(f *testing.F) {
	for _, state := range []string{"", "a=b", "ot=th:c", "a=b,ot=th:0;rv:80000000000000,c=d", "ot=rv:fffffffffffffe;x:y", "ot=th:zz", "ot=rv:1", "broken"} {
		f.Add(uint64(1)<<60, uint64(1)<<55, 0.25, 0.75, state)
		f.Add(uint64(3), uint64(math.MaxUint64), 0.001, 1.0, state)
	}
	f.Fuzz(func(t *testing.T, high, low uint64, one, other float64, text string) {
		if !(one >= sampling.MinSamplingProbability && other >= one && other <= 1) {
			return
		}
		id := traceOf(high, low)
		random := sampling.TraceIDToRandomness(id)
		came, sound := reference(text)
		if sound {
			if explicit, found := came.OTelValue().RValueRandomness(); found {
				random = explicit
			}
		}
		var kept [2]bool
		for index, ratio := range []float64{one, other} {
			sampler, wrong := rt.Sampler("traceidratio", strconv.FormatFloat(ratio, 'f', -1, 64))
			if wrong != 0 {
				t.Fatalf("%v is a ratio", ratio)
			}
			threshold, err := sampling.UnsignedToThreshold(rt.Threshold(ratio))
			if err != nil {
				return
			}
			var goes string
			kept[index], goes = sampler.Continued(rt.Parent{Trace: id}, text)
			if !sound {
				continue
			}
			if kept[index] != threshold.ShouldSample(random) {
				t.Fatalf("%x %q, ratio %v: kept %v", id, text, ratio, kept[index])
			}
			went, sound := reference(goes)
			if !sound {
				t.Fatalf("%q is no tracestate", goes)
			}
			if told, found := went.OTelValue().TValueThreshold(); found != kept[index] || found && told != threshold {
				t.Fatalf("%q, ratio %v: %q does not tell the threshold %s", text, ratio, goes, threshold.TValue())
			}
			if went.OTelValue().RValue() != came.OTelValue().RValue() && len(text) < rt.TracestateLimit-40 {
				t.Fatalf("%q becomes %q: another randomness", text, goes)
			}
			if root, state := sampler.Root(id); text == "" && (root != kept[index] || state != goes) {
				t.Fatalf("a root is decided on otherwise: %v %q", root, state)
			}
		}
		if kept[0] && !kept[1] {
			t.Fatalf("%x %q: kept by %v, not by %v", id, text, one, other)
		}
	})
}

// The samplers that do not go by probability decide as the reference's do, and all parent-based ones after a parent.
func FuzzSamplers(f *testing.F) {
	f.Add(uint64(1), uint64(2), uint8(0))
	f.Add(uint64(1), uint64(math.MaxUint64), uint8(1))
	f.Add(uint64(1), uint64(0), uint8(3))
	samplers := map[string]sdk.Sampler{
		"":                         sdk.ParentBased(sdk.AlwaysSample()),
		"always_on":                sdk.AlwaysSample(),
		"always_off":               sdk.NeverSample(),
		"parentbased_always_on":    sdk.ParentBased(sdk.AlwaysSample()),
		"parentbased_always_off":   sdk.ParentBased(sdk.NeverSample()),
		"parentbased_traceidratio": sdk.ParentBased(sdk.TraceIDRatioBased(1)),
	}
	f.Fuzz(func(t *testing.T, high, low uint64, flags uint8) {
		id := traceOf(high, low)
		remote := trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: [8]byte{1}, TraceFlags: trace.TraceFlags(flags & 3), Remote: true})
		for name, theirs := range samplers {
			ours, _ := rt.Sampler(name, "")
			for _, parent := range []trace.SpanContext{{}, remote} {
				parameters := sdk.SamplingParameters{ParentContext: trace.ContextWithSpanContext(context.Background(), parent), TraceID: id}
				want := theirs.ShouldSample(parameters).Decision == sdk.RecordAndSample
				kept, _ := ours.Root(id)
				if parent.IsValid() {
					kept, _ = ours.Continued(parentOf(parent), "")
				}
				if kept != want {
					t.Fatalf("%s after %+v: %v, the reference %v", name, parent, kept, want)
				}
			}
		}
	})
}

// A parent's threshold stays where it fits the decision, and goes where it does not.
func FuzzParentThreshold(f *testing.F) {
	for _, state := range []string{"ot=th:8", "ot=th:0,a=b", "a=b,ot=th:c;rv:d0000000000000", "ot=rv:d0000000000000", "a=b", "ot=th:8;x:y"} {
		f.Add(uint64(1)<<55, state, true)
		f.Add(uint64(1)<<54, state, false)
	}
	f.Fuzz(func(t *testing.T, low uint64, text string, sampled bool) {
		came, sound := reference(text)
		if !sound || len(text) > rt.TracestateLimit {
			return
		}
		id := traceOf(1, low)
		random := sampling.TraceIDToRandomness(id)
		if explicit, found := came.OTelValue().RValueRandomness(); found {
			random = explicit
		}
		threshold, found := came.OTelValue().TValueThreshold()
		stays := found && sampled && threshold.ShouldSample(random)
		parent := rt.Parent{Trace: id}
		if sampled {
			parent.Flags = 1
		}
		ours, _ := rt.Sampler("", "")
		kept, goes := ours.Continued(parent, text)
		went, sound := reference(goes)
		if kept != sampled || !sound {
			t.Fatalf("%q: kept %v, %q", text, kept, goes)
		}
		if told, found := went.OTelValue().TValueThreshold(); found != stays || found && told != threshold {
			t.Fatalf("%q becomes %q", text, goes)
		}
		if went.OTelValue().RValue() != came.OTelValue().RValue() {
			t.Fatalf("%q becomes %q: another randomness", text, goes)
		}
		if stays && rt.Tracestate(text) != goes {
			t.Fatalf("%q becomes %q, with nothing to change", text, goes)
		}
	})
}
