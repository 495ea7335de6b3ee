package driver

import (
	"context"
	"errors"
	"testing"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
	tandem_rt "tandem/rt"
)

func testCommand(name, collection string) bsoncore.Document {
	return bsoncore.BuildDocument(nil, bsoncore.AppendStringElement(nil, name, collection))
}

// A command's span costs no allocation.
func TestNothingIsAllocated(t *testing.T) {
	ctx := context.Background()
	op := &Operation{Database: "shop"}
	if span := tandemStart(ctx, op, "find", 0); !span.Recording() {
		t.Skip("nothing is recorded here")
	} else {
		span.End()
	}
	command := testCommand("find", "orders")
	more := bsoncore.BuildDocument(nil, bsoncore.AppendStringElement(bsoncore.AppendInt64Element(nil, "getMore", 7), "collection", "orders"))
	var failed error
	if n := testing.AllocsPerRun(1000, func() {
		span := tandemStart(ctx, op, "find", 3)
		tandemSend(span, op, "find", command, "mongo.example:27018")
		tandemEnd(span, &failed)
		span = tandemStart(ctx, op, "", 0)
		tandemSend(span, op, "getMore", more, "/tmp/mongodb.sock")
		tandemSend(span, op, "getMore", more, "mongo.example:27018")
		tandemEnd(span, &failed)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// What a command is about is found, and only where it is a collection's name.
func TestCollection(t *testing.T) {
	for name, command := range map[string]bsoncore.Document{"find": testCommand("find", "orders"), "getMore": bsoncore.BuildDocument(nil,
		bsoncore.AppendStringElement(bsoncore.AppendInt64Element(nil, "getMore", 7), "collection", "orders"))} {
		if got := tandemCollection(name, command); got != "orders" {
			t.Errorf("%s: %q", name, got)
		}
		for end := range command { // what is cut short is not read beyond its end
			tandemCollection(name, command[:end])
		}
	}
	if got := tandemCollection("createUser", testCommand("createUser", "ann")); got != "" {
		t.Errorf("createUser: %q", got)
	}
}

// Whatever happened, nothing stays current.
func TestEnds(t *testing.T) {
	before := tandem_rt.Unset()
	defer tandem_rt.Restore(before)
	for _, err := range []error{nil, ErrUnacknowledgedWrite, Error{Code: 26, Message: "ns not found"}, Error{Code: 59, Message: "no such command: 'x'"},
		WriteCommandError{WriteErrors: WriteErrors{{Code: 11000, Message: "dup key: {a: 1}"}}}, errors.New("no"), context.Canceled} {
		result := err
		tandemEnd(tandemStart(context.Background(), &Operation{}, "find", 0), &result)
		if tandem_rt.Current() != nil {
			t.Fatalf("after %v a span is still current", err)
		}
	}
}

func BenchmarkCommand(b *testing.B) {
	ctx, op, command := context.Background(), &Operation{Database: "shop"}, testCommand("find", "orders")
	var failed error
	b.ReportAllocs()
	for i := 0; i < b.N; i++ {
		span := tandemStart(ctx, op, "find", 0)
		tandemSend(span, op, "find", command, "mongo.example:27018")
		tandemEnd(span, &failed)
	}
}
