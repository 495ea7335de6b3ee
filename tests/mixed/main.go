// Mixed is a service that may be observed in every way that Tandem knows: plain, woven, with an OpenTelemetry SDK of its own, and
// in several of them at once. Whatever it is, each request to it is one operation, and so is what it asks others for.
//
//	mixed sdk|plain
//
// It prints its address and serves until standard input ends. GET /call?n=N&at=ADDRESS calls another one's GET /answer?n=N, which asks a
// database. With sdk, HTTP and database/sql are instrumented by hand and spans go where OTEL_EXPORTER_OTLP_ENDPOINT says.
package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"

	"github.com/XSAM/otelsql"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
)

func main() {
	if err := run(len(os.Args) > 1 && os.Args[1] == "sdk"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(instrumented bool) error {
	sql.Register("stub", stub{})
	open := func() (*sql.DB, error) { return sql.Open("stub", "") }
	client, wrap := &http.Client{}, func(handler http.Handler) http.Handler { return handler }
	if instrumented {
		ctx := context.Background()
		exporter, err := otlptracehttp.New(ctx)
		if err != nil {
			return err
		}
		provider := trace.NewTracerProvider(trace.WithBatcher(exporter))
		defer provider.Shutdown(ctx)
		otel.SetTracerProvider(provider)
		otel.SetTextMapPropagator(propagation.TraceContext{})
		client.Transport = otelhttp.NewTransport(http.DefaultTransport)
		wrap = func(handler http.Handler) http.Handler { return otelhttp.NewHandler(handler, "served") }
		open = func() (*sql.DB, error) {
			options := otelsql.SpanOptions{OmitConnResetSession: true, OmitConnectorConnect: true, OmitRows: true, OmitConnPrepare: true}
			return otelsql.Open("stub", "", otelsql.WithSpanOptions(options), otelsql.WithAttributes(semconv.DBSystemNameOtherSQL))
		}
	}
	db, err := open()
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /call", func(w http.ResponseWriter, r *http.Request) {
		url := "http://" + r.FormValue("at") + "/answer?n=" + r.FormValue("n")
		request, err := http.NewRequestWithContext(r.Context(), "GET", url, nil)
		if err == nil {
			err = fetch(client, request)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
		}
	})
	mux.HandleFunc("GET /answer", func(w http.ResponseWriter, r *http.Request) {
		rows, err := db.QueryContext(r.Context(), "SELECT name FROM items")
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		rows.Close()
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: wrap(mux)}
	go server.Serve(listener)
	fmt.Println(listener.Addr())
	io.Copy(io.Discard, os.Stdin)
	return server.Shutdown(context.Background())
}

func fetch(client *http.Client, request *http.Request) error {
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	_, err = io.Copy(io.Discard, response.Body)
	return err
}

// stub is a database without rows.
type stub struct{}

func (stub) Open(string) (driver.Conn, error)    { return stub{}, nil }
func (stub) Prepare(string) (driver.Stmt, error) { return nil, errors.New("not here") }
func (stub) Close() error                        { return nil }
func (stub) Begin() (driver.Tx, error)           { return nil, errors.New("not here") }
func (stub) Columns() []string                   { return []string{"name"} }
func (stub) Next([]driver.Value) error           { return io.EOF }
func (stub) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	return stub{}, nil
}
