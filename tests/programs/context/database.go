package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"net/http"
	"time"
)

func init() {
	shapes = append(shapes,
		shape{name: "database", run: databases},
		shape{name: "database pool", every: 4, run: databasePool},
		shape{name: "cancelled transaction", run: cancelledTransaction},
	)
}

// calls is what a driver is to do in each of its methods; a context carries it.
type calls map[string]func(ctx context.Context)

func (c calls) call(ctx context.Context, method string) {
	if work := c[method]; work != nil {
		work(ctx)
	}
}

type callsKey struct{}

func callsOf(ctx context.Context) calls {
	found, _ := ctx.Value(callsKey{}).(calls)
	return found
}

// connector is a database whose driver works as it is told.
type connector struct{ background calls }

func (c *connector) Driver() driver.Driver { return nil }
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	if told := callsOf(ctx); told != nil {
		told.call(ctx, "connect")
	} else {
		c.background.call(ctx, "connect")
	}
	return &session{}, nil
}

type session struct{ told calls }

func (*session) Prepare(string) (driver.Stmt, error) { return nil, errors.ErrUnsupported }
func (*session) Begin() (driver.Tx, error)           { return nil, errors.ErrUnsupported }
func (*session) Close() error                        { return nil }
func (s *session) BeginTx(ctx context.Context, _ driver.TxOptions) (driver.Tx, error) {
	s.told = callsOf(ctx)
	s.told.call(ctx, "begin")
	return s, nil
}
func (s *session) Commit() error {
	s.told.call(background, "commit")
	return nil
}
func (s *session) Rollback() error {
	s.told.call(background, "rollback")
	return nil
}
func (s *session) ExecContext(ctx context.Context, _ string, _ []driver.NamedValue) (driver.Result, error) {
	callsOf(ctx).call(ctx, "exec")
	return driver.RowsAffected(1), nil
}

// tell makes each method of the driver a span below the operation's, which is below parent.
func (r round) tell(ctx context.Context, parent truth) context.Context {
	told := calls{}
	for _, method := range []string{"connect", "begin", "exec", "commit", "rollback"} {
		told[method] = func(ctx context.Context) { r.oneWith(ctx, below("sql", parent)) }
	}
	return context.WithValue(ctx, callsKey{}, told)
}

// Each operation is below who asks for it, and what the driver does is below the operation.
func databases(r round) {
	db := sql.OpenDB(&connector{})
	defer db.Close()
	use := func(ctx context.Context) {
		_, err := db.ExecContext(ctx, "UPDATE t SET x = 1")
		check(err)
		tx, err := db.BeginTx(ctx, nil)
		check(err)
		_, err = tx.ExecContext(ctx, "UPDATE t SET x = 1")
		check(err)
		check(tx.Commit())
	}
	r.in(root, func(a truth) {
		use(r.tell(background, a))
		r.one(a)
		plain.get(background, a, func(w http.ResponseWriter, req *http.Request, here truth) {
			use(r.tell(req.Context(), here))
			ctx := r.tell(req.Context(), here)
			elsewhere(func() { use(ctx) })
			r.in(here, func(b truth) { use(r.tell(req.Context(), b)) })
		})
	})
	use(r.tell(background, root))
}

// A connection that the pool opens by itself, because another one broke, belongs to nobody.
func databasePool(r round) {
	opened := make(chan struct{}, 1)
	db := sql.OpenDB(&connector{calls{"connect": func(ctx context.Context) {
		r.oneWith(ctx, root)
		opened <- struct{}{}
	}}})
	defer db.Close()
	db.SetMaxOpenConns(1)
	r.in(root, func(a truth) {
		// The pool's own way to a connection of Conn makes no span.
		ctx := context.WithValue(background, callsKey{}, calls{"connect": func(ctx context.Context) { r.oneWith(ctx, a) }})
		only, err := db.Conn(ctx)
		check(err)
		waiting := start(func() {
			r.in(a, func(b truth) {
				_, err := db.ExecContext(r.tell(background, b), "UPDATE t SET x = 1")
				check(err)
			})
		})
		for db.Stats().WaitCount == 0 {
			time.Sleep(time.Millisecond)
		}
		if err := only.Raw(func(any) error { return driver.ErrBadConn }); !errors.Is(err, driver.ErrBadConn) {
			check(errors.Join(errors.New("the connection did not break"), err))
		}
		<-waiting
		<-opened
	})
}

// A transaction whose context is cancelled is rolled back by a goroutine of its own: below its context's span, if that
// carries one.
func cancelledTransaction(r round) {
	db := sql.OpenDB(&connector{})
	defer db.Close()
	cancelled := func(ctx context.Context, begin, rollback truth) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		done := make(chan struct{})
		told := calls{
			"begin": func(ctx context.Context) { r.oneWith(ctx, below("sql", begin)) },
			"rollback": func(ctx context.Context) {
				r.oneWith(ctx, below("sql", rollback))
				close(done)
			},
		}
		_, err := db.BeginTx(context.WithValue(ctx, callsKey{}, told), nil)
		check(err)
		elsewhere(func() { r.in(root, func(truth) { cancel() }) })
		<-done
	}
	r.in(root, func(a truth) {
		cancelled(background, a, root)
		plain.get(background, a, func(w http.ResponseWriter, req *http.Request, here truth) {
			cancelled(req.Context(), here, here)
		})
	})
}
