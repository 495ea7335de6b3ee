package global

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/embedded"

	tandem_rt "tandem/rt"
)

// Instruments that are asked: about once a second while an agent is there, each round of callbacks on a goroutine of its own
// that ends with it, one round at a time. Rounds rest a hundred times as long as they take, so that callbacks that are made
// for an exporter's minute cost no more than a hundredth of a processor. What is not observed in a round is gone.

// tandemRest is how much longer than a round the pause after it is.
const tandemRest = 100

var tandemCallbacks struct {
	lock sync.Mutex
	// all are in the order in which they came. Replaced as a whole.
	all []*tandemCallback
	// watched says that rounds are asked for.
	watched bool

	running atomic.Bool
	// round is the number of the one that runs, or 0. What comes later from an observer that somebody kept is left out.
	round atomic.Uint32
	// rounds, next and over are of who runs.
	rounds uint32
	next   time.Time
	over   bool
}

// tandemCallback is one, with who may take it back.
type tandemCallback struct {
	owner *registration
	call  func(tandemObserver)
}

func tandemCallsBack(owner *registration, call func(tandemObserver)) {
	tandemCallbacks.lock.Lock()
	watched := tandemCallbacks.watched
	all := tandemCallbacks.all
	tandemCallbacks.all = append(all[:len(all):len(all)], &tandemCallback{owner, call})
	tandemCallbacks.watched = true
	tandemCallbacks.lock.Unlock()
	if !watched {
		tandem_rt.Observe(tandemTick)
	}
}

// tandemRegister is told of a callback for several instruments.
func tandemRegister(owner *registration) {
	if !tandem_rt.Enabled() || owner.function == nil {
		return
	}
	call := owner.function
	tandemCallsBack(owner, func(o tandemObserver) { _ = call(context.Background(), o) })
}

// tandemUnregister is told that a callback is not wanted any more.
func tandemUnregister(owner *registration) {
	tandemDrop(func(callback *tandemCallback) bool { return callback.owner == owner })
}

func tandemDrop(is func(*tandemCallback) bool) {
	tandemCallbacks.lock.Lock()
	defer tandemCallbacks.lock.Unlock()
	var kept []*tandemCallback
	for _, callback := range tandemCallbacks.all {
		if !is(callback) {
			kept = append(kept, callback)
		}
	}
	tandemCallbacks.all = kept
}

func tandemAsyncInt64(m *meter, name string, kind tandem_rt.InstrumentKind, config interface {
	tandemConfig
	Callbacks() []metric.Int64Callback
}) tandemAsync {
	instrument := tandemMake(m, name, kind, true, false, config, nil)
	if instrument != nil {
		for _, call := range config.Callbacks() {
			call := call // the library may be of a Go in which all share one
			if call != nil {
				tandemCallsBack(nil, func(o tandemObserver) {
					_ = call(context.Background(), tandemInt64Observer{round: o.round, of: instrument})
				})
			}
		}
	}
	return tandemAsync{instrument}
}

func tandemAsyncFloat64(m *meter, name string, kind tandem_rt.InstrumentKind, config interface {
	tandemConfig
	Callbacks() []metric.Float64Callback
}) tandemAsync {
	instrument := tandemMake(m, name, kind, true, true, config, nil)
	if instrument != nil {
		for _, call := range config.Callbacks() {
			call := call // the library may be of a Go in which all share one
			if call != nil {
				tandemCallsBack(nil, func(o tandemObserver) {
					_ = call(context.Background(), tandemFloat64Observer{round: o.round, of: instrument})
				})
			}
		}
	}
	return tandemAsync{instrument}
}

// tandemTick is called once a second, by a goroutine that may not wait.
func tandemTick() {
	rounds := &tandemCallbacks
	if rounds.over || !rounds.running.CompareAndSwap(false, true) {
		return
	}
	if tandemMetrics.delegated.Load() {
		rounds.over = true
		tandemForget(0)
	} else if !time.Now().Before(rounds.next) {
		go tandemRound()
		return
	}
	rounds.running.Store(false)
}

func tandemRound() {
	rounds := &tandemCallbacks
	tandem_rt.Ignore()
	start := time.Now()
	if rounds.rounds++; rounds.rounds == 0 {
		rounds.rounds = 1
	}
	rounds.round.Store(rounds.rounds)
	rounds.lock.Lock()
	all := rounds.all
	rounds.lock.Unlock()
	observer := tandemObserver{round: rounds.rounds}
	for _, callback := range all {
		callback.run(observer)
	}
	rounds.round.Store(0)
	tandemForget(rounds.rounds)
	rounds.next = time.Now().Add(time.Since(start) * tandemRest)
	rounds.running.Store(false)
}

// run runs a callback. Without Tandem nobody would have: one that panics is not run again.
func (c *tandemCallback) run(observer tandemObserver) {
	ended := false
	defer func() {
		if !ended {
			recover()
			tandemDrop(func(callback *tandemCallback) bool { return callback == c })
		}
	}()
	c.call(observer)
	ended = true
}

// tandemForget ends the series that were not observed in a round.
func tandemForget(round uint32) {
	tandemMetrics.lock.Lock()
	defer tandemMetrics.lock.Unlock()
	for _, instrument := range tandemMetrics.all {
		if instrument.observed {
			instrument.forget(round)
		}
	}
}

func (i *tandemInstrument) forget(round uint32) {
	i.lock.Lock()
	defer i.lock.Unlock()
	i.full.Store(false)
	if bare := i.bare.Load(); bare != nil && bare.round.Load() != round {
		i.bare.Store(nil)
		bare.Free()
	}
	rest := i.rest // may stand for several in the map
	if rest != nil && rest.round.Load() != round {
		rest.Free()
		i.rest = nil
	}
	known := i.series.Load()
	if known == nil {
		return
	}
	left := make(map[attribute.Distinct]*tandemSeries, len(*known))
	for key, series := range *known {
		if series.round.Load() == round {
			left[key] = series
		}
	}
	if len(left) == len(*known) {
		return
	}
	i.series.Store(&left)
	for key, series := range *known {
		if left[key] == nil && series != rest {
			series.Free()
		}
	}
}

// tandemObserver is handed to callbacks of several instruments, for one round.
type tandemObserver struct {
	embedded.Observer
	round uint32
}

func (o tandemObserver) ObserveInt64(instrument metric.Int64Observable, value int64, options ...metric.ObserveOption) {
	if known, ok := instrument.(interface{ tandemObserved() *tandemInstrument }); ok {
		tandemObserve(known.tandemObserved(), o.round, value, options)
	}
}

func (o tandemObserver) ObserveFloat64(instrument metric.Float64Observable, value float64, options ...metric.ObserveOption) {
	if known, ok := instrument.(interface{ tandemObserved() *tandemInstrument }); ok {
		tandemObserve(known.tandemObserved(), o.round, value, options)
	}
}

// The same for callbacks of one.
type tandemInt64Observer struct {
	embedded.Int64Observer
	round uint32
	of    *tandemInstrument
}

func (o tandemInt64Observer) Observe(value int64, options ...metric.ObserveOption) {
	tandemObserve(o.of, o.round, value, options)
}

type tandemFloat64Observer struct {
	embedded.Float64Observer
	round uint32
	of    *tandemInstrument
}

func (o tandemFloat64Observer) Observe(value float64, options ...metric.ObserveOption) {
	tandemObserve(o.of, o.round, value, options)
}

func tandemObserve[N int64 | float64](i *tandemInstrument, round uint32, value N, options []metric.ObserveOption) {
	if i == nil || !tandemIsNumber(value) || round != tandemCallbacks.round.Load() {
		return
	}
	var series *tandemSeries
	if len(options) == 0 {
		series = i.plain()
	} else {
		config := metric.NewObserveConfig(options)
		set := config.Attributes()
		series = i.of(&set)
	}
	if i.float {
		series.SetFloat(float64(value))
	} else {
		series.Set(int64(value))
	}
	series.round.Store(round)
}
