package asynq

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hibiken/asynq/internal/base"
	asynqcontext "github.com/hibiken/asynq/internal/context"
	tandem_rt "tandem/rt"
)

// A task's spans cost no allocation; the headers that it takes along are a map and a text.
func TestTandemAllocations(t *testing.T) {
	before := tandem_rt.Unset()
	defer tandem_rt.Restore(before)
	task := NewTask("email:welcome", nil)
	var none error
	span := tandemSend(context.Background(), task)
	if !span.Recording() {
		t.Skip("nothing is recorded here")
	}
	headers := tandemCarry(span, nil)
	tandemSent(span, &none)
	msg := &base.TaskMessage{ID: "1", Queue: "default", Type: "email:welcome", Retried: 2}
	if n := testing.AllocsPerRun(1000, func() {
		span := tandemSend(context.Background(), task)
		tandemAbout(span, msg)
		tandemSent(span, &none)
	}); n != 0 {
		t.Errorf("enqueued: %v allocations", n)
	}
	ctx, cancel := asynqcontext.New(context.Background(), msg, time.Now().Add(time.Hour))
	defer cancel()
	if n := testing.AllocsPerRun(1000, func() {
		tandemProcessed(tandemProcess(ctx, task, headers), &none)
	}); n != 0 {
		t.Errorf("processed: %v allocations", n)
	}
	span = tandemSend(context.Background(), task)
	if n := testing.AllocsPerRun(1000, func() { tandemCarry(span, nil) }); n > 3 {
		t.Errorf("carried: %v allocations", n)
	}
	tandemSent(span, &none)
	if tandem_rt.Current() != nil {
		t.Error("a span is still current")
	}
}

// The program's own headers stay as they are, and win.
func TestTandemHeaders(t *testing.T) {
	span := tandemSend(context.Background(), NewTask("email:welcome", nil))
	if span == nil {
		t.Skip("nothing is traced here")
	}
	own := map[string]string{"tenant": "acme"}
	carried := tandemCarry(span, own)
	if len(own) != 1 || carried["tenant"] != "acme" || carried["traceparent"] != span.Traceparent() {
		t.Errorf("%v of %v", carried, own)
	}
	own = map[string]string{"traceparent": "mine"}
	if carried := tandemCarry(span, own); carried["traceparent"] != "mine" {
		t.Errorf("%v of %v", carried, own)
	}
	span.End()
}

type tandemOdd struct{}

func (*tandemOdd) Error() string { panic("odd") }

// Whatever happened, nothing stays current.
func TestTandemEnds(t *testing.T) {
	before := tandem_rt.Unset()
	defer tandem_rt.Restore(before)
	for _, err := range []error{nil, errors.New("no"), errors.New("panic error cause by: panic [a.go:1]: no"), SkipRetry, (*tandemOdd)(nil)} {
		tandemProcessed(tandemProcess(context.Background(), NewTask("a", nil), nil), &err)
		if tandem_rt.Current() != nil {
			t.Fatal("a span is still current")
		}
	}
}
