package sql

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"tandem/db"
	tandem_rt "tandem/rt"
)

// This file keeps the metrics of each DB's pool of connections.

// tandemPool is what is kept beside the DB's own numbers.
type tandemPool struct {
	pending  atomic.Int64            // callers that wait for a connection
	measured atomic.Pointer[db.Pool] // made when the first connection is asked for: then it is known which database it is
}

// tandemPools has all open DBs that have asked for a connection.
var tandemPools struct {
	mu   sync.Mutex
	open map[*DB]*db.Pool
}

func init() { tandem_rt.Observe(tandemObservePools) }

// tandemAsk is called when a connection is asked for. It returns the time.
func tandemAsk(d *DB) int64 {
	if d.tandem.pool.measured.Load() == nil {
		tandemMeasure(d)
	}
	return tandem_rt.Now()
}

// tandemMeasure makes the pool's metrics.
func tandemMeasure(d *DB) {
	tandemPools.mu.Lock()
	defer tandemPools.mu.Unlock()
	d.mu.Lock()
	closed := d.closed
	d.mu.Unlock()
	if closed || d.tandem.pool.measured.Load() != nil {
		return
	}
	if tandemPools.open == nil {
		tandemPools.open = make(map[*DB]*db.Pool)
	}
	pool := db.NewPool(tandemScope, d.tandem.target.PoolName())
	tandemPools.open[d] = pool
	d.tandem.pool.measured.Store(pool)
}

// tandemForget is called when a DB is closed.
func tandemForget(d *DB) {
	tandemPools.mu.Lock()
	defer tandemPools.mu.Unlock()
	tandemPools.open[d].Free()
	delete(tandemPools.open, d)
}

// tandemObtained is deferred by who asked for a connection.
func tandemObtained(d *DB, ctx context.Context, asked int64, conn **driverConn, err *error) {
	pool := d.tandem.pool.measured.Load()
	switch {
	case *err == nil && *conn != nil:
		(*conn).tandemSince = pool.Obtained(asked)
	case *err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		pool.TimedOut()
	}
}

// tandemReturned is called when a connection comes back.
func tandemReturned(d *DB, conn *driverConn) {
	if conn.tandemSince != 0 {
		d.tandem.pool.measured.Load().Returned(conn.tandemSince)
		conn.tandemSince = 0
	}
}

// tandemCreated is called when the driver has made a connection, or failed to.
func tandemCreated(d *DB, begun int64, err error) {
	if err == nil {
		d.tandem.pool.measured.Load().Created(begun)
	}
}

// tandemObservePools is called about once a second while an agent is there.
func tandemObservePools() {
	tandemPools.mu.Lock()
	defer tandemPools.mu.Unlock()
	for d, pool := range tandemPools.open {
		d.mu.Lock()
		open, idle, max, idleMax := d.numOpen, len(d.freeConn), d.maxOpen, d.maxIdleConnsLocked()
		d.mu.Unlock()
		pool.Observe(db.State{
			Used:    int64(open - idle),
			Idle:    int64(idle),
			IdleMax: int64(idleMax),
			Pending: d.tandem.pool.pending.Load(),
			Max:     int64(max),
		})
	}
}
