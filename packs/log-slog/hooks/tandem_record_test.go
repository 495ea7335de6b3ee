package slog

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"

	tandem_rt "tandem/rt"
)

var tandemTestOp = tandem_rt.NewOp("test", "tandem/test", tandem_rt.KindServer, "test")

type tandemContextOf struct {
	context.Context
	span *tandem_rt.Span
}

func (c tandemContextOf) Value(key any) any {
	if key == tandem_rt.ContextKey {
		return c.span
	}
	return c.Context.Value(key)
}

// The ids are those of the span in the context, else of the goroutine's; outside of spans there are none.
func TestTandemWhichSpan(t *testing.T) {
	logged := func(ctx context.Context) map[string]any {
		var out bytes.Buffer
		New(NewJSONHandler(&out, nil)).WithGroup("group").InfoContext(ctx, "message", "key", 1)
		fields := map[string]any{}
		if err := json.Unmarshal(out.Bytes(), &fields); err != nil {
			t.Fatal(err)
		}
		return fields
	}
	if fields := logged(context.Background()); fields["trace_id"] != nil {
		t.Errorf("outside: %v", fields)
	}
	span := tandem_rt.Start(tandemTestOp, nil)
	other := tandem_rt.StartDetached(tandemTestOp, tandem_rt.Ended([16]byte{1}, [8]byte{2}, false))
	for _, test := range []struct {
		ctx  context.Context
		want *tandem_rt.Span
	}{{context.Background(), span}, {tandemContextOf{context.Background(), other}, other}, {tandemContextOf{context.Background(), nil}, span}} {
		text := test.want.Traceparent()
		if fields := logged(test.ctx); fields["trace_id"] != text[3:35] || fields["span_id"] != text[36:52] || fields["trace_flags"] != text[53:] {
			t.Errorf("%v instead of %s", fields, text)
		}
	}
	other.End()
	span.End()
}

// No handler of Go's own allocates more for a record inside a span than outside.
func TestTandemRecordAllocations(t *testing.T) {
	for name, handler := range map[string]Handler{"json": NewJSONHandler(io.Discard, nil), "text": NewTextHandler(io.Discard, nil)} {
		logger := New(handler)
		work := func() { logger.LogAttrs(context.Background(), LevelInfo, "message", Int("key", 1)) }
		outside := testing.AllocsPerRun(200, work)
		span := tandem_rt.Start(tandemTestOp, nil)
		inside := testing.AllocsPerRun(200, work)
		span.End()
		if inside != outside {
			t.Errorf("%s: %v allocations inside of a span, %v outside", name, inside, outside)
		}
	}
}

// A handler that passes records on to another gives each record its ids once.
func TestTandemNestedHandlers(t *testing.T) {
	var out bytes.Buffer
	span := tandem_rt.Start(tandemTestOp, nil)
	New(tandemNested{NewTextHandler(&out, nil)}).Info("message")
	span.End()
	if strings.Count(out.String(), "trace_id=") != 1 {
		t.Error(out.String())
	}
}

type tandemNested struct{ Handler }
