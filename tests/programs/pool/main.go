// Pool has a database whose driver is its own and takes no time, and asks for more connections than there may be: one is in
// use, one request waits for it, and the time of two others has ended. What its input says next it does: "free" ends the
// wait, "unlimited" the limit, "close" the database.
package main

import (
	"bufio"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"time"
)

type connection struct{}

func (connection) Open(string) (driver.Conn, error)    { return connection{}, nil }
func (connection) Prepare(string) (driver.Stmt, error) { return nil, driver.ErrSkip }
func (connection) Begin() (driver.Tx, error)           { return nil, driver.ErrSkip }
func (connection) Close() error                        { return nil }

func main() {
	sql.Register("trial", connection{})
	db, err := sql.Open("trial", "")
	check(err)
	db.SetMaxOpenConns(1)
	db.SetMaxIdleConns(1)
	ctx := context.Background()
	used, err := db.Conn(ctx)
	check(err)
	for range [2]int{} {
		late, cancel := context.WithDeadline(ctx, time.Now().Add(time.Millisecond))
		if _, err := db.Conn(late); !errors.Is(err, context.DeadlineExceeded) {
			check(errors.New("there was a second connection"))
		}
		cancel()
	}
	// Who gives up by himself has not run out of time.
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := db.Conn(canceled); !errors.Is(err, context.Canceled) {
		check(errors.New("there was a second connection"))
	}
	waited := make(chan *sql.Conn)
	go func() {
		conn, err := db.Conn(ctx)
		check(err)
		waited <- conn
	}()
	for db.Stats().WaitCount < 3 {
		time.Sleep(time.Millisecond)
	}
	fmt.Println("waiting")

	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		switch input.Text() {
		case "free":
			check(used.Close())
			check((<-waited).Close())
		case "unlimited":
			db.SetMaxOpenConns(0)
		case "close":
			check(db.Close())
		}
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
