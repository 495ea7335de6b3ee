package pgxpool

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v4"

	"tandem/db"
	tandem_rt "tandem/rt"
)

// This file makes the spans of operations that are asked of a pool: each from the call on, so that waiting for a connection
// lies inside it. What the connection then does is the same operation. It also keeps the metrics of pools.

var tandemOperation = db.NewOp("pgx-v4.pool", pgx.TandemScope, db.Name)

// tandemPool is what is kept of a pool.
type tandemPool struct {
	target   db.Target
	measured *db.Pool
	pending  atomic.Int64 // callers that wait for a connection, or for its opening
}

// tandemPools has all pools that are open.
var tandemPools struct {
	mu   sync.Mutex
	open map[*Pool]struct{}
}

func init() { tandem_rt.Observe(tandemObserve) }

// tandemKnow is called before the pool's first goroutine starts.
func tandemKnow(p *Pool) {
	pgx.TandemTarget(&p.tandem.target, p.config.ConnConfig)
	p.tandem.measured = db.NewPool(pgx.TandemScope, p.tandem.target.PoolName())
	tandemPools.mu.Lock()
	defer tandemPools.mu.Unlock()
	if tandemPools.open == nil {
		tandemPools.open = make(map[*Pool]struct{})
	}
	tandemPools.open[p] = struct{}{}
}

// tandemForget is called when a pool is closed, perhaps again.
func tandemForget(p *Pool) {
	tandemPools.mu.Lock()
	defer tandemPools.mu.Unlock()
	if _, open := tandemPools.open[p]; open {
		delete(tandemPools.open, p)
		p.tandem.measured.Free()
	}
}

// tandemObserve is called about once a second while an agent is there.
func tandemObserve() {
	tandemPools.mu.Lock()
	defer tandemPools.mu.Unlock()
	for p := range tandemPools.open {
		now := p.p.Stat()
		p.tandem.measured.Observe(db.State{
			Used:    int64(now.AcquiredResources()),
			Idle:    int64(now.IdleResources()),
			Pending: p.tandem.pending.Load(),
			Max:     int64(now.MaxResources()),
		})
	}
}

func tandemAsk(p *Pool) (asked int64) {
	p.tandem.pending.Add(1)
	return tandem_rt.Now()
}

func tandemObtained(p *Pool, ctx context.Context, asked int64, conn **Conn, err *error) {
	p.tandem.pending.Add(-1)
	switch {
	case *err == nil && *conn != nil:
		(*conn).tandemSince = p.tandem.measured.Obtained(asked)
	case *err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		p.tandem.measured.TimedOut()
	}
}

func tandemReturned(c *Conn) { c.p.tandem.measured.Returned(c.tandemSince) }

// tandemConnect opens a connection for the pool.
func tandemConnect(p *Pool, ctx context.Context, config *pgx.ConnConfig) (*pgx.Conn, error) {
	begun := tandem_rt.Now()
	conn, err := pgx.ConnectConfig(ctx, config)
	if err == nil {
		p.tandem.measured.Created(begun)
	}
	return conn, err
}

func tandemStart(p *Pool, ctx context.Context, name string) *tandem_rt.Span {
	if !tandemOperation.On() {
		return nil
	}
	return db.Start(tandemOperation, tandem_rt.FromContext(ctx), &p.tandem.target, name, "")
}

func tandemStartQuery(p *Pool, ctx context.Context, sql string) *tandem_rt.Span {
	if !tandemOperation.On() {
		return nil
	}
	return db.StartQuery(tandemOperation, tandem_rt.FromContext(ctx), &p.tandem.target, "", sql)
}

func tandemStartCopy(p *Pool, ctx context.Context, table pgx.Identifier) *tandem_rt.Span {
	if !tandemOperation.On() {
		return nil
	}
	return db.StartCopy(tandemOperation, tandem_rt.FromContext(ctx), &p.tandem.target, table)
}

// tandemStartDetached begins the span of an operation that goes on after the call. The connection says what it is.
func tandemStartDetached(p *Pool, ctx context.Context) *tandem_rt.Span {
	if !tandemOperation.On() {
		return nil
	}
	return db.StartDetached(tandemOperation, tandem_rt.FromContext(ctx), &p.tandem.target)
}

// tandemGive hands the span to the connection, if there is one. Without sql it is a batch's.
func tandemGive(span *tandem_rt.Span, c *Conn, sql string, err error) {
	switch {
	case span == nil:
	case err == nil:
		pgx.TandemGive(c.Conn(), span)
	default:
		if sql == "" {
			span.Str(tandem_rt.KeyDBOperationName, "BATCH")
		} else {
			db.DescribeQuery(span, db.PostgreSQL, sql)
		}
		db.End(span, err, pgx.TandemErrors)
	}
}

func tandemEnd(span *tandem_rt.Span, err *error) {
	if span != nil {
		db.End(span, *err, pgx.TandemErrors)
	}
}
