// Program uses net/http against itself on loopback, in all the ways that Tandem's pack has to tell apart, and prints one
// line for each request it made.
package main

import (
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

// http2 serves the same routes once more.
func http2(handler http.Handler) {
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	http.DefaultClient = server.Client()
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
	response, err := http.DefaultClient.Do(request)
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
