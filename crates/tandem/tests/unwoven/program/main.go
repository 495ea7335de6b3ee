// A program that nobody has woven: a server that calls another one and a database, in the ways in which Go programs do.
// Each request to its front carries a number, which all that is done for it carries on, so that whoever reads the spans
// knows whose child each must be.
//
// It prints its addresses, a line each, makes requests for itself when it is told to (a line of standard input: how many, and
// how many at once, which paths in turn), answers that with "done", and ends when standard input does.
package main

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
)

// HTTP/2 without TLS, where this Go has it.
var (
	http2Server *http.Server
	http2Client *http.Client
)

func main() {
	sql.Register("stub", stub{})
	db, err := sql.Open("stub", "")
	if err != nil {
		panic(err)
	}
	back := listen(http.HandlerFunc(answer))
	pool := newPool(4)
	front := http.NewServeMux()
	client := &http.Client{}
	back2 := ""
	if http2Server != nil {
		http2Server.Handler = http.HandlerFunc(answer)
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		back2 = listener.Addr().String()
		go http2Server.Serve(listener)
	}
	get := func(ctx context.Context, path string) error {
		request, err := http.NewRequestWithContext(ctx, "GET", "http://"+back+path, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		io.Copy(io.Discard, response.Body)
		return response.Body.Close()
	}
	front.HandleFunc("/direct/", func(w http.ResponseWriter, r *http.Request) {
		n := r.URL.RawQuery
		get(context.Background(), "/direct?"+n) // no context: the goroutine tells
		if rows, err := db.QueryContext(r.Context(), "SELECT name FROM items WHERE id = "+n); err == nil {
			rows.Close()
		}
	})
	front.HandleFunc("/context/", func(w http.ResponseWriter, r *http.Request) {
		n := r.URL.RawQuery
		type key struct{}
		ctx, cancel := context.WithCancel(context.WithValue(r.Context(), key{}, n))
		defer cancel()
		pool.do(func() { get(ctx, "/context?"+n) }) // on a goroutine that serves everybody: the context tells
	})
	front.HandleFunc("/child/", func(w http.ResponseWriter, r *http.Request) {
		n := r.URL.RawQuery
		done := make(chan struct{})
		go func() { // nothing is passed on: the goroutine that started this one tells
			defer close(done)
			get(context.Background(), "/child?"+n)
		}()
		<-done
	})
	front.HandleFunc("/fail/", func(w http.ResponseWriter, r *http.Request) {
		n := r.URL.RawQuery
		db.ExecContext(r.Context(), "DELETE FROM items WHERE id = "+n)
		w.WriteHeader(http.StatusTeapot)
		w.Write([]byte("short and stout"))
	})
	// The status tells how the back has got what was sent to it: 230 without a traceparent, 231 with one.
	post := func(w http.ResponseWriter, path, traceparent string) {
		body := bytes.Repeat([]byte("0123456789abcdef"), 12_800)
		request, err := http.NewRequest("POST", "http://"+back+path, bytes.NewReader(body))
		if err != nil {
			panic(err)
		}
		if traceparent != "" {
			request.Header.Set("Traceparent", traceparent)
		}
		response, err := client.Do(request)
		if err != nil {
			panic(err)
		}
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body)
		var headers, sum uint32
		if fmt.Sscan(string(text), &headers, &sum); sum != crc32.ChecksumIEEE(body) {
			panic("the body has changed on its way")
		}
		w.WriteHeader(230 + int(headers))
	}
	front.HandleFunc("/post/", func(w http.ResponseWriter, r *http.Request) { post(w, "/post?"+r.URL.RawQuery, "") })
	front.HandleFunc("/own/", func(w http.ResponseWriter, r *http.Request) {
		n := r.URL.RawQuery
		post(w, "/own?"+n, fmt.Sprintf("00-%032s-%016s-01", "a"+n, "b"+n))
	})
	front.HandleFunc("/h2/", func(w http.ResponseWriter, r *http.Request) {
		response, err := http2Client.Get("http://" + back2 + "/h2?" + r.URL.RawQuery)
		if err != nil {
			panic(err)
		}
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
	})
	front.HandleFunc("/taken/", func(w http.ResponseWriter, r *http.Request) {
		connection, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		io.WriteString(connection, "mine")
		connection.Close()
	})
	front.HandleFunc("/panic/", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	address := listen(front)
	fmt.Println(address)
	fmt.Println(back)
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		var count, atOnce int
		var paths string
		fmt.Sscan(input.Text(), &count, &atOnce, &paths)
		load(address, count, atOnce, strings.Split(paths, ","))
		fmt.Println("done")
	}
}

// listen serves at a free port; its address.
func listen(handler http.Handler) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go http.Serve(listener, handler)
	return listener.Addr().String()
}

func answer(w http.ResponseWriter, r *http.Request) {
	if r.Method == "POST" {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(err)
		}
		fmt.Fprintln(w, len(r.Header["Traceparent"]), crc32.ChecksumIEEE(body))
		return
	}
	if r.URL.RawQuery == "0" {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	io.WriteString(w, "fine")
}

// load makes requests without net/http, which would make spans of them.
func load(address string, count, atOnce int, paths []string) {
	var wait sync.WaitGroup
	for worker := 0; worker < atOnce; worker++ {
		wait.Add(1)
		go func(worker int) {
			defer wait.Done()
			connection, err := net.Dial("tcp", address)
			if err != nil {
				panic(err)
			}
			defer connection.Close()
			reader := bufio.NewReader(connection)
			for n := worker; n < count; n += atOnce {
				parent := ""
				if n%8 == 0 {
					parent = fmt.Sprintf("Traceparent: 00-%032x-%016x-01\r\n", n+1, n+1)
				}
				extra := ""
				for i := 0; n%3 == 0 && i < 12; i++ { // more headers than one group of a map holds
					extra += fmt.Sprintf("X-Header-%d: %d\r\n", i, n)
				}
				fmt.Fprintf(connection, "GET /%s/?%d HTTP/1.1\r\nHost: front.example:80\r\n%s%s\r\n", paths[n%len(paths)], n, extra, parent)
				response, err := readResponse(reader)
				if err != nil {
					panic(err)
				}
				_ = response
			}
		}(worker)
	}
	wait.Wait()
}

// readResponse reads a response with a Content-Length.
func readResponse(reader *bufio.Reader) (string, error) {
	status, err := reader.ReadString('\n')
	length := 0
	for err == nil {
		var line string
		line, err = reader.ReadString('\n')
		if line == "\r\n" {
			_, err = io.CopyN(io.Discard, reader, int64(length))
			break
		}
		fmt.Sscanf(line, "Content-Length: %d", &length)
	}
	return status, err
}

// pool runs functions on goroutines that it started long ago.
type pool chan func()

func newPool(size int) pool {
	p := make(pool)
	for i := 0; i < size; i++ {
		go func() {
			for work := range p {
				work()
			}
		}()
	}
	return p
}

func (p pool) do(work func()) {
	done := make(chan struct{})
	p <- func() { defer close(done); work() }
	<-done
}

// stub is a database that knows nothing.
type stub struct{}

func (stub) Open(string) (driver.Conn, error) { return conn{}, nil }

type conn struct{}

func (conn) Prepare(string) (driver.Stmt, error) { return nil, errors.New("not prepared") }
func (conn) Close() error                        { return nil }
func (conn) Begin() (driver.Tx, error)           { return nil, errors.New("no transactions") }
func (conn) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	return rows{}, nil
}
func (conn) ExecContext(context.Context, string, []driver.NamedValue) (driver.Result, error) {
	return nil, errors.New("read only")
}

type rows struct{}

func (rows) Columns() []string         { return []string{"name"} }
func (rows) Close() error              { return nil }
func (rows) Next([]driver.Value) error { return io.EOF }
