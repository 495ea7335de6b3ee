package main

import (
	"bytes"
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/test/bufconn"

	"example.com/bench/programs/serve"
)

const hello = "GET /hello HTTP/1.1\r\n" +
	"Host: 127.0.0.1:8080\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\r\n"

// server is a request to a net/http server whose client lies in memory.
func server(with instruments) call {
	mux := http.NewServeMux()
	mux.Handle("GET /hello", with.handler(http.HandlerFunc(serve.Hello)))
	return requested("http server", func(listener net.Listener) error { return http.Serve(listener, mux) })
}

// requested is a request for /hello to a server whose client lies in memory.
func requested(name string, serve func(net.Listener) error) call {
	return call{name: name, count: 1000, spans: 1, do: repeated(hello, serve)}
}

// repeated makes the same request as often as it is told to, to a server whose client lies in memory.
func repeated(request string, serve func(net.Listener) error) (do func(n int)) {
	conn := &clientSide{request: request, more: make(chan int), done: make(chan struct{}, 1)}
	listener := make(listener, 1)
	listener <- conn
	go func() { log.Fatal(serve(listener)) }()
	return func(n int) {
		conn.more <- n
		<-conn.done
	}
}

// clientSide is a connection whose client sends as many requests as it is told to, and takes every answer at once.
type clientSide struct {
	quiet
	request    string
	more       chan int
	done       chan struct{} // all were answered
	at         int           // place in the request
	unsent     int
	unanswered int
}

func (c *clientSide) Read(into []byte) (int, error) {
	if c.unsent == 0 {
		if c.at == 0 { // the server's background reader asks for one byte while a request is served, and must not wait
			c.at = copy(into[:1], c.request)
			return c.at, nil
		}
		c.unsent = <-c.more
		c.unanswered = c.unsent
	}
	n := copy(into, c.request[c.at:])
	if c.at += n; c.at == len(c.request) {
		c.at = 0
		c.unsent--
	}
	return n, nil
}

func (c *clientSide) Write(answer []byte) (int, error) {
	if c.unanswered--; c.unanswered == 0 {
		c.done <- struct{}{}
	}
	return len(answer), nil
}

// server2 is a request over HTTP/2.
func server2(with instruments) call {
	mux := http.NewServeMux()
	mux.Handle("GET /hello", with.handler(http.HandlerFunc(serve.Hello)))
	server := &http.Server{Handler: mux, Protocols: new(http.Protocols)}
	server.Protocols.SetUnencryptedHTTP2(true)
	listener := bufconn.Listen(1 << 16)
	go func() { log.Fatal(server.Serve(listener)) }()
	conn, err := listener.Dial()
	if err != nil {
		log.Fatal(err)
	}
	client := newFrames(conn, nil, []hpack.HeaderField{
		{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: "/hello"},
		{Name: ":authority", Value: "127.0.0.1:8080"},
		{Name: "user-agent", Value: "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"},
	})
	return call{name: "http/2 server", count: 500, spans: 1, do: client.calls}
}

// client is a request by a net/http client whose server lies in memory.
func client(with instruments) call {
	client := &http.Client{Transport: with.transport(answering(answered("application/json", `{"message":"hello, world"}`+"\n")))}
	return call{name: "http client", count: 1000, spans: 1, do: func(n int) {
		for ; n > 0; n-- {
			request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://127.0.0.1:8080/hello", nil)
			if err != nil {
				log.Fatal(err)
			}
			answer, err := client.Do(request)
			if err != nil {
				log.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, answer.Body); err != nil {
				log.Fatal(err)
			}
			answer.Body.Close()
		}
	}}
}

// answering is a transport to servers that give the same answer to each request.
func answering(answer string) *http.Transport {
	return &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return newServerSide(answer), nil
	}}
}

// answered is an HTTP server's answer.
func answered(contentType, body string) string {
	return "HTTP/1.1 200 OK\r\nContent-Type: " + contentType + "\r\nDate: Thu, 26 Nov 2026 12:00:00 GMT\r\n" +
		"Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
}

// posted is a request that has a body.
func posted(path, contentType, body string) string {
	return "POST " + path + " HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Type: " + contentType + "\r\n" +
		"Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
}

// serverSide is a connection whose server has an answer for each request, and the last one for all further ones. A request is
// one write, or a head and a body.
type serverSide struct {
	quiet
	answers  []string
	requests chan struct{}
	at       int // place in the answer
}

func newServerSide(answers ...string) *serverSide {
	return &serverSide{answers: answers, requests: make(chan struct{}, 1)}
}

func (s *serverSide) Read(into []byte) (int, error) {
	if s.at == 0 {
		<-s.requests
	}
	n := copy(into, s.answers[0][s.at:])
	if s.at += n; s.at < len(s.answers[0]) {
		return n, nil
	}
	if s.at = 0; len(s.answers) > 1 {
		s.answers = s.answers[1:]
	}
	return n, nil
}

func (s *serverSide) Write(request []byte) (int, error) {
	if isHead := bytes.HasPrefix(request, []byte("POST ")) && bytes.HasSuffix(request, []byte("\r\n\r\n")); !isHead {
		s.requests <- struct{}{}
	}
	return len(request), nil
}

// quiet is the rest of a connection.
type quiet struct{}

func (quiet) Close() error                     { return nil }
func (quiet) LocalAddr() net.Addr              { return address("127.0.0.1:8080") }
func (quiet) RemoteAddr() net.Addr             { return address("127.0.0.1:51234") }
func (quiet) SetDeadline(time.Time) error      { return nil }
func (quiet) SetReadDeadline(time.Time) error  { return nil }
func (quiet) SetWriteDeadline(time.Time) error { return nil }

type address string

func (a address) Network() string { return "tcp" }
func (a address) String() string  { return string(a) }

// dialled makes connections to a server in memory.
func dialled(serve func(net.Conn) error) (dial func() (net.Conn, error)) {
	listener := bufconn.Listen(1 << 16)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				log.Fatal(err)
			}
			go func() {
				if err := serve(conn); err != nil && err != io.EOF { // a client may well leave
					log.Fatal(err)
				}
			}()
		}
	}()
	return listener.Dial
}

// listener hands out the connections that are in it.
type listener chan net.Conn

func (l listener) Accept() (net.Conn, error) { return <-l, nil }
func (l listener) Close() error              { return nil }
func (l listener) Addr() net.Addr            { return address("127.0.0.1:8080") }
