// Package nothing is a database with nothing in it, for programs in which what is around the database is measured.
package nothing

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
)

// Database is a database that does as little as a database can, so that database/sql is all that is measured: it is
// connector, driver, connection and result in one.
type Database struct{}

var errUnused = errors.New("the bench's driver has no such thing")

func (d Database) Connect(context.Context) (driver.Conn, error) { return d, nil }
func (d Database) Driver() driver.Driver                        { return d }
func (d Database) Open(string) (driver.Conn, error)             { return d, nil }
func (Database) Prepare(string) (driver.Stmt, error)            { return nil, errUnused }
func (Database) Begin() (driver.Tx, error)                      { return nil, errUnused }
func (Database) Close() error                                   { return nil }
func (Database) LastInsertId() (int64, error)                   { return 0, nil }
func (Database) RowsAffected() (int64, error)                   { return 1, nil }

func (d Database) ExecContext(context.Context, string, []driver.NamedValue) (driver.Result, error) {
	return d, nil
}

func (Database) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
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
