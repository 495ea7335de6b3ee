package ssestream

import (
	"errors"
	"testing"

	tandem_genai "tandem/genai"
	tandem_rt "tandem/rt"
)

var tandemTestOp = tandem_genai.NewOp("test.stream", "tandem/test")

// tandemPieces is a decoder with so many pieces, which a test has no use for.
type tandemPieces struct{ Decoder }

func (tandemPieces) Event() Event { return Event{} }

func tandemLook(stream *tandem_genai.Stream, piece *int) { stream.Usage(1, int64(*piece)) }

// A stream's span costs no allocation, whatever the number of its pieces.
func TestNothingIsAllocated(t *testing.T) {
	if span := tandem_rt.Start(tandemTestOp, nil); !span.Recording() {
		t.Skip("nothing is recorded here")
	} else {
		span.End()
	}
	stream, yes, no := new(Stream[int]), true, false
	if n := testing.AllocsPerRun(1000, func() {
		stream.tandem = tandemStream[int]{}
		span := tandem_rt.StartDetached(tandemTestOp, nil)
		previous := tandem_genai.Open(span)
		tandem_genai.Sent(span, previous)
		TandemFollow(stream, span, tandemLook)
		for i := 0; i < 20; i++ {
			tandemNext(stream, &yes)
		}
		tandemNext(stream, &no)
		tandemClose(stream)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if tandem_rt.Current() != nil {
		t.Error("a span is still current")
	}
}

// Streams that failed before their first piece, or that there are none of, end their spans.
func TestStreamsThatFail(t *testing.T) {
	for _, stream := range []*Stream[int]{nil, NewStream[int](nil, errors.New("no")), NewStream[int](tandemPieces{}, errors.New("no"))} {
		TandemFollow(stream, tandem_rt.StartDetached(tandemTestOp, nil), tandemLook)
		if stream != nil {
			more := stream.Next()
			if more || stream.tandem.Look() {
				t.Error("it goes on")
			}
		}
	}
}

func BenchmarkPiece(b *testing.B) {
	stream, yes := new(Stream[int]), true
	TandemFollow(stream, tandem_rt.StartDetached(tandemTestOp, nil), tandemLook)
	defer tandemClose(stream)
	b.ReportAllocs()
	for i := 0; i < b.N; i++ {
		tandemNext(stream, &yes)
	}
}
