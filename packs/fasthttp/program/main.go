// Program uses fasthttp against itself on loopback, in all the ways that Tandem's pack has to tell apart, and prints one line
// for each request it made.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttpadaptor"
)

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	server := &fasthttp.Server{Handler: routes(), Name: "test", StreamRequestBody: true}
	go server.Serve(listener)
	base := "http://" + listener.Addr().String()
	client := &fasthttp.Client{}

	ask(client, "GET", base+"/items/7?page=2&sig=secret", "")
	ask(client, "POST", base+"/echo", "hello")
	ask(client, "PROPFIND", base+"/items/8", "")
	ask(client, "GET", base+"/missing", "")
	ask(client, "GET", base+"/fails", "")
	ask(client, "GET", base+"/streams", "")
	ask(client, "GET", base+"/slow", "")
	ask(client, "GET", base+"/spawns", "")
	ask(client, "GET", base+"/adapted/9", "")
	ask(client, "GET", base+"/calls?url="+base+"/items/10", "")
	ask(client, "GET", base+"/passes?url="+base+"/items/11", "")
	redirected(client, base)
	traced(listener.Addr().String())
	hijacked(listener.Addr().String())
	pipelined(listener.Addr().String())
	resent()
	refused(client)
	check(server.Shutdown())
}

func routes() fasthttp.RequestHandler {
	inner := http.NewServeMux()
	inner.HandleFunc("/adapted/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "adapted") })
	adapted := fasthttpadaptor.NewFastHTTPHandler(inner)
	slow := fasthttp.TimeoutHandler(func(ctx *fasthttp.RequestCtx) { select {} }, 10*time.Millisecond, "too slow")
	return func(ctx *fasthttp.RequestCtx) {
		path := string(ctx.Path())
		switch {
		case strings.HasPrefix(path, "/items/"):
			fmt.Fprintf(ctx, "item %s", path)
		case path == "/echo":
			ctx.SetStatusCode(fasthttp.StatusCreated)
			body, err := io.ReadAll(ctx.RequestBodyStream())
			check(err)
			ctx.Write(body)
		case path == "/fails":
			ctx.Error("no", fasthttp.StatusServiceUnavailable)
		case path == "/moved":
			ctx.Redirect("/items/moved", fasthttp.StatusFound)
		case path == "/streams":
			ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
				for number := 1; number <= 3; number++ {
					fmt.Fprintf(w, "data: %d ", number)
					w.Flush()
				}
			})
		case path == "/slow":
			slow(ctx)
		case path == "/spawns":
			answers := make(chan string)
			go func(ctx context.Context) { answers <- get(ctx, "http://127.0.0.1:1/refused") }(ctx)
			fmt.Fprint(ctx, <-answers)
		case path == "/adapted/9":
			adapted(ctx)
		case path == "/calls":
			fmt.Fprint(ctx, get(ctx, string(ctx.QueryArgs().Peek("url"))))
		case path == "/passes":
			passes(ctx)
		case path == "/hijack":
			ctx.HijackSetNoResponse(true)
			ctx.Hijack(func(conn net.Conn) {
				io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhijacked")
			})
		default:
			ctx.NotFound()
		}
	}
}

// get asks with net/http, with the request's context.
func get(ctx context.Context, address string) string {
	request, err := http.NewRequestWithContext(ctx, "GET", address, nil)
	check(err)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "failed"
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	check(err)
	return string(body)
}

var behind = &fasthttp.Client{}

// passes hands a request on, with the headers that it came with.
func passes(ctx *fasthttp.RequestCtx) {
	request := fasthttp.AcquireRequest()
	defer fasthttp.ReleaseRequest(request)
	ctx.Request.Header.CopyTo(&request.Header)
	request.SetRequestURI(string(ctx.QueryArgs().Peek("url")))
	before := string(request.Header.Peek("traceparent"))
	check(behind.Do(request, &ctx.Response))
	if after := string(request.Header.Peek("traceparent")); after != before {
		fmt.Println("the request's own headers were changed:", after)
	}
}

func ask(client *fasthttp.Client, method, address, body string) {
	request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(request)
	defer fasthttp.ReleaseResponse(response)
	request.Header.SetMethod(method)
	request.SetRequestURI(address)
	if body != "" {
		request.SetBodyString(body)
	}
	err := client.Do(request, response)
	if trace := request.Header.Peek("traceparent"); len(trace) != 0 {
		fmt.Println("the request's own headers were changed:", string(trace))
	}
	if err != nil {
		fmt.Println(method, string(request.URI().Path()), "failed")
		return
	}
	fmt.Println(method, string(request.URI().Path()), response.StatusCode(), string(response.Body()))
}

func redirected(client *fasthttp.Client, base string) {
	request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	request.SetRequestURI(base + "/moved")
	check(client.DoRedirects(request, response, 3))
	fmt.Println("redirected", response.StatusCode(), string(response.Body()))
}

// traced sends the headers of a trace that began elsewhere, without the client's help.
func traced(address string) {
	fmt.Println("traced", strings.SplitN(talk(address, "GET /items/traced HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: test\r\n"+
		"traceparent: 00-0102030405060708090a0b0c0d0e0f10-1112131415161718-01\r\ntracestate: a=1\r\ntracestate: b=2\r\nConnection: close\r\n\r\n"), "\r\n", 2)[0])
}

func hijacked(address string) {
	fmt.Println("hijack", strings.HasSuffix(talk(address, "GET /hijack HTTP/1.1\r\nHost: h\r\n\r\n"), "hijacked"))
}

func talk(address, request string) string {
	conn, err := net.Dial("tcp", address)
	check(err)
	defer conn.Close()
	fmt.Fprint(conn, request)
	answer, err := io.ReadAll(conn)
	check(err)
	return string(answer)
}

func pipelined(address string) {
	client := &fasthttp.PipelineClient{Addr: address, MaxIdleConnDuration: 100 * time.Millisecond}
	for number := 1; number <= 2; number++ {
		request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
		request.SetRequestURI(fmt.Sprintf("http://%s/items/p%d", address, number))
		var err error
		if number == 1 {
			err = client.Do(request, response)
		} else {
			err = client.DoTimeout(request, response, time.Minute)
		}
		check(err)
		fmt.Println("pipelined", response.StatusCode(), string(response.Body()))
	}
}

// resent makes a request whose connection breaks before an answer: it is sent again over another one.
func resent() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	defer listener.Close()
	go func() {
		for answers := 0; answers <= 1; answers++ {
			conn, err := listener.Accept()
			check(err)
			_, err = http.ReadRequest(bufio.NewReader(conn))
			check(err)
			if answers == 1 {
				io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			}
			conn.Close()
		}
	}()
	ask(&fasthttp.Client{}, "GET", "http://"+listener.Addr().String()+"/resent", "")
}

func refused(client *fasthttp.Client) {
	ask(client, "GET", "http://127.0.0.1:1/refused", "")
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	defer silent.Close()
	request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	request.SetRequestURI("http://" + silent.Addr().String() + "/silent")
	err = client.DoTimeout(request, response, 50*time.Millisecond)
	fmt.Println("timed out", err == fasthttp.ErrTimeout)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
