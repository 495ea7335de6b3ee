// Noise makes many short spans that are alike, for tests of what becomes of them: thousands of a function's and of a database's in one
// request, some that fail and some with something below them, and a few that are nobody's. Its database's driver is its own and takes no
// time.
//
// It says how many calls of each kind it has made, and ends when its standard input does.
package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"os"
)

const (
	prices, queries     = 5000, 2000
	failures, baskets   = 150, 150
	alone               = 150
	pricesOfEachBasket  = 1
	pricesOfAllTogether = prices + baskets*pricesOfEachBasket + alone
)

type connection struct{}

func (connection) Open(string) (driver.Conn, error)    { return connection{}, nil }
func (connection) Prepare(string) (driver.Stmt, error) { return nil, driver.ErrSkip }
func (connection) Begin() (driver.Tx, error)           { return nil, driver.ErrSkip }
func (connection) Close() error                        { return nil }

func (connection) ExecContext(context.Context, string, []driver.NamedValue) (driver.Result, error) {
	return driver.RowsAffected(1), nil
}

func main() {
	sql.Register("trial", connection{})
	db, err := sql.Open("trial", "")
	if err != nil {
		panic(err)
	}
	sum := report(context.Background(), db)
	for i := 0; i < alone; i++ {
		sum += price(i)
	}
	if sum == 0 {
		panic("nothing was done")
	}
	fmt.Println("prices", pricesOfAllTogether, "queries", queries, "failures", failures)
	io.Copy(io.Discard, os.Stdin)
}

//tandem:span report
func report(ctx context.Context, db *sql.DB) int {
	sum := 0
	for i := 0; i < prices; i++ {
		sum += price(i)
	}
	for i := 0; i < queries; i++ {
		if _, err := db.ExecContext(ctx, "UPDATE stock SET amount = 1"); err != nil {
			panic(err)
		}
	}
	for i := 0; i < failures; i++ {
		if refuse(i) == nil {
			panic("it did not fail")
		}
	}
	for i := 0; i < baskets; i++ {
		sum += basket(i)
	}
	return sum
}

//tandem:span price
func price(of int) int { return of + 1 }

//tandem:span basket
func basket(of int) int { return price(of) }

//tandem:span refuse
func refuse(of int) error { return errors.New("refused on purpose") }
