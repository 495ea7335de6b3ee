// Program uses net/http against itself on loopback, in all the ways that Tandem's pack has to tell apart, and prints one
// line for each request it made.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"runtime"
	"strings"
	"time"
)

func main() {
	log.SetOutput(io.Discard) // panics are part of the show
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	server := &http.Server{Handler: routes()}
	go server.Serve(listener)
	base := "http://" + listener.Addr().String()

	show("GET", base+"/items/7?page=2&sig=secret", nil)
	show("GET", strings.Replace(base, "http://", "http://user:password@", 1)+"/items/8", nil)
	show("POST", base+"/echo", strings.NewReader("hello"))
	show("PROPFIND", base+"/items/9", nil)
	show("GET", base+"/missing", nil)
	show("GET", base+"/fails", nil)
	show("GET", base+"/panics", nil)
	show("GET", base+"/exits", nil)
	show("GET", base+"/aborts", nil)
	show("GET", base+"/moved", nil)
	show("GET", base+"/spawns", nil)
	show("GET", base+"/outer/inner/1", nil)
	show("GET", base+"/calls?url="+url.QueryEscape(base+"/items/10"), nil)
	show("GET", base+"/slow", nil)
	traced(base)
	hijacked(listener.Addr().String())
	show("GET", "http://127.0.0.1:1/refused", nil)
	kept(base)
	proxied(base)
	streamed(base)
	upgraded(base)
	late(base)
	resent()
	named(listener.Addr().String())
	secured(server.Handler)
	http2(server.Handler)

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	check(server.Shutdown(ctx))
}

func routes() http.Handler {
	inner := http.NewServeMux()
	inner.HandleFunc("/inner/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "inner") })

	mux := http.NewServeMux()
	mux.HandleFunc("/items/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "item %s", r.URL.Path) })
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusCreated)
		io.Copy(w, r.Body)
	})
	mux.HandleFunc("/fails", func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", http.StatusServiceUnavailable) })
	mux.HandleFunc("/panics", func(w http.ResponseWriter, r *http.Request) { panic(errors.New("on purpose")) })
	mux.HandleFunc("/exits", func(w http.ResponseWriter, r *http.Request) { runtime.Goexit() })
	mux.HandleFunc("/aborts", func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) })
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/items/moved", http.StatusFound) })
	mux.HandleFunc("/spawns", spawns)
	mux.HandleFunc("/calls", calls)
	mux.HandleFunc("/later", leavesWork)
	mux.Handle("/outer/", http.StripPrefix("/outer", inner))
	mux.Handle("/slow", http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {}
	}), 10*time.Millisecond, "too slow"))
	mux.HandleFunc("/moved/post", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/echo", http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/events", streams)
	mux.HandleFunc("/upgrade", upgrades)
	mux.HandleFunc("/waits", func(w http.ResponseWriter, r *http.Request) {
		waiting <- true
		<-r.Context().Done()
	})
	mux.HandleFunc("/hijack", func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		check(err)
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhijacked")
		conn.Close()
	})
	return mux
}

// A worker that was there before any request does what handlers leave behind.
var jobs = make(chan job)

type job struct {
	ctx     context.Context
	address string
	done    chan string
}

func work() {
	for job := range jobs {
		<-job.ctx.Done() // the request has ended
		job.done <- get(context.WithoutCancel(job.ctx), job.address)
	}
}

// kept makes a request whose context is used after its end, while the connection serves the next one.
func kept(base string) {
	go work()
	show("GET", base+"/later?url="+url.QueryEscape(base+"/items/11"), nil)
	show("GET", base+"/items/12", nil)
	fmt.Println("later", <-later)
}

var later = make(chan string, 1)

func leavesWork(w http.ResponseWriter, r *http.Request) {
	goroutines := runtime.NumGoroutine()
	derived, cancel := context.WithCancel(r.Context())
	defer cancel()
	if started := runtime.NumGoroutine() - goroutines; started > 0 {
		fmt.Println("a derived context has started a goroutine")
	}
	clone := r.WithContext(context.WithValue(derived, jobs, 1))
	if clone.Context().Value(http.ServerContextKey) == nil || clone.Context().Value(jobs) != 1 {
		fmt.Println("a context has lost its values")
	}
	jobs <- job{r.Context(), r.URL.Query().Get("url"), later}
	fmt.Fprint(w, "left")
}

// proxied passes a request on, with the headers that it came with.
func proxied(base string) {
	target, err := url.Parse(base)
	check(err)
	proxy := httptest.NewServer(httputil.NewSingleHostReverseProxy(target))
	defer proxy.Close()
	show("GET", proxy.URL+"/items/13", nil)
}

// streams answers in pieces, each of which is sent at once.
func streams(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	for number := 1; number <= 3; number++ {
		fmt.Fprintf(w, "data: %d\n\n", number)
		w.(http.Flusher).Flush()
	}
}

// streamed reads such an answer, and sends a body in pieces, also where it must be sent twice.
func streamed(base string) {
	show("GET", base+"/events", nil)
	pieces, writer := io.Pipe()
	go func() {
		io.WriteString(writer, "one, ")
		io.WriteString(writer, "two")
		writer.Close()
	}()
	show("POST", base+"/echo", pieces)
	show("POST", base+"/moved/post", strings.NewReader("hello again"))
}

// upgrades leaves HTTP for a protocol that sends lines back.
func upgrades(w http.ResponseWriter, r *http.Request) {
	conn, buffered, err := w.(http.Hijacker).Hijack()
	check(err)
	defer conn.Close()
	io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\n")
	line, err := buffered.ReadString('\n')
	check(err)
	io.WriteString(conn, line)
}

// upgraded talks that protocol, directly and through a reverse proxy.
func upgraded(base string) {
	target, err := url.Parse(base)
	check(err)
	proxy := httptest.NewServer(httputil.NewSingleHostReverseProxy(target))
	defer proxy.Close()
	for _, address := range []string{base, proxy.URL} {
		request, err := http.NewRequest("GET", address+"/upgrade", nil)
		check(err)
		request.Header.Set("Connection", "Upgrade")
		request.Header.Set("Upgrade", "lines")
		response, err := client.Transport.RoundTrip(request)
		check(err)
		stream := response.Body.(io.ReadWriteCloser)
		io.WriteString(stream, "over and out\n")
		line, err := bufio.NewReader(stream).ReadString('\n')
		check(err)
		fmt.Println("upgraded", response.StatusCode, strings.TrimSpace(line))
		stream.Close()
	}
}

var waiting = make(chan bool, 2)

// late makes requests that are given up: by the client's clock, by the caller's context, and before they are sent.
func late(base string) {
	impatient := &http.Client{Timeout: time.Second, Transport: client.Transport}
	_, err := impatient.Get(base + "/waits")
	fmt.Println("client's timeout", err != nil)

	ctx, cancel := context.WithCancel(context.Background())
	request, err := http.NewRequestWithContext(ctx, "GET", base+"/waits", nil)
	check(err)
	go func() {
		<-waiting
		<-waiting
		cancel()
	}()
	_, err = client.Do(request)
	fmt.Println("cancelled", errors.Is(err, context.Canceled))
	_, err = client.Do(request)
	fmt.Println("cancelled before", errors.Is(err, context.Canceled))
}

// resent makes a request whose connection breaks before an answer: it is sent again over another one.
func resent() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	defer listener.Close()
	go func() {
		for answers := 1; answers <= 2; answers++ {
			conn, err := listener.Accept()
			check(err)
			reader := bufio.NewReader(conn)
			_, err = http.ReadRequest(reader)
			check(err)
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			if answers == 1 {
				http.ReadRequest(reader)
			}
			conn.Close()
		}
	}()
	show("GET", "http://"+listener.Addr().String()+"/first", nil)
	show("GET", "http://"+listener.Addr().String()+"/resent", nil)
}

// named looks up a name for its connection.
func named(address string) {
	_, port, err := net.SplitHostPort(address)
	check(err)
	dialer := new(net.Dialer)
	named := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp4", address)
		},
	}}
	response, err := named.Get("http://localhost:" + port + "/items/16")
	check(err)
	response.Body.Close()
	fmt.Println("named", response.StatusCode)
}

// secured goes to a server with TLS, HTTP/1, directly and through a proxy, which sees only where to; and through the same
// proxy without TLS.
func secured(handler http.Handler) {
	server := httptest.NewTLSServer(handler)
	defer server.Close()
	plain := httptest.NewServer(handler)
	defer plain.Close()
	proxy := httptest.NewServer(http.HandlerFunc(forwards))
	defer proxy.Close()
	through, err := url.Parse(proxy.URL)
	check(err)
	show("GET", proxy.URL+"/itself", nil)

	secure := server.Client()
	transport := secure.Transport.(*http.Transport)
	transport.DisableKeepAlives = true
	proxied := transport.Clone()
	proxied.Proxy = http.ProxyURL(through)
	before := http.DefaultClient
	http.DefaultClient = secure
	show("GET", server.URL+"/items/17", nil)
	http.DefaultClient = &http.Client{Transport: proxied}
	show("GET", server.URL+"/items/18", nil)
	show("GET", plain.URL+"/items/19", nil)
	http.DefaultClient = &http.Client{Transport: &http.Transport{}}
	show("GET", server.URL+"/items/20", nil) // whose certificate is not trusted
	http.DefaultClient = before
}

// forwards is a forward proxy.
func forwards(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == "CONNECT":
		there, err := net.Dial("tcp", r.Host)
		check(err)
		defer there.Close()
		here, _, err := w.(http.Hijacker).Hijack()
		check(err)
		defer here.Close()
		io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
		go io.Copy(there, here)
		io.Copy(here, there)
	case r.URL.IsAbs():
		(&httputil.ReverseProxy{Director: func(*http.Request) {}, Transport: client.Transport}).ServeHTTP(w, r)
	}
}

// http2 serves the same routes once more.
func http2(handler http.Handler) {
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	http.DefaultClient = server.Client()
	client = http.DefaultClient
	for _, path := range []string{"/items/14?page=3", "/missing", "/panics", "/exits", "/calls?url=" + url.QueryEscape(server.URL+"/items/15"), "/slow"} {
		show("GET", server.URL+path, nil)
	}
	show("POST", server.URL+"/echo", strings.NewReader("hello"))
}

// spawns answers from a goroutine of its own.
func spawns(w http.ResponseWriter, r *http.Request) {
	done := make(chan string)
	go func() { done <- "from a goroutine" }()
	fmt.Fprint(w, <-done)
}

// client is used by handlers. It opens a connection for each request: which one would find one that is free is chance.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// calls makes two calls, one in a goroutine of its own.
func calls(w http.ResponseWriter, r *http.Request) {
	first := make(chan string)
	go func() { first <- get(r.Context(), r.URL.Query().Get("url")) }()
	second := get(r.Context(), r.URL.Query().Get("url"))
	fmt.Fprintf(w, "%s, %s", <-first, second)
}

func get(ctx context.Context, address string) string {
	request, err := http.NewRequestWithContext(ctx, "GET", address, nil)
	check(err)
	response, err := client.Do(request)
	check(err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	check(err)
	return string(body)
}

func show(method, address string, body io.Reader) {
	request, err := http.NewRequest(method, address, body)
	check(err)
	before := request.Header.Clone()
	response, err := http.DefaultClient.Do(request)
	path := request.URL.Path
	if err != nil {
		fmt.Println(method, path, "failed")
		return
	}
	text, _ := io.ReadAll(response.Body)
	response.Body.Close()
	if len(before) != len(request.Header) {
		fmt.Println("the request's own headers were changed:", request.Header)
	}
	fmt.Println(method, path, response.StatusCode, string(bytes.TrimSpace(text)))
}

// traced sends the headers of a trace that began elsewhere, without the client's help.
func traced(base string) {
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	check(err)
	defer conn.Close()
	fmt.Fprint(conn, "GET /items/traced HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: test\r\n"+
		"traceparent: 00-0102030405060708090a0b0c0d0e0f10-1112131415161718-01\r\ntracestate: a=1\r\ntracestate: b=2\r\nConnection: close\r\n\r\n")
	answer, err := io.ReadAll(conn)
	check(err)
	fmt.Println("traced", strings.SplitN(string(answer), "\r\n", 2)[0])
}

func hijacked(address string) {
	conn, err := net.Dial("tcp", address)
	check(err)
	defer conn.Close()
	fmt.Fprint(conn, "GET /hijack HTTP/1.1\r\nHost: h\r\n\r\n")
	answer, err := io.ReadAll(conn)
	check(err)
	fmt.Println("hijack", strings.HasSuffix(string(answer), "hijacked"))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
