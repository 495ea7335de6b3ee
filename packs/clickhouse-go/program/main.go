// Uses clickhouse-go in all ways that the pack tells apart, on the server at CLICKHOUSE_ADDR. Each operation prints a line.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func did(operation string, err error) {
	text := "done"
	if err != nil {
		text = "failed"
	}
	fmt.Printf("%-28s %s\n", operation, text)
}

func main() {
	address := os.Getenv("CLICKHOUSE_ADDR")
	if address == "" {
		log.Fatal("CLICKHOUSE_ADDR is not set")
	}
	ctx := context.Background()
	conn := open(address)
	did("CREATE", conn.Exec(ctx, "CREATE TABLE products (id UInt32, name String) ENGINE = Memory"))
	did("batch", batch(ctx, conn))
	queries(ctx, conn)
	failures(ctx, conn)
	request(conn)
	must(conn.Close())
	overSQL(ctx, "clickhouse://"+address)
	overHTTP(ctx)
}

func open(address string) driver.Conn {
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr: []string{address}, Auth: clickhouse.Auth{Database: "default", Username: "default"},
	})
	must(err)
	return conn
}

func batch(ctx context.Context, conn driver.Conn) error {
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO products (id, name)")
	must(err)
	must(batch.Append(uint32(1), "secret"))
	must(batch.Append(uint32(2), "secret"))
	return batch.Send()
}

func queries(ctx context.Context, conn driver.Conn) {
	rows, err := conn.Query(ctx, "SELECT id, name FROM products WHERE name = ? ORDER BY id", "secret")
	must(err)
	for rows.Next() {
		var id uint32
		var name string
		must(rows.Scan(&id, &name))
	}
	did("Query", rows.Err())
	must(rows.Close())
	var count uint64
	did("QueryRow", conn.QueryRow(ctx, "SELECT count() FROM products WHERE name <> 'secret'").Scan(&count))
	var all []struct {
		Name string `ch:"name"`
	}
	did("Select", conn.Select(ctx, &all, "SELECT name FROM products"))
	did("Ping, no span", conn.Ping(ctx))
}

func failures(ctx context.Context, conn driver.Conn) {
	did("no such table", conn.Exec(ctx, "SELECT secret FROM nowhere WHERE a = 'secret'"))
	_, err := conn.Query(ctx, "SELECT secret FROM nowhere")
	did("no such table, Query", err)
	did("no such table, QueryRow", conn.QueryRow(ctx, "SELECT secret FROM nowhere").Err())
	_, err = conn.PrepareBatch(ctx, "INSERT INTO nowhere (a)")
	did("no such table, batch", err)
	gone, cancel := context.WithCancel(ctx)
	cancel()
	did("cancelled", conn.Exec(gone, "SELECT 1"))
	nobody := open("127.0.0.1:1")
	did("nobody there", nobody.Exec(ctx, "SELECT 1"))
	must(nobody.Close())
}

// request serves a request with a client of its own, whose goroutines are none of the request's.
func request(conn driver.Conn) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		own := open(os.Getenv("CLICKHOUSE_ADDR"))
		must(own.Exec(r.Context(), "SELECT 1"))
		must(own.Close())
	})}
	go server.Serve(listener)
	response, err := http.Get("http://" + listener.Addr().String() + "/")
	must(err)
	io.Copy(io.Discard, response.Body)
	response.Body.Close()
	must(server.Shutdown(context.Background()))
}

// overSQL uses the driver for database/sql, which has the spans of that.
func overSQL(ctx context.Context, server string) {
	db, err := sql.Open("clickhouse", server+"/default")
	must(err)
	var count uint64
	did("database/sql", db.QueryRowContext(ctx, "SELECT count() FROM products").Scan(&count))
	must(db.Close())
}
