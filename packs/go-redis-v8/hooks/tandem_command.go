package redis

import (
	"context"
	"errors"

	tandem_redis "tandem/redis"
	tandem_rt "tandem/rt"
)

// This file makes the spans of commands, pipelines and transactions. They begin where all kinds of clients come by, before
// the program's own hooks. A cluster's client and a ring use other clients, a client commands of its own: what runs inside
// of an operation that has a span gets none.

const tandemScope = "tandem/github.com/go-redis/redis"

var (
	tandemCommand     = tandem_rt.NewOp("go-redis-v8.command", tandemScope, tandem_rt.KindClient, tandem_redis.Name)
	tandemPipeline    = tandem_rt.NewOp("go-redis-v8.pipeline", tandemScope, tandem_rt.KindClient, tandem_redis.Name)
	tandemTransaction = tandem_rt.NewOp("go-redis-v8.transaction", tandemScope, tandem_rt.KindClient, tandem_redis.Name)
)

// tandemStart begins the span of one command.
func tandemStart(ctx context.Context, cmd Cmder) *tandem_rt.Span {
	if !tandemCommand.On() || tandemInside() != nil {
		return nil
	}
	span := tandem_rt.Start(tandemCommand, tandem_rt.FromContext(ctx))
	name, arguments := tandemNameOf(cmd)
	tandem_redis.Command(span, tandem_redis.System, name, arguments)
	return span
}

// tandemStartBatch begins the span of a pipeline or a transaction, which may come between MULTI and EXEC.
func tandemStartBatch(op *tandem_rt.Op, ctx context.Context, cmds []Cmder) *tandem_rt.Span {
	if !op.On() || tandemInside() != nil {
		return nil
	}
	span := tandem_rt.Start(op, tandem_rt.FromContext(ctx))
	if span != nil {
		tandemDescribe(span, op, cmds)
	}
	return span
}

// tandemDescribe has the frame that only batches pay for.
//
//go:noinline
func tandemDescribe(span *tandem_rt.Span, op *tandem_rt.Op, cmds []Cmder) {
	kind := tandem_redis.Pipeline
	if op == tandemTransaction {
		kind = tandem_redis.Transaction
	}
	if last := len(cmds) - 1; last > 0 {
		if name, _ := tandemNameOf(cmds[0]); name == "multi" {
			if name, _ := tandemNameOf(cmds[last]); name == "exec" {
				kind, cmds = tandem_redis.Transaction, cmds[1:last]
			}
		}
	}
	var batch tandem_redis.Batch
	for _, cmd := range cmds {
		batch.Add(tandemNameOf(cmd))
	}
	batch.Describe(span, tandem_redis.System, kind)
}

// tandemNameOf returns a command's name as it was given, and how many arguments follow.
func tandemNameOf(cmd Cmder) (name string, arguments int) {
	args := cmd.Args()
	if len(args) == 0 {
		return "", 0
	}
	name, _ = args[0].(string)
	return name, len(args) - 1
}

// tandemInside returns the span of the operation that this code is part of.
func tandemInside() *tandem_rt.Span {
	span := tandem_rt.Woven()
	if span == nil || span.Is(tandemCommand) || span.Is(tandemPipeline) || span.Is(tandemTransaction) {
		return span
	}
	return nil
}

// tandemReach is called when a client asks for a connection. A cluster's pipeline goes to several servers at once, each on
// a goroutine of its own: then its span says none.
func tandemReach(opt *Options) {
	span := tandem_rt.Current()
	if !span.Home() {
		return
	}
	if span = tandemInside(); span == nil {
		return
	}
	address := opt.Addr
	if address == "FailoverClient" {
		address = "" // whoever the sentinels say
	}
	tandem_redis.Server(span, opt.Network, address, opt.DB)
}

// tandemEnd ends the span of an operation that returns *result. That there is no such key is an answer.
func tandemEnd(span *tandem_rt.Span, result *error) {
	if span == nil {
		return
	}
	err := *result
	if err == nil || err == Nil {
		span.End()
		return
	}
	tandemFailed(span, err)
}

// tandemEndBatch is tandemEnd for a batch, which returns its first command's error: that may be Nil, and a later one's not.
func tandemEndBatch(span *tandem_rt.Span, result *error, cmds []Cmder) {
	if span == nil {
		return
	}
	err := *result
	if err == Nil {
		for _, cmd := range cmds {
			if err = cmd.Err(); err != nil && err != Nil {
				break
			}
		}
	}
	tandemEnd(span, &err)
}

func tandemFailed(span *tandem_rt.Span, err error) {
	if errors.Is(err, Nil) {
		err = nil
	}
	var reply Error
	tandem_redis.End(span, err, errors.As(err, &reply))
}
