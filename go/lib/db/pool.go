package db

import (
	"sync"

	"tandem/rt"
)

// This file makes the metrics of pools of connections, as the semantic conventions name them. What a pool knows anyway is read
// about once a second while an agent is there (rt.Observe); durations are recorded as they happen, each by one addition.

// Pool is what is measured of one pool. Its methods work on nil.
type Pool struct {
	*poolTotals
	scope, name         string
	used, idle, pending *rt.Instrument
	max, idleMax        *rt.Instrument // nil while there is no limit
}

// poolTotals go on when a pool is closed and opened again.
type poolTotals struct {
	timeouts, createTime, waitTime, useTime *rt.Instrument
}

// totals has those of all pools that there ever were, by scope and name.
var totals struct {
	mu     sync.Mutex
	byName map[[2]string]*poolTotals
}

var poolBounds = []float64{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10}

// NewPool begins to measure a pool. The scope is that of its spans; Target.PoolName is its name where it has none of its own.
func NewPool(scope, name string) *Pool {
	const count = "Connections that are in the state."
	return &Pool{
		poolTotals: totalsOf(scope, name),
		scope:      scope,
		name:       name,
		used:       poolNumber(scope, name, "count", "{connection}", count, "used"),
		idle:       poolNumber(scope, name, "count", "{connection}", count, "idle"),
		pending:    poolNumber(scope, name, "pending_requests", "{request}", "Requests that wait for an open connection.", ""),
	}
}

func totalsOf(scope, name string) *poolTotals {
	totals.mu.Lock()
	defer totals.mu.Unlock()
	key := [2]string{scope, name}
	if known := totals.byName[key]; known != nil {
		return known
	}
	made := &poolTotals{
		timeouts:   rt.NewInstrument(rt.Counter, aboutPool(scope, name, "timeouts", "{timeout}", "Requests for a connection whose time ended first.", "")),
		createTime: poolTimes(scope, name, "create_time", "The time it took to create a connection."),
		waitTime:   poolTimes(scope, name, "wait_time", "The time it took to obtain a connection from the pool."),
		useTime:    poolTimes(scope, name, "use_time", "The time between borrowing a connection and returning it."),
	}
	if totals.byName == nil {
		totals.byName = make(map[[2]string]*poolTotals)
	}
	totals.byName[key] = made
	return made
}

// Obtained is said when a connection was given to who asked for it at that time (rt.Now). It returns the time; 0 on nil.
func (p *Pool) Obtained(asked int64) (since int64) {
	if p == nil {
		return 0
	}
	since = rt.Now()
	p.waitTime.Record(since - asked)
	return since
}

// TimedOut is said when the time of who asked for a connection ended first.
func (p *Pool) TimedOut() {
	if p != nil {
		p.timeouts.Add(1)
	}
}

// Returned is said when a connection comes back that was given away at that time.
func (p *Pool) Returned(since int64) {
	if p != nil {
		p.useTime.Record(rt.Now() - since)
	}
}

// Created is said when a connection has been made whose making began at that time.
func (p *Pool) Created(begun int64) {
	if p != nil {
		p.createTime.Record(rt.Now() - begun)
	}
}

// State is a pool's at one moment. Limits that are not positive are none.
type State struct {
	Used, Idle, Pending, IdleMax, Max int64
}

// Observe records the pool's state. Only one goroutine may call it at a time.
func (p *Pool) Observe(state State) {
	p.used.Set(state.Used)
	p.idle.Set(state.Idle)
	p.pending.Set(state.Pending)
	p.limit(&p.idleMax, state.IdleMax, "idle.max", "Idle connections that are kept at most.")
	p.limit(&p.max, state.Max, "max", "Connections that may be open at once.")
}

// limit records a limit, as long as there is one.
func (p *Pool) limit(of **rt.Instrument, value int64, name, description string) {
	if value <= 0 || p.used == nil {
		(*of).Free()
		*of = nil
		return
	}
	if *of == nil {
		*of = poolNumber(p.scope, p.name, name, "{connection}", description, "")
	}
	(*of).Set(value)
}

// Free ends the measuring of a pool that is closed. Nothing may be observed after it.
func (p *Pool) Free() {
	if p == nil {
		return
	}
	for _, each := range [...]*rt.Instrument{p.used, p.idle, p.idleMax, p.pending, p.max} {
		each.Free()
	}
}

func poolNumber(scope, pool, name, unit, description, state string) *rt.Instrument {
	return rt.NewObserved(rt.UpDown, aboutPool(scope, pool, name, unit, description, state))
}

func poolTimes(scope, pool, name, description string) *rt.Instrument {
	return rt.NewHistogram(aboutPool(scope, pool, name, "s", description, ""), poolBounds)
}

func aboutPool(scope, pool, name, unit, description, state string) *rt.About {
	attributes := "db.client.connection.pool.name=" + pool
	if state != "" {
		attributes += "\ndb.client.connection.state=" + state
	}
	return &rt.About{
		Scope:       scope,
		Name:        "db.client.connection." + name,
		Unit:        unit,
		Description: description,
		Attributes:  attributes,
	}
}
