package sql

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"

	tandem_rt "tandem/rt"
)

// This file keeps the metrics of each DB's pool of connections, as the semantic conventions name them. What the DB knows
// anyway is read about once a second while an agent is there; durations are recorded as they happen.

// tandemPool is what is kept beside the DB's own numbers.
type tandemPool struct {
	pending  atomic.Int64 // callers that wait for a connection
	measured atomic.Pointer[tandemPoolMetrics]
}

// tandemPoolMetrics is made when the first connection is asked for: then it is known which database it is.
type tandemPoolMetrics struct {
	*tandemPoolTotals
	name                         string
	used, idle, idleMax, pending *tandem_rt.Instrument
	max                          *tandem_rt.Instrument // nil while there is no limit
}

// tandemPoolTotals go on when a database is closed and opened again.
type tandemPoolTotals struct {
	timeouts, createTime, waitTime, useTime *tandem_rt.Instrument
}

// tandemPools has all open DBs that have asked for a connection.
var tandemPools struct {
	mu     sync.Mutex
	open   map[*DB]*tandemPoolMetrics
	totals map[string]*tandemPoolTotals // by the pool's name
}

var tandemPoolBounds = []float64{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10}

func init() { tandem_rt.Observe(tandemObservePools) }

// tandemAsk is called when a connection is asked for. It returns the time.
func tandemAsk(db *DB) int64 {
	if db.tandem.pool.measured.Load() == nil {
		tandemMeasure(db)
	}
	return tandem_rt.Now()
}

// tandemMeasure makes the pool's metrics.
func tandemMeasure(db *DB) {
	tandemPools.mu.Lock()
	defer tandemPools.mu.Unlock()
	db.mu.Lock()
	closed := db.closed
	db.mu.Unlock()
	if closed || db.tandem.pool.measured.Load() != nil {
		return
	}
	if tandemPools.open == nil {
		tandemPools.open, tandemPools.totals = make(map[*DB]*tandemPoolMetrics), make(map[string]*tandemPoolTotals)
	}
	name := db.tandem.poolName()
	totals := tandemPools.totals[name]
	if totals == nil {
		totals = &tandemPoolTotals{
			timeouts:   tandem_rt.NewInstrument(tandem_rt.Counter, tandemPoolAbout(name, "timeouts", "{timeout}", "Requests for a connection whose time ended first.", "")),
			createTime: tandemPoolTimes(name, "create_time", "The time it took to create a connection."),
			waitTime:   tandemPoolTimes(name, "wait_time", "The time it took to obtain a connection from the pool."),
			useTime:    tandemPoolTimes(name, "use_time", "The time between borrowing a connection and returning it."),
		}
		tandemPools.totals[name] = totals
	}
	const count = "Connections that are in the state."
	m := &tandemPoolMetrics{
		tandemPoolTotals: totals,
		name:             name,
		used:             tandemPoolNumber(name, "count", "{connection}", count, "used"),
		idle:             tandemPoolNumber(name, "count", "{connection}", count, "idle"),
		idleMax:          tandemPoolNumber(name, "idle.max", "{connection}", "Idle connections that are kept at most.", ""),
		pending:          tandemPoolNumber(name, "pending_requests", "{request}", "Requests that wait for an open connection.", ""),
	}
	tandemPools.open[db] = m
	db.tandem.pool.measured.Store(m)
}

// tandemForget is called when a DB is closed.
func tandemForget(db *DB) {
	tandemPools.mu.Lock()
	defer tandemPools.mu.Unlock()
	m := tandemPools.open[db]
	if m == nil {
		return
	}
	delete(tandemPools.open, db)
	for _, each := range []*tandem_rt.Instrument{m.used, m.idle, m.idleMax, m.pending, m.max} {
		each.Free()
	}
}

// tandemObtained is deferred by who asked for a connection.
func tandemObtained(db *DB, ctx context.Context, asked int64, conn **driverConn, err *error) {
	m := db.tandem.pool.measured.Load()
	if m == nil {
		return
	}
	now := tandem_rt.Now()
	switch {
	case *err == nil && *conn != nil:
		m.waitTime.Record(now - asked)
		(*conn).tandemSince = now
	case *err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		m.timeouts.Add(1)
	}
}

// tandemReturned is called when a connection comes back.
func tandemReturned(db *DB, conn *driverConn) {
	if m := db.tandem.pool.measured.Load(); m != nil && conn.tandemSince != 0 {
		m.useTime.Record(tandem_rt.Now() - conn.tandemSince)
		conn.tandemSince = 0
	}
}

// tandemCreated is called when the driver has made a connection, or failed to.
func tandemCreated(db *DB, begun int64, err error) {
	if m := db.tandem.pool.measured.Load(); m != nil && err == nil {
		m.createTime.Record(tandem_rt.Now() - begun)
	}
}

// tandemObservePools is called about once a second while an agent is there.
func tandemObservePools() {
	tandemPools.mu.Lock()
	defer tandemPools.mu.Unlock()
	for db, m := range tandemPools.open {
		db.mu.Lock()
		open, idle, max, idleMax := db.numOpen, len(db.freeConn), db.maxOpen, db.maxIdleConnsLocked()
		db.mu.Unlock()
		m.used.Set(int64(open - idle))
		m.idle.Set(int64(idle))
		m.idleMax.Set(int64(idleMax))
		m.pending.Set(db.tandem.pool.pending.Load())
		if max <= 0 || m.used == nil {
			m.max.Free()
			m.max = nil
			continue
		}
		if m.max == nil {
			m.max = tandemPoolNumber(m.name, "max", "{connection}", "Connections that may be open at once.", "")
		}
		m.max.Set(int64(max))
	}
}

// poolName is what the conventions want where pools have no names: address:port/database, as far as known.
func (s *tandemSource) poolName() string {
	name := s.address
	if s.port != 0 {
		name += ":" + strconv.FormatInt(s.port, 10)
	}
	if s.namespace != "" {
		name += "/" + s.namespace
	}
	if name == "" {
		return s.system
	}
	return name
}

func tandemPoolNumber(pool, name, unit, description, state string) *tandem_rt.Instrument {
	return tandem_rt.NewObserved(tandem_rt.UpDown, tandemPoolAbout(pool, name, unit, description, state))
}

func tandemPoolTimes(pool, name, description string) *tandem_rt.Instrument {
	return tandem_rt.NewHistogram(tandemPoolAbout(pool, name, "s", description, ""), tandemPoolBounds)
}

func tandemPoolAbout(pool, name, unit, description, state string) *tandem_rt.About {
	attributes := "db.client.connection.pool.name=" + pool
	if state != "" {
		attributes += "\ndb.client.connection.state=" + state
	}
	return &tandem_rt.About{
		Scope:       "tandem/database/sql",
		Name:        "db.client.connection." + name,
		Unit:        unit,
		Description: description,
		Attributes:  attributes,
	}
}
