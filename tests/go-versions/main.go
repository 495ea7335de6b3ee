// Order is what every Go version builds woven: one request to itself, which asks a database and writes a log record.
package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
)

var db *sql.DB

func main() {
	sql.Register("tiny", tiny{})
	var err error
	db, err = sql.Open("tiny", "")
	check(err)
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stdout, nil)))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	server := &http.Server{Handler: http.HandlerFunc(order)}
	go server.Serve(listener)
	response, err := http.Get("http://" + listener.Addr().String() + "/order")
	check(err)
	text, err := io.ReadAll(response.Body)
	check(err)
	check(server.Shutdown(context.Background())) // a request ends a moment after its answer
	fmt.Printf("%s", text)
}

func order(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintln(w, "ordered for", price(r.Context(), 3))
}

//tandem:span price number=number
func price(ctx context.Context, number int) int {
	result, err := db.ExecContext(ctx, "UPDATE stock SET left = left - 1")
	check(err)
	rows, err := result.RowsAffected()
	check(err)
	slog.InfoContext(ctx, "taken", "rows", rows)
	return number * int(rows)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// tiny is a driver that does what it is asked at once.
type tiny struct{}

func (tiny) Open(string) (driver.Conn, error)           { return tiny{}, nil }
func (tiny) Prepare(string) (driver.Stmt, error)        { return tiny{}, nil }
func (tiny) Begin() (driver.Tx, error)                  { return nil, driver.ErrSkip }
func (tiny) Close() error                               { return nil }
func (tiny) NumInput() int                              { return 0 }
func (tiny) Exec([]driver.Value) (driver.Result, error) { return driver.RowsAffected(1), nil }
func (tiny) Query([]driver.Value) (driver.Rows, error)  { return nil, driver.ErrSkip }
