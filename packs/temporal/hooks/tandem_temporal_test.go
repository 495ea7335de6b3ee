package internal

import (
	"context"
	"errors"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	tandem_rt "tandem/rt"
)

// A span's context goes into a header and comes out of it, and what the program has put there stays.
func TestTandemHeader(t *testing.T) {
	before := tandem_rt.Unset()
	defer tandem_rt.Restore(before)
	span := tandem_rt.Start(tandemStarting, nil)
	if span == nil {
		t.Skip("nothing is traced here")
	}
	defer span.End()
	header := &commonpb.Header{Fields: map[string]*commonpb.Payload{}}
	tandemCarry(span, context.Background(), &header)
	payload := header.Fields[tandemHeader]
	if want := `{"traceparent":"` + span.Traceparent() + `"}`; string(payload.Data) != want {
		t.Errorf("%s instead of %s", payload.Data, want)
	}
	var in tandem_rt.Incoming
	tandemCatch(&in, header.Fields)
	if !in.Continues(span) {
		t.Error("it does not come out")
	}
	tandemCarry(span, context.Background(), &header)
	if header.Fields[tandemHeader] != payload {
		t.Error("what was there is not respected")
	}
	var none *commonpb.Header
	tandemCarry(span, context.Background(), &none)
}

// What others have written, as JSON may look.
func TestTandemForeignHeader(t *testing.T) {
	before := tandem_rt.Unset()
	defer tandem_rt.Restore(before)
	const parent = "00-0102030405060708090a0b0c0d0e0f10-1112131415161718-01"
	for text, want := range map[string]bool{
		`{"traceparent":"` + parent + `"}`:                                                   true,
		"{\n \"uber\\\"\" : \"a\\\\\", \"traceparent\" :\t\"" + parent + `" , "baggage":""}`: true,
		`{"\u0074raceparent":"` + parent + `"}`:                                              true,
		`{"traceparent":"` + parent:                                                          false,
		`{"traceparent":["` + parent + `"]}`:                                                 false,
		`{"a":1,"traceparent":"` + parent + `"}`:                                             false,
		`{`:                                                                                  false, ``: false, `null`: false, `{"`: false, `{"\`: false, `{"\x":"a"}`: false, `{}`: false,
	} {
		var in tandem_rt.Incoming
		tandemCatch(&in, map[string]*commonpb.Payload{tandemHeader: {Metadata: map[string][]byte{"encoding": []byte(tandemJSON)}, Data: []byte(text)}})
		span := tandem_rt.StartIncoming(tandemTrying, &in)
		if span == nil {
			t.Skip("nothing is traced here")
		}
		if got := in.Continues(span) && span.Traceparent()[:36] == parent[:36]; got != want {
			t.Errorf("%s: %v", text, got)
		}
		span.End()
	}
	var in tandem_rt.Incoming
	tandemCatch(&in, map[string]*commonpb.Payload{tandemHeader: {Data: []byte(`{"traceparent":"` + parent + `"}`)}})
	tandemCatch(&in, map[string]*commonpb.Payload{tandemHeader: nil})
	tandemCatch(&in, nil)
	if span := tandem_rt.StartIncoming(tandemTrying, &in); in.Continues(span) {
		t.Error("what is not in that form was read")
	} else {
		span.End()
	}
}

// A call and a try of an activity cost no allocation, but for the header.
func TestTandemAllocations(t *testing.T) {
	before := tandem_rt.Unset()
	defer tandem_rt.Restore(before)
	ctx := context.Background()
	if span := tandemSend(tandemQuerying, ctx, "QueryWorkflow", "state", "order-1", "", ""); !span.Recording() {
		t.Skip("nothing is recorded here")
	} else {
		span.End()
	}
	var none error
	if n := testing.AllocsPerRun(1000, func() {
		tandemEnd(tandemSend(tandemQuerying, ctx, "QueryWorkflow", "state", "order-1", "", ""), &none)
	}); n != 0 {
		t.Errorf("a call: %v allocations", n)
	}
	span := tandem_rt.Start(tandemStarting, nil)
	header := &commonpb.Header{Fields: map[string]*commonpb.Payload{}}
	tandemCarry(span, ctx, &header)
	span.End()
	ctx = context.WithValue(ctx, headerKey{}, header.Fields)
	ctx = context.WithValue(ctx, activityEnvContextKey, &activityEnvironment{taskQueue: "orders", activityID: "5", attempt: 2})
	if n := testing.AllocsPerRun(1000, func() {
		tandemTried(tandemTry(ctx, "Charge"), &none)
	}); n != 0 {
		t.Errorf("a try: %v allocations", n)
	}
	if tandem_rt.Current() != nil {
		t.Error("a span is still current")
	}
}

// Each worker comes to the same ids.
func TestTandemIDs(t *testing.T) {
	const run = "0198f2c4-6d0a-7c3e-9b1a-2f3e4d5c6b7a"
	if trace := tandemTraceOf(run); trace[0] != 0x01 || trace[1] != 0x98 || trace[15] != 0x7a {
		t.Errorf("%x", trace)
	}
	if tandemTraceOf("") != [16]byte{} {
		t.Error("no run has a trace")
	}
	if id := tandemIDOf(run, ""); id != tandemIDOf(run, "") || id == tandemIDOf(run, "update-1") || id == [8]byte{} {
		t.Errorf("%x", id)
	}
}

type tandemOdd struct{}

func (*tandemOdd) Error() string { panic("odd") }

// Whatever happened, nothing stays current; and not every error is one.
func TestTandemEnds(t *testing.T) {
	before := tandem_rt.Unset()
	defer tandem_rt.Restore(before)
	ctx := context.WithValue(context.Background(), activityEnvContextKey, &activityEnvironment{})
	for _, err := range []error{nil, errors.New("no"), ErrActivityResultPending, &ContinueAsNewError{}, &tandemOdd{}, NewApplicationError("no", "Declined", false, nil)} {
		tandemTried(tandemTry(ctx, "Charge"), &err)
		if tandem_rt.Current() != nil {
			t.Fatalf("after %T a span is still current", err)
		}
	}
	var none error
	tandemTried(tandemTry(context.Background(), "Charge"), &none)
}
