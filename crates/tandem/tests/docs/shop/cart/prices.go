package cart

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
)

// prices is a database with one answer, so that the shop needs none.
type prices struct{}

func (p prices) Connect(context.Context) (driver.Conn, error) { return p, nil }
func (p prices) Driver() driver.Driver                        { return p }
func (p prices) Open(string) (driver.Conn, error)             { return p, nil }
func (p prices) Prepare(string) (driver.Stmt, error)          { return nil, errors.ErrUnsupported }
func (p prices) Begin() (driver.Tx, error)                    { return nil, errors.ErrUnsupported }
func (p prices) Close() error                                 { return nil }

func (p prices) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	return &answer{}, nil
}

type answer struct{ read bool }

func (a *answer) Columns() []string { return []string{"price"} }
func (a *answer) Close() error      { return nil }

func (a *answer) Next(row []driver.Value) error {
	if a.read {
		return io.EOF
	}
	a.read, row[0] = true, int64(399)
	return nil
}
