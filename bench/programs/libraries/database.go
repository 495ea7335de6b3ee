package main

import (
	"context"

	"database/sql/driver"
	"errors"
	"io"
	"log"
)

// query is one that finds a row.
func query(with instruments) call {
	database := with.database(nothing{})
	return call{name: "sql query", count: 1000, spans: 1, do: func(n int) {
		for ; n > 0; n-- {
			var name string
			if err := database.QueryRowContext(context.Background(), "SELECT name FROM items WHERE id = ?", n).Scan(&name); err != nil {
				log.Fatal(err)
			}
		}
	}}
}

// execute is a statement that finds nothing.
func execute(with instruments) call {
	database := with.database(nothing{})
	return call{name: "sql exec", count: 1000, spans: 1, do: func(n int) {
		for ; n > 0; n-- {
			if _, err := database.ExecContext(context.Background(), "UPDATE items SET seen = ? WHERE id = ?", true, n); err != nil {
				log.Fatal(err)
			}
		}
	}}
}

// nothing is a database that does as little as a database can, so that database/sql is all that is measured: it is
// connector, driver, connection and result in one.
type nothing struct{}

var errUnused = errors.New("the bench's driver has no such thing")

func (n nothing) Connect(context.Context) (driver.Conn, error) { return n, nil }
func (n nothing) Driver() driver.Driver                        { return n }
func (n nothing) Open(string) (driver.Conn, error)             { return n, nil }
func (nothing) Prepare(string) (driver.Stmt, error)            { return nil, errUnused }
func (nothing) Begin() (driver.Tx, error)                      { return nil, errUnused }
func (nothing) Close() error                                   { return nil }
func (nothing) LastInsertId() (int64, error)                   { return 0, nil }
func (nothing) RowsAffected() (int64, error)                   { return 1, nil }

func (n nothing) ExecContext(context.Context, string, []driver.NamedValue) (driver.Result, error) {
	return n, nil
}

func (nothing) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	return &oneRow{}, nil
}

// oneRow is the answer to every query.
type oneRow struct{ read bool }

var columns = []string{"name"}

func (*oneRow) Columns() []string { return columns }
func (*oneRow) Close() error      { return nil }

func (r *oneRow) Next(into []driver.Value) error {
	if r.read {
		return io.EOF
	}
	r.read = true
	into[0] = "a name"
	return nil
}
