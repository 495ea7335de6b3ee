package ssestream

import (
	"errors"
	"testing"

	tandem_genai "tandem/genai"
	tandem_rt "tandem/rt"
)

var tandemTestOp = tandem_genai.NewOp("test.stream", "tandem/test")

// tandemPieces is a decoder that has so many pieces left.
type tandemPieces int

func (p *tandemPieces) Next() bool { *p--; return *p >= 0 }

func (*tandemPieces) Event() Event { return Event{Type: "piece", Data: []byte("1")} }

func (*tandemPieces) Close() error { return nil }

func (*tandemPieces) Err() error { return nil }

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
			tandemNext(stream, tandemWait(stream), &yes)
		}
		tandemNext(stream, tandemWait(stream), &no)
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
	for _, stream := range []*Stream[int]{nil, NewStream[int](nil, errors.New("no")), NewStream[int](new(tandemPieces), errors.New("no"))} {
		TandemFollow(stream, tandem_rt.StartDetached(tandemTestOp, nil), tandemLook)
		if stream != nil {
			more := stream.Next()
			if more || stream.tandem.Look() {
				t.Error("it goes on")
			}
		}
	}
}

// A stream that somebody closes while another reads it ends once, and nobody looks at what the reader may be writing.
func TestStreamsThatAreClosedMeanwhile(t *testing.T) {
	for i := 0; i < 200; i++ {
		pieces := tandemPieces(100)
		stream := NewStream[int](&pieces, nil)
		TandemFollow(stream, tandem_rt.StartDetached(tandemTestOp, nil), tandemLook)
		read := make(chan bool)
		go func() {
			for stream.Next() {
			}
			close(read)
		}()
		stream.Close()
		<-read
		if stream.tandem.Look() {
			t.Fatal("it goes on")
		}
	}
}

func BenchmarkPiece(b *testing.B) {
	stream, yes := new(Stream[int]), true
	TandemFollow(stream, tandem_rt.StartDetached(tandemTestOp, nil), tandemLook)
	defer tandemClose(stream)
	b.ReportAllocs()
	for i := 0; i < b.N; i++ {
		tandemNext(stream, tandemWait(stream), &yes)
	}
}
