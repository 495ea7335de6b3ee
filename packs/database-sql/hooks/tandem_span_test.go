package sql

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"testing"

	tandem_rt "tandem/rt"
)

// These tests run woven: DB has its tandem field, and tandem/rt exists.

type testConnector struct{ err error }

type testConnection struct{ err error }

func (c testConnector) Connect(context.Context) (driver.Conn, error) {
	return &testConnection{c.err}, nil
}
func (c testConnector) Driver() driver.Driver { panic("nobody asked for the driver before") }

func (c *testConnection) Prepare(string) (driver.Stmt, error) { return nil, driver.ErrSkip }
func (c *testConnection) Close() error                        { return nil }
func (c *testConnection) Begin() (driver.Tx, error)           { return c, c.err }
func (c *testConnection) Commit() error                       { return c.err }
func (c *testConnection) Rollback() error                     { return c.err }
func (c *testConnection) ExecContext(context.Context, string, []driver.NamedValue) (driver.Result, error) {
	return driver.RowsAffected(1), c.err
}

// Describing an operation costs no allocation, nor does ending it well.
func TestSpanAllocatesNothing(t *testing.T) {
	db := OpenDB(testConnector{})
	defer db.Close()
	db.tandem.target.Set("postgresql", "shop", "db.example", 5433)
	ctx := context.Background()
	var failed error
	if span := tandemStart(tandemPing, db, ctx, "PING"); !span.Recording() {
		t.Skip("nothing is recorded here")
	} else {
		tandemEnd(span, &failed)
	}
	if n := testing.AllocsPerRun(1000, func() {
		span := tandemStartQuery(tandemExec, db, ctx, "", "SELECT id, name FROM products WHERE id IN ($1, $2) AND name = 'x'")
		tandemEnd(span, &failed)
	}); n != 0 {
		t.Errorf("a query's span: %v allocations", n)
	}
	queries := make([]string, 2000)
	for i := range queries {
		queries[i] = fmt.Sprintf("SELECT %d FROM products WHERE id = %d", i, i)
	}
	next := 0
	if n := testing.AllocsPerRun(1000, func() {
		tandemEnd(tandemStartQuery(tandemExec, db, ctx, "", queries[next]), &failed)
		next++
	}); n != 0 {
		t.Errorf("the span of a query that is new: %v allocations", n)
	}
	if n := testing.AllocsPerRun(1000, func() {
		tandemEnd(tandemStart(tandemBegin, db, ctx, "BEGIN"), &failed)
	}); n != 0 {
		t.Errorf("BEGIN's span: %v allocations", n)
	}
}

// A connector is not asked for its driver, and an operation that fails leaves nothing current behind.
func TestOperationsLeaveTheSlotAsItWas(t *testing.T) {
	before := tandem_rt.Unset()
	defer tandem_rt.Restore(before)
	for _, err := range []error{nil, errors.New("no"), driver.ErrBadConn, io.EOF} {
		db := OpenDB(testConnector{err})
		if db.tandem.target.System != "other_sql" {
			t.Errorf("system is %q", db.tandem.target.System)
		}
		db.Exec("DELETE FROM t")
		db.Query("SELECT 1")
		db.Ping()
		db.Prepare("SELECT 1")
		if tx, _ := db.Begin(); tx != nil {
			tx.Rollback()
			tx.Rollback()
		}
		db.Close()
		db.Exec("DELETE FROM t")
		if tandem_rt.Current() != nil {
			t.Fatalf("after %v a span is still current", err)
		}
	}
	(&Stmt{stickyErr: io.EOF}).Exec()
}

// Errors of database/sql's own are named as programs know them.
func TestErrors(t *testing.T) {
	before := tandem_rt.Unset()
	defer tandem_rt.Restore(before)
	for err, want := range map[error]string{
		fmt.Errorf("insert: %w", context.DeadlineExceeded): "context.DeadlineExceeded",
		driver.ErrBadConn: "driver.ErrBadConn",
		ErrTxDone:         "sql.ErrTxDone",
	} {
		named := ""
		for i := range tandemErrors {
			if named == "" && errors.Is(err, tandemErrors[i].Err) {
				named = tandemErrors[i].Name
			}
		}
		if named != want {
			t.Errorf("%v is named %q", err, named)
		}
	}
}

func BenchmarkSpan(b *testing.B) {
	db := OpenDB(testConnector{})
	defer db.Close()
	db.tandem.target.Set("postgresql", "shop", "db.example", 5433)
	ctx := context.Background()
	var failed error
	for name, prefix := range map[string]string{"known": "", "new": "PREPARE"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; i < b.N; i++ {
				tandemEnd(tandemStartQuery(tandemExec, db, ctx, prefix, "SELECT id, name FROM products WHERE id = $1"), &failed)
			}
		})
	}
}
