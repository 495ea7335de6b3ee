// A program that instruments its libraries by hand, as many did before: net/http, grpc and database/sql. One span an operation,
// not two, with no SDK and, when SDK is set, with one, whose exporter prints what it saw.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/XSAM/otelsql"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	_ "modernc.org/sqlite"
)

// exporter prints a line for each span: ids, parent, kind and name.
type exporter struct{}

func (exporter) ExportSpans(_ context.Context, spans []sdk.ReadOnlySpan) error {
	for _, span := range spans {
		fmt.Println(span.SpanContext().TraceID(), span.SpanContext().SpanID(), span.Parent().SpanID(), span.SpanKind(), span.Name())
	}
	return nil
}

func (exporter) Shutdown(context.Context) error { return nil }

func main() {
	if os.Getenv("SDK") != "" {
		provider := sdk.NewTracerProvider(sdk.WithSyncer(exporter{}))
		otel.SetTracerProvider(provider)
		otel.SetTextMapPropagator(propagation.TraceContext{})
		defer provider.Shutdown(context.Background())
	}
	tracer := otel.Tracer("program")

	database, err := otelsql.Open("sqlite", "file:memory?mode=memory&cache=shared")
	check(err)
	defer database.Close()
	_, err = database.Exec("CREATE TABLE items (name TEXT)")
	check(err)

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	calls := grpc.NewServer(grpc.StatsHandler(otelgrpc.NewServerHandler()))
	grpc_health_v1.RegisterHealthServer(calls, health.NewServer())
	go calls.Serve(listener)
	defer calls.GracefulStop() // a call ends a moment after its answer
	connection, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithStatsHandler(otelgrpc.NewClientHandler()))
	check(err)
	defer connection.Close()

	mux := http.NewServeMux()
	mux.HandleFunc("/leaf", func(http.ResponseWriter, *http.Request) {})
	client := http.Client{Transport: otelhttp.NewTransport(http.DefaultTransport)}
	var server *httptest.Server
	mux.HandleFunc("/work/{id}", func(w http.ResponseWriter, r *http.Request) {
		ctx, span := tracer.Start(r.Context(), "work")
		defer span.End()
		_, err := database.ExecContext(ctx, "INSERT INTO items VALUES (?)", r.PathValue("id"))
		check(err)
		check(names(ctx, database))
		_, err = grpc_health_v1.NewHealthClient(connection).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
		check(err)
		request, _ := http.NewRequestWithContext(ctx, "GET", server.URL+"/leaf", nil)
		response, err := client.Do(request)
		check(err)
		check(response.Body.Close())
	})
	server = httptest.NewServer(otelhttp.NewHandler(mux, "operation"))
	defer server.Close()
	response, err := client.Get(server.URL + "/work/7")
	check(err)
	check(response.Body.Close())
}

func names(ctx context.Context, database *sql.DB) error {
	rows, err := database.QueryContext(ctx, "SELECT name FROM items")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return err
		}
	}
	return rows.Err()
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
