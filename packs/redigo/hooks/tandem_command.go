package redis

import (
	"context"
	"errors"
	"strings"
	"sync"

	tandem_redis "tandem/redis"
	tandem_rt "tandem/rt"
)

// This file makes the spans of commands and pipelines. A command that is done with Do has a span for the call; what was sent
// before it, and not answered yet, goes with it. What is sent and flushed has a span until its last answer is received, on
// whatever goroutine.

const tandemScope = "tandem/github.com/gomodule/redigo"

var (
	tandemCommand  = tandem_rt.NewOp("redigo.command", tandemScope, tandem_rt.KindClient, tandem_redis.Name)
	tandemPipeline = tandem_rt.NewOp("redigo.pipeline", tandemScope, tandem_rt.KindClient, tandem_redis.Name)
)

// tandemPipe is what a connection knows: where it goes, and what was sent that is not answered.
type tandemPipe struct {
	known            bool
	network, address string
	database         int

	lock  sync.Mutex // one goroutine may send while another one receives
	sent  tandemBatch
	left  int             // answers to come
	span  *tandem_rt.Span // of what was flushed
	first Error           // the first answer that is an error
}

// tandemBatch is what goes together.
type tandemBatch struct {
	commands tandem_redis.Batch
	size     int
	multi    bool // begins with MULTI
	exec     bool // ends with EXEC
}

func (p *tandemPipe) goes(network, address string, database int) {
	p.known, p.network, p.address, p.database = true, network, address, database
}

func (p *tandemPipe) server(span *tandem_rt.Span) {
	if p.known {
		tandem_redis.Server(span, p.network, p.address, p.database)
	}
}

// add adds a command. MULTI and EXEC are what makes a transaction of it.
func (b *tandemBatch) add(name string, arguments int) {
	b.size++
	switch {
	case b.size == 1 && strings.EqualFold(name, "MULTI"):
		b.multi = true
		return
	case b.multi && strings.EqualFold(name, "EXEC"):
		b.exec = true
		return
	}
	b.commands.Add(name, arguments)
}

func (b *tandemBatch) describe(span *tandem_rt.Span) {
	kind := tandem_redis.Pipeline
	switch {
	case b.multi && b.exec:
		kind = tandem_redis.Transaction
	case b.multi:
		b.commands.Add("MULTI", 0)
	}
	b.commands.Describe(span, tandem_redis.System, kind)
}

// tandemSubscribes says whether a command is answered with messages.
func tandemSubscribes(name string) bool {
	return len(name) >= len("SUBSCRIBE") && strings.EqualFold(name[len(name)-len("SUBSCRIBE"):], "SUBSCRIBE")
}

// add is called with what is sent.
func (p *tandemPipe) add(name string, arguments int) {
	if tandemSubscribes(name) {
		return
	}
	p.lock.Lock()
	defer p.lock.Unlock()
	p.sent.add(name, arguments)
	p.left++
}

// tandemDo begins the span of Do, which receives all that is not answered yet. A call with a context does so on a goroutine.
func tandemDo(c *conn, ctx context.Context, name string, arguments int) *tandem_rt.Span {
	if tandem_rt.Woven().Is(tandemCommand) {
		return nil
	}
	p := &c.tandem
	p.lock.Lock()
	defer p.lock.Unlock()
	p.end(nil)
	if p.sent.size == 0 && name == "" {
		return nil
	}
	span := tandem_rt.Start(tandemCommand, tandem_rt.FromContext(ctx))
	if span != nil {
		p.server(span)
	}
	switch {
	case p.sent.size == 0:
		if span != nil {
			tandem_redis.Command(span, tandem_redis.System, name, arguments)
		}
		return span
	case name != "":
		p.sent.add(name, arguments)
	}
	if span != nil {
		p.sent.describe(span)
	}
	p.sent, p.left = tandemBatch{}, 0
	return span
}

// tandemDone ends it. Answers to what was sent may be errors.
func tandemDone(span *tandem_rt.Span, reply *interface{}, result *error) {
	if span == nil {
		return
	}
	err := *result
	if err == nil {
		if replies, several := (*reply).([]interface{}); several {
			for _, one := range replies {
				if failed, is := one.(Error); is {
					err = failed
					break
				}
			}
		}
	}
	tandemEnd(span, err)
}

func tandemEnd(span *tandem_rt.Span, err error) {
	if err == nil {
		span.End()
		return
	}
	tandemFailed(span, err)
}

func tandemFailed(span *tandem_rt.Span, err error) {
	var reply Error
	tandem_redis.End(span, err, errors.As(err, &reply))
}

// tandemFlush begins the span of what was sent.
func tandemFlush(c *conn) {
	p := &c.tandem
	p.lock.Lock()
	defer p.lock.Unlock()
	if p.span == nil && p.left > 0 {
		p.span = tandem_rt.StartDetached(tandemPipeline, nil)
	}
}

// tandemAnswered is called for each answer, and when there will be none. The last one ends the span.
func tandemAnswered(c *conn, result *error) {
	p := &c.tandem
	p.lock.Lock()
	defer p.lock.Unlock()
	if p.left == 0 {
		return
	}
	if err := *result; err != nil {
		reply, is := err.(Error)
		if !is {
			p.end(err)
			p.sent, p.left = tandemBatch{}, 0
			return
		}
		if p.first == "" {
			p.first = reply
		}
	}
	if p.left--; p.left == 0 {
		p.end(nil)
		p.sent = tandemBatch{}
	}
}

// tandemClosed is called when nothing more will be received.
func tandemClosed(c *conn) {
	p := &c.tandem
	p.lock.Lock()
	defer p.lock.Unlock()
	p.end(nil)
}

// end ends the span of what was flushed. What is sent later is not a part of it.
func (p *tandemPipe) end(err error) {
	span, first := p.span, p.first
	if p.span, p.first = nil, ""; span == nil {
		return
	}
	p.server(span)
	p.sent.describe(span)
	if err == nil && first != "" {
		err = first
	}
	tandemEnd(span, err)
}
