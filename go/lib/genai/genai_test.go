package genai

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"tandem/rt"
)

var testOp = NewOp("test.genai", "tandem/test")

// A request with its answer, and a stream, cost no allocation.
func TestNothingIsAllocated(t *testing.T) {
	if span := rt.Start(testOp, nil); !span.Recording() {
		t.Skip("nothing is recorded here")
	} else {
		span.End()
	}
	if n := testing.AllocsPerRun(1000, func() {
		span := rt.Start(testOp, nil)
		request := Request{Operation: Chat, Provider: "openai", Model: "a-model", MaxTokens: 100, HasTopP: true, TopP: 0.5}
		request.Describe(span)
		Reach("https", "models.example", "")
		answer := AnswerTo(span)
		answer.From("a-model-2026", "id")
		answer.Input(100)
		answer.Output(2000)
		var reasons Reasons
		reasons.Add("stop")
		reasons.Tell(span)
		span.End()
	}); n != 0 {
		t.Errorf("an answer: %v allocations", n)
	}
	stream := new(Stream) // part of the library's own
	if n := testing.AllocsPerRun(1000, func() {
		span := rt.StartDetached(testOp, nil)
		previous := Open(span)
		Sent(span, previous)
		*stream = Stream{}
		stream.Begin(span)
		for i := 0; i < 10; i++ {
			if stream.Look() {
				stream.Usage(10, int64(i))
				stream.Looked()
			}
		}
		stream.End()
		stream.End()
	}); n != 0 {
		t.Errorf("a stream: %v allocations", n)
	}
}

// A stream that is closed while it is read ends once, and nothing is current afterwards.
func TestStreamsEndOnce(t *testing.T) {
	for i := 0; i < 1000; i++ {
		span := rt.StartDetached(testOp, nil)
		stream := new(Stream)
		stream.Begin(span)
		var both sync.WaitGroup
		both.Add(2)
		go func() {
			defer both.Done()
			for {
				if !stream.Look() {
					break
				}
				stream.Reason("stop")
				stream.Looked()
			}
		}()
		go func() { defer both.Done(); stream.End() }()
		both.Wait()
		if stream.state&streamEnds == 0 {
			t.Fatal("it has not ended")
		}
	}
	if rt.Current() != nil {
		t.Fatal("a span is still current")
	}
}

func TestKindsOfErrors(t *testing.T) {
	for want, err := range map[string]error{
		"*errors.errorString": fmt.Errorf("outer: %w", errors.New("inner")),
		"context.Canceled":    fmt.Errorf("outer: %w", errors.New("context canceled")),
		"_OTHER":              nil,
	} {
		if got := kind(err); got != want {
			t.Errorf("%v: %s, not %s", err, got, want)
		}
	}
	for code, is := range map[string]bool{"rate_limit_exceeded": true, "": false, "Your key sk-1 is wrong": false} {
		if isCode(code) != is {
			t.Errorf("%q: %v", code, !is)
		}
	}
}

func BenchmarkAnswer(b *testing.B) {
	b.ReportAllocs()
	for i := 0; i < b.N; i++ {
		span := rt.Start(testOp, nil)
		request := Request{Operation: Chat, Provider: "openai", Model: "a-model", MaxTokens: 100}
		request.Describe(span)
		Reach("https", "models.example", "")
		answer := AnswerTo(span)
		answer.From("a-model-2026", "id")
		answer.Input(100)
		answer.Output(2000)
		var reasons Reasons
		reasons.Add("stop")
		reasons.Tell(span)
		span.End()
	}
}

func BenchmarkNothing(b *testing.B) {
	for i := 0; i < b.N; i++ {
		rt.Start(testOp, nil).End()
	}
}
