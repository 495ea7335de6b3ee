package fasthttp

import (
	tandem_http "tandem/http"
	tandem_rt "tandem/rt"
)

// The server half: one span a request, from the call of its handler until its response is written, with what streams it. One
// goroutine serves a connection, so what belongs to the running request is kept on its stack.

var tandemServerOp = tandem_rt.NewOp("fasthttp.server", "tandem/github.com/valyala/fasthttp", tandem_rt.KindServer,
	"{http.request.method} {http.route}|{http.request.method}")

// tandemConn is a connection: the request that it serves, and what stays from one request to the next.
type tandemConn struct {
	span  *tandem_rt.Span
	ctx   *RequestCtx
	peers tandem_rt.Fixed // for this Host and version:
	host  string
	old   bool
}

// tandemContext is what a RequestCtx carries, which is a context.Context. It may be kept beyond the request where a handler
// timed out.
type tandemContext struct {
	span tandem_rt.Holder
	ids  tandem_rt.IDs
}

// show is the span that the context carries.
func (c *tandemContext) show() *tandem_rt.Span {
	if c.span.Held() == nil && c.ids == (tandem_rt.IDs{}) {
		return nil
	}
	return c.span.Show(&c.ids)
}

// start begins the span of the request that is about to be handled.
func (c *tandemConn) start(ctx *RequestCtx) {
	if !tandemServerOp.On() {
		return
	}
	header := &ctx.Request.Header
	path, query := tandemTarget(header)
	incoming := tandem_rt.Incoming{Path: path}
	tandemCatch(&incoming, header)
	span := tandem_rt.StartIncoming(tandemServerOp, &incoming)
	if span == nil {
		return
	}
	c.span, c.ctx = span, ctx
	ctx.tandem.span.Hold(span)
	tandem_http.Method(span, b2s(header.Method()))
	scheme := "http"
	if ctx.IsTLS() {
		scheme = "https"
	}
	span.Str(tandem_rt.KeyURLSchemeDimension, scheme)
	if !span.Recording() {
		return
	}
	c.describe(ctx)
	span.Str(tandem_rt.KeyURLPath, path)
	if query != "" {
		span.Str(tandem_rt.KeyURLQuery, tandem_http.Redact(query))
	}
	if agent := header.UserAgent(); len(agent) != 0 {
		span.Str(tandem_rt.KeyUserAgentOriginal, b2s(agent))
	}
}

// describe sets what hardly changes on a connection.
func (c *tandemConn) describe(ctx *RequestCtx) {
	header := &ctx.Request.Header
	if old := !header.IsHTTP11(); c.peers.Empty() || c.old != old || c.host != string(header.Host()) {
		c.peers.Clear()
		c.host, c.old = string(header.Host()), old
		host, port := tandem_http.SplitHost(c.host)
		client, _ := tandem_http.SplitHost(ctx.RemoteAddr().String())
		version := "1.1"
		if old {
			version = "1.0"
		}
		c.peers.Str(tandem_rt.KeyNetworkProtocolVersion, version)
		c.peers.Str(tandem_rt.KeyClientAddress, client)
		if port != 0 {
			c.peers.Int(tandem_rt.KeyServerPort, port)
		}
		if host != "" {
			c.peers.Str(tandem_rt.KeyServerAddress, host) // last: it may not fit
		}
	}
	c.span.Fixed(&c.peers)
}

// written ends the span of a request whose response is written, and passes on what came of that.
func (c *tandemConn) written(ctx *RequestCtx, err error) error {
	if span := c.take(); span != nil {
		tandem_http.ServerStatus(span, ctx.Response.StatusCode())
		span.End()
	}
	return err
}

// hijacked ends the span of a request whose connection the handler has taken over without a response.
func (c *tandemConn) hijacked() { c.take().End() }

// abandoned ends the span of a request that was not answered: its handler panicked, or its connection broke.
func (c *tandemConn) abandoned() {
	if span := c.take(); span != nil {
		span.SetError("_OTHER", "")
		span.End()
	}
}

// take is for the last words on a request's span: from here on its context shows what is left of it.
func (c *tandemConn) take() *tandem_rt.Span {
	span, ctx := c.span, c.ctx
	if span != nil {
		c.span, c.ctx = nil, nil
		ctx.tandem.span.Release(span, &ctx.tandem.ids)
	}
	return span
}
