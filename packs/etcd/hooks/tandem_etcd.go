package clientv3

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"tandem/db"
	tandem_rt "tandem/rt"
)

// This file makes the spans of operations on keys, whatever retries they take. The keys are not in them: they are many, and
// may be names of people. The gRPC call below serves the operation, so that it has no span of its own.

var tandemKV = db.NewOp("etcd.kv", "tandem/go.etcd.io/etcd/client", db.NameCommand)

type tandemTarget = db.Target

// tandemKnow is called when a client's operations on keys are there. Where it knows several members of the cluster, nobody
// knows which of them will be asked.
func tandemKnow(kv *kv, c *Client) {
	kv.tandem.Set("etcd", "", "", 0)
	if c == nil {
		return
	}
	if endpoints := c.Endpoints(); len(endpoints) == 1 {
		endpoint := endpoints[0]
		if scheme, rest, found := strings.Cut(endpoint, "://"); found {
			if strings.HasPrefix(scheme, "unix") {
				return
			}
			endpoint = rest
		}
		kv.tandem.SetAddress(endpoint)
	}
}

var tandemNames = [...]string{tRange: "get", tPut: "put", tDeleteRange: "delete", tTxn: "txn"}

func tandemName(kind opType) string {
	if uint(kind) < uint(len(tandemNames)) {
		return tandemNames[kind]
	}
	return ""
}

func tandemStart(kv *kv, ctx context.Context, name string) *tandem_rt.Span {
	if name == "" || !tandemKV.On() {
		return nil
	}
	return db.Start(tandemKV, tandem_rt.FromContext(ctx), &kv.tandem, name, "")
}

func tandemEnd(span *tandem_rt.Span, err *error) {
	if span == nil {
		return
	}
	if *err != nil {
		tandemFail(span, *err)
	}
	span.End()
}

// tandemFail says how an operation failed: as the server says it, else by the context that ended first.
func tandemFail(span *tandem_rt.Span, err error) {
	var known rpctypes.EtcdError
	kind := ""
	switch {
	case errors.As(err, &known):
		kind = tandemCode(known.Code())
	case errors.Is(err, context.Canceled):
		span.SetError("context.Canceled", err.Error())
		return
	case errors.Is(err, context.DeadlineExceeded):
		span.SetError("context.DeadlineExceeded", err.Error())
		return
	default:
		said, _ := status.FromError(err)
		kind = tandemCode(said.Code())
	}
	span.Str(tandem_rt.KeyDBResponseStatusCode, kind)
	span.SetError(kind, db.Redact(err.Error()))
}

// tandemCode writes OutOfRange as OUT_OF_RANGE, as the conventions for gRPC do.
func tandemCode(code codes.Code) string {
	if code == codes.Canceled {
		return "CANCELLED"
	}
	var name strings.Builder
	for i, c := range code.String() {
		if i > 0 && c >= 'A' && c <= 'Z' {
			name.WriteByte('_')
		}
		name.WriteRune(c)
	}
	return strings.ToUpper(name.String())
}
