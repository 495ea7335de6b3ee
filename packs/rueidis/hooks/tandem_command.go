package rueidis

import (
	"context"
	"errors"
	"strings"

	tandem_messaging "tandem/messaging"
	tandem_redis "tandem/redis"
	tandem_rt "tandem/rt"
)

// This file makes the spans of commands, pipelines and messages. They begin in the methods that programs call, which call
// each other and try again: what runs inside of an operation that has a span gets none.

const tandemScope = "tandem/github.com/redis/rueidis"

var (
	tandemCommand    = tandem_rt.NewOp("rueidis.command", tandemScope, tandem_rt.KindClient, tandem_redis.Name)
	tandemProcessing = tandem_rt.NewOp("rueidis.process", tandemScope, tandem_rt.KindConsumer,
		"process {messaging.destination.template}|process {messaging.destination.name}|process")
)

// tandemStart begins the span of an operation, unless it is part of another one.
func tandemStart(ctx context.Context) *tandem_rt.Span {
	if !tandemCommand.On() || tandem_rt.Woven().Is(tandemCommand) {
		return nil
	}
	return tandem_rt.Start(tandemCommand, tandem_rt.FromContext(ctx))
}

// tandemDo begins the span of one command.
func tandemDo(ctx context.Context, command []string) *tandem_rt.Span {
	span := tandemStart(ctx)
	if span != nil {
		name, arguments := tandemNameOf(command)
		tandem_redis.Command(span, "redis", name, arguments)
	}
	return span
}

// tandemNameOf returns a command's name, and how many arguments follow.
func tandemNameOf(command []string) (name string, arguments int) {
	if len(command) == 0 {
		return "", 0
	}
	return command[0], len(command) - 1
}

// tandemDoMulti begins the span of commands that are sent together.
func tandemDoMulti(ctx context.Context, multi []Completed) *tandem_rt.Span {
	if len(multi) == 0 {
		return nil
	}
	span := tandemStart(ctx)
	if span != nil {
		tandemDescribe(span, multi)
	}
	return span
}

// tandemDescribe has the frame that only batches pay for.
//
//go:noinline
func tandemDescribe(span *tandem_rt.Span, multi []Completed) {
	kind := tandem_redis.Pipeline
	if last := len(multi) - 1; last > 0 {
		first, _ := tandemNameOf(multi[0].Commands())
		end, _ := tandemNameOf(multi[last].Commands())
		if strings.EqualFold(first, "MULTI") && strings.EqualFold(end, "EXEC") {
			kind, multi = tandem_redis.Transaction, multi[1:last]
		}
	}
	var batch tandem_redis.Batch
	for i := range multi {
		batch.Add(tandemNameOf(multi[i].Commands()))
	}
	batch.Describe(span, "redis", kind)
}

// tandemDoMultiCache is tandemDoMulti for what may be answered from memory.
func tandemDoMultiCache(ctx context.Context, multi []CacheableTTL) *tandem_rt.Span {
	if len(multi) == 0 {
		return nil
	}
	span := tandemStart(ctx)
	if span != nil {
		tandemDescribeCache(span, multi)
	}
	return span
}

//go:noinline
func tandemDescribeCache(span *tandem_rt.Span, multi []CacheableTTL) {
	var batch tandem_redis.Batch
	for i := range multi {
		batch.Add(tandemNameOf(multi[i].Cmd.Commands()))
	}
	batch.Describe(span, "redis", tandem_redis.Pipeline)
}

// tandemReach is called where it is known which server a command goes to. A cluster's pipeline may go to several at once, each
// on a goroutine of its own: then its span says none.
func tandemReach(address string) {
	span := tandem_rt.Current()
	if !span.Home() {
		return
	}
	if span = tandem_rt.Woven(); span.Is(tandemCommand) {
		tandemServer(span, address)
	}
}

func tandemServer(span *tandem_rt.Span, address string) {
	network := "tcp"
	if strings.HasPrefix(address, "/") {
		network = "unix"
	}
	tandem_redis.Server(span, network, address, -1)
}

// tandemDedicated says where a connection goes that was taken for the program alone.
func tandemDedicated(span *tandem_rt.Span, c conn) {
	if span == nil {
		return
	}
	if m, is := c.(*mux); is && m != nil {
		tandemServer(span, m.dst)
	}
}

// tandemDone ends the span of an operation that returns *result. That there is no such key is an answer.
func tandemDone(span *tandem_rt.Span, result *RedisResult) {
	if span != nil {
		tandemEnd(span, result.Error())
	}
}

// tandemDoneMulti is that for several: the error is that of the first that failed.
func tandemDoneMulti(span *tandem_rt.Span, results *[]RedisResult) {
	if span == nil {
		return
	}
	for i := range *results {
		if err := (*results)[i].Error(); err != nil && !IsRedisNil(err) {
			tandemFailed(span, err)
			return
		}
	}
	span.End()
}

func tandemEnd(span *tandem_rt.Span, err error) {
	if err == nil || IsRedisNil(err) {
		span.End()
		return
	}
	tandemFailed(span, err)
}

func tandemFailed(span *tandem_rt.Span, err error) {
	var reply *RedisError
	is := errors.As(err, &reply)
	if is && reply != nil {
		err = tandemReply(reply.Error())
	}
	tandem_redis.End(span, err, is)
}

// tandemReply is an error that the server answered with. The client takes away the word ERR, which most of them begin with.
type tandemReply string

func (r tandemReply) Error() string {
	capitals := 0
	for capitals < len(r) && r[capitals] >= 'A' && r[capitals] <= 'Z' {
		capitals++
	}
	if capitals > 2 && capitals < len(r) && r[capitals] == ' ' {
		return string(r)
	}
	return "ERR " + string(r)
}

// tandemMessages has each message of a subscription be processed in a span. Redis carries no headers with them, so nothing
// says who sent them.
func tandemMessages(handle func(PubSubMessage)) func(PubSubMessage) {
	if handle == nil {
		return nil
	}
	return func(message PubSubMessage) {
		if tandem_rt.Woven().Is(tandemProcessing) { // a client that is made of others
			handle(message)
			return
		}
		span := tandem_rt.Start(tandemProcessing, nil)
		tandem_messaging.Describe(span, "redis", "process", tandem_messaging.Process, message.Channel)
		if message.Pattern != "" {
			span.Str(tandem_messaging.KeyTemplate, message.Pattern)
		}
		defer span.End()
		handle(message)
	}
}
