package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
)

func init() {
	shapes = append(shapes,
		shape{name: "request", run: requests},
		shape{name: "explicit context", run: explicitContext},
		shape{name: "context of a finished request", run: finishedRequest},
		shape{name: "worker pool of a request", run: requestWorkers},
		shape{name: "handlers that do not return", run: abortedRequests},
		shape{name: "hijacked connection", run: hijacked},
		shape{name: "streamed response", run: streamed},
		shape{name: "connection pool", run: connectionPool},
		shape{name: "HTTP/2", run: multiplexed},
		shape{name: "HTTP/2 streams", run: streamedBothWays},
	)
}

// exchange is a request on its way: what the handler does, and its end, which comes a moment after the answer.
type exchange struct {
	handle func(w http.ResponseWriter, req *http.Request)
	ended  chan struct{}
}

var exchanges struct {
	sync.Map
	number atomic.Int64
}

func dispatch(w http.ResponseWriter, req *http.Request) {
	found, ok := exchanges.LoadAndDelete(req.Header.Get("Exchange"))
	if !ok {
		http.Error(w, "no such exchange", http.StatusNotFound)
		return
	}
	one := found.(*exchange)
	if c, ok := req.Context().Value(connectionKey{}).(*connection); ok {
		c.current.Store(one)
	}
	one.handle(w, req)
}

// connection tells an exchange its end.
type connection struct {
	net.Conn
	current  atomic.Pointer[exchange]
	hijacked atomic.Bool
}

type connectionKey struct{}

func (c *connection) end() {
	if one := c.current.Swap(nil); one != nil {
		close(one.ended)
	}
}

type listener struct{ net.Listener }

func (l listener) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &connection{Conn: accepted}, nil
}

// web is a server and a client for it.
type web struct {
	url    string
	client *http.Client
}

// plain speaks HTTP/1.
var plain = func() *web {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	server := &http.Server{
		Handler:  http.HandlerFunc(dispatch),
		ErrorLog: log.New(io.Discard, "", 0),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return watched{ctx, c.(*connection)}
		},
		ConnState: func(c net.Conn, state http.ConnState) {
			if state == http.StateIdle || state == http.StateClosed {
				c.(*connection).end()
			}
		},
	}
	go server.Serve(listener{inner})
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	atRest(transport.CloseIdleConnections)
	return &web{"http://" + inner.Addr().String(), &http.Client{Transport: transport}}
}()

// watched is above the server's context of a connection.
type watched struct {
	context.Context
	c *connection
}

func (w watched) Value(key any) any {
	if key == (connectionKey{}) {
		return w.c
	}
	// When the server is done with a connection that was hijacked, it says so to nobody, but it cancels the connection's
	// context: that one looks then for a parent to leave, with a key of its own.
	if _, ok := key.(*int); ok && w.c.hijacked.Load() {
		w.c.end()
	}
	return w.Context.Value(key)
}

// Done makes it a context that could end.
func (watched) Done() <-chan struct{} { return never }

var never = make(chan struct{})

// fast speaks HTTP/2, over one connection.
var fast = func() *web {
	server := httptest.NewUnstartedServer(http.HandlerFunc(dispatch))
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	return &web{server.URL, server.Client()}
}()

type handler func(w http.ResponseWriter, req *http.Request, here truth)

// send makes a request from within the span caller, and does what the handler does in the server's.
func (site *web) send(ctx context.Context, caller truth, body io.Reader, handle handler) (*http.Response, *exchange, error) {
	one := &exchange{ended: make(chan struct{})}
	one.handle = func(w http.ResponseWriter, req *http.Request) { handle(w, req, below("server client", caller)) }
	number := fmt.Sprint(exchanges.number.Add(1))
	exchanges.Store(number, one)
	req, err := http.NewRequestWithContext(ctx, "POST", site.url, body)
	check(err)
	req.Header.Set("Exchange", number)
	response, err := site.client.Do(req)
	return response, one, err
}

// get is send for requests that are answered, to their end.
func (site *web) get(ctx context.Context, caller truth, handle handler) *exchange {
	response, one, err := site.send(ctx, caller, nil, handle)
	check(err)
	finish(response)
	if site != fast { // there the answer ends after the span
		<-one.ended
	}
	return one
}

func finish(response *http.Response) {
	_, err := io.Copy(io.Discard, response.Body)
	check(err)
	check(response.Body.Close())
	if response.StatusCode != http.StatusOK {
		check(errors.New(response.Status))
	}
}

var background = context.Background()

// A goroutine per request: what the handler does, and starts, is below the server's span.
func requests(r round) {
	r.in(root, func(a truth) {
		plain.get(background, a, func(w http.ResponseWriter, req *http.Request, here truth) {
			r.one(here)
			r.in(here, func(b truth) {
				r.one(b)
				on(func() { r.one(b) })
			})
			on(func() { r.in(here, func(b truth) { r.one(b) }) })
		})
		r.one(a)
	})
	plain.get(background, root, func(w http.ResponseWriter, req *http.Request, here truth) { r.one(here) })
	r.in(root, func(a truth) {
		plain.get(background, a, func(w http.ResponseWriter, req *http.Request, here truth) {
			r.in(here, func(b truth) { // a service that calls another
				plain.get(req.Context(), b, func(w http.ResponseWriter, req *http.Request, there truth) {
					r.oneWith(req.Context(), there)
				})
			})
		})
	})
}

// An explicit context wins, but for a span that runs here and is closer to the work: one that descends from it.
func explicitContext(r round) {
	r.in(root, func(a truth) {
		plain.get(background, a, func(w http.ResponseWriter, req *http.Request, here truth) {
			ctx := req.Context()
			r.with(ctx, here, func(b truth) {
				r.oneWith(ctx, b)
				r.oneWith(background, b)
				on(func() { r.oneWith(ctx, b) })
			})
			elsewhere(func() {
				r.oneWith(ctx, here)
				r.in(root, func(c truth) { // of another trace
					r.one(c)
					r.with(ctx, here, func(d truth) {
						r.one(d)
						on(func() { r.one(d) })
						r.oneWith(ctx, d)
					})
					r.one(c)
				})
			})
			proceed := make(chan struct{})
			var late <-chan struct{}
			r.in(here, func(b truth) {
				late = start(func() {
					<-proceed // b has ended, and does not stand between any more
					r.oneWith(ctx, here)
					r.one(b)
				})
			})
			close(proceed)
			<-late
			derived, cancel := context.WithCancel(context.WithValue(ctx, connectionKey{}, nil))
			defer cancel()
			elsewhere(func() { r.oneWith(derived, here) })
		})
	})
}

// A context that is kept longer than its request still says whose work it is.
func finishedRequest(r round) {
	var kept context.Context
	var there truth
	var late <-chan struct{}
	proceed, cancelled := make(chan struct{}), make(chan struct{})
	r.in(root, func(a truth) {
		plain.get(background, a, func(w http.ResponseWriter, req *http.Request, here truth) {
			there, kept = here, context.WithoutCancel(req.Context())
			r.oneWith(kept, here)
			late = start(func() {
				<-proceed
				r.oneWith(kept, here)
				r.in(link(here), func(b truth) { r.one(b) })
			})
			context.AfterFunc(req.Context(), func() { // it ends with the request
				r.oneWith(kept, here)
				close(cancelled)
			})
		})
		elsewhere(func() { r.oneWith(kept, there) })
		r.one(a)
	})
	close(proceed)
	<-late
	<-cancelled
	r.in(root, func(a truth) {
		r.with(kept, there, func(b truth) { r.one(b) })
		r.one(a)
	})
}

// A pool that the first request starts serves others too: with their contexts.
func requestWorkers(r round) {
	var w worker
	var first truth
	r.in(root, func(a truth) {
		plain.get(background, a, func(_ http.ResponseWriter, req *http.Request, here truth) {
			first, w = here, newWorker()
			ctx := req.Context()
			w.do(func() { r.oneWith(ctx, here) })
			plain.get(background, here, func(_ http.ResponseWriter, req *http.Request, there truth) {
				ctx := req.Context()
				w.do(func() { r.oneWith(ctx, there) })
				w.do(func() { r.one(here) })
			})
		})
	})
	r.in(root, func(a truth) {
		plain.get(background, a, func(_ http.ResponseWriter, req *http.Request, here truth) {
			ctx := req.Context()
			w.do(func() { r.with(ctx, here, func(b truth) { r.one(b) }) })
			w.do(func() { r.one(link(first)) })
		})
	})
	close(w)
}

// Handlers that panic or exit end the spans in them, and their connection.
func abortedRequests(r round) {
	r.in(root, func(a truth) {
		aborted := func(how func()) {
			response, one, err := plain.send(background, a, nil, func(w http.ResponseWriter, req *http.Request, here truth) {
				defer r.one(here)
				r.in(here, func(b truth) {
					defer r.one(b)
					how()
				})
			})
			if err == nil {
				finish(response)
				check(errors.New("an aborted request was answered"))
			}
			<-one.ended
		}
		aborted(func() { panic(http.ErrAbortHandler) })
		aborted(runtime.Goexit)
		plain.get(background, a, func(w http.ResponseWriter, req *http.Request, here truth) {
			recovered(func() { r.in(here, func(truth) { panic(errExpected) }) })
			r.one(here)
		})
	})
}

// A connection that the handler has taken over belongs to no request any more when the handler has returned.
func hijacked(r round) {
	var late <-chan struct{}
	r.in(root, func(a truth) {
		response, one, err := plain.send(background, a, nil, func(w http.ResponseWriter, req *http.Request, here truth) {
			c, buffered, err := w.(http.Hijacker).Hijack()
			check(err)
			r.one(here)
			returned := c.(*connection).current.Load().ended
			running := make(chan struct{})
			late = start(func() {
				defer c.Close()
				r.one(here)
				close(running)
				<-returned
				for {
					line, err := buffered.ReadString('\n')
					if err != nil {
						return
					}
					r.in(link(here), func(b truth) { r.one(b) })
					fmt.Fprint(buffered, line)
					check(buffered.Flush())
				}
			})
			fmt.Fprint(buffered, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\n")
			check(buffered.Flush())
			<-running
			c.(*connection).hijacked.Store(true)
		})
		check(err)
		<-one.ended
		both := response.Body.(io.ReadWriteCloser)
		lines := bufio.NewReader(both)
		for n := 0; n < 3; n++ {
			fmt.Fprintln(both, "line", n)
			_, err := lines.ReadString('\n')
			check(err)
			r.one(a)
		}
		check(both.Close())
	})
	<-late
}

// A response that streams: server and client are at work at the same time, each in its own span.
func streamed(r round) {
	r.in(root, func(a truth) {
		step := make(chan struct{})
		response, one, err := plain.send(background, a, nil, func(w http.ResponseWriter, req *http.Request, here truth) {
			for n := 0; n < 3; n++ {
				r.one(here)
				fmt.Fprintln(w, n)
				w.(http.Flusher).Flush()
				<-step
			}
		})
		check(err)
		lines := bufio.NewReader(response.Body)
		for n := 0; n < 3; n++ {
			_, err := lines.ReadString('\n')
			check(err)
			r.one(a)
			step <- struct{}{}
		}
		finish(response)
		<-one.ended
	})
}

// body is a request's body that does work of its own.
type body struct {
	io.Reader
	work func()
}

func (b *body) Read(into []byte) (int, error) {
	b.work()
	return b.Reader.Read(into)
}

// The goroutines behind a client's connection belong to no request, but what a request gives them to do does: dialling,
// and reading its body.
func connectionPool(r round) {
	dialler := new(net.Dialer)
	dial := make(chan truth, 1)
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		r.oneWith(ctx, <-dial)
		return dialler.DialContext(ctx, network, address)
	}}
	site := &web{plain.url, &http.Client{Transport: transport}}
	r.in(root, func(a truth) {
		dial <- below("client", a)
		site.get(background, a, func(w http.ResponseWriter, req *http.Request, here truth) { r.one(here) })
	})
	transport.CloseIdleConnections()
	r.in(root, func(a truth) {
		plain.get(background, a, func(w http.ResponseWriter, req *http.Request, here truth) {
			ctx := req.Context()
			elsewhere(func() {
				dial <- below("client", here)
				site.get(ctx, here, func(w http.ResponseWriter, req *http.Request, there truth) { r.one(there) })
			})
		})
		// Once more over the same connection, which the other trace has opened.
		var wrote, read sync.Once
		ctx := httptrace.WithClientTrace(background, &httptrace.ClientTrace{
			WroteRequest:         func(httptrace.WroteRequestInfo) { wrote.Do(func() { r.one(root) }) },
			GotFirstResponseByte: func() { read.Do(func() { r.one(root) }) },
		})
		site.get(ctx, a, func(w http.ResponseWriter, req *http.Request, here truth) { r.one(here) })
		var inBody sync.Once
		text := &body{strings.NewReader(strings.Repeat("x", 1000)), func() { inBody.Do(func() { r.one(below("client", a)) }) }}
		response, one, err := site.send(background, a, text, func(w http.ResponseWriter, req *http.Request, here truth) {
			_, err := io.Copy(io.Discard, req.Body)
			check(err)
			r.one(here)
		})
		check(err)
		finish(response)
		<-one.ended
	})
	transport.CloseIdleConnections()
}

// Many requests share a connection, from other traces and at the same time.
func multiplexed(r round) {
	var all sync.WaitGroup
	for n := 0; n < 4; n++ {
		all.Add(1)
		go func() {
			defer all.Done()
			proceed := make(chan struct{})
			var late <-chan struct{}
			r.in(root, func(a truth) {
				fast.get(background, a, func(w http.ResponseWriter, req *http.Request, here truth) {
					ctx := req.Context()
					r.one(here)
					on(func() { r.one(here) })
					elsewhere(func() { r.oneWith(ctx, here) })
					r.in(here, func(b truth) {
						fast.get(ctx, b, func(w http.ResponseWriter, req *http.Request, there truth) { r.one(there) })
					})
					late = start(func() {
						<-proceed
						r.one(link(here))
						r.oneWith(ctx, here)
					})
				})
				r.one(a)
			})
			close(proceed)
			<-late
		}()
	}
	all.Wait()
}

// Both sides of a stream are at work at the same time.
func streamedBothWays(r round) {
	r.in(root, func(a truth) {
		reader, writer := io.Pipe()
		var inBody sync.Once
		text := &body{reader, func() { inBody.Do(func() { r.one(below("client", a)) }) }}
		sent := start(func() {
			for n := 0; n < 3; n++ {
				r.one(a)
				fmt.Fprintln(writer, n)
			}
		})
		response, _, err := fast.send(background, a, text, func(w http.ResponseWriter, req *http.Request, here truth) {
			w.(http.Flusher).Flush()
			for lines := bufio.NewScanner(req.Body); lines.Scan(); {
				r.oneWith(req.Context(), here)
				fmt.Fprintln(w, lines.Text())
				w.(http.Flusher).Flush()
			}
		})
		check(err)
		lines := bufio.NewReader(response.Body)
		for n := 0; n < 3; n++ {
			_, err := lines.ReadString('\n')
			check(err)
			r.one(a)
		}
		<-sent
		check(writer.Close())
		finish(response)
	})
}
