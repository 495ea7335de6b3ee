package global

import (
	"strings"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	tandem_rt "tandem/rt"
)

// What instruments of the global provider are given, for as long as the program has not set a provider.

// tandemInstrument is one metric. Instruments that say the same of themselves share it. It is nil where nothing is recorded.
type tandemInstrument struct {
	kind            tandem_rt.InstrumentKind
	observed, float bool
	bounds          []float64
	scope           string
	name            string
	unit            string
	description     string

	bare   atomic.Pointer[tandemSeries]                         // without attributes
	series atomic.Pointer[map[attribute.Distinct]*tandemSeries] // replaced as a whole, so that whoever looks waits for nobody
	full   atomic.Bool                                          // the table is
	lock   sync.Mutex                                           // of what follows, and of who adds series
	rest   *tandemSeries                                        // of what finds no place
	told   bool                                                 // the description is there
}

// tandemSeries is one series of a metric.
type tandemSeries struct {
	*tandem_rt.Instrument
	round atomic.Uint32 // in which it was last observed
}

// tandemLimit is how many series a metric has at most, the one for the rest included, as the specification has it.
const tandemLimit = 2000

// tandemSync is what instruments that are told numbers have.
type tandemSync struct{ tandem *tandemInstrument }

// tandemAsync is what instruments have that are asked for numbers.
type tandemAsync struct{ tandem *tandemInstrument }

func (a *tandemAsync) tandemObserved() *tandemInstrument { return a.tandem }

// tandemMetrics are all of them.
var tandemMetrics struct {
	lock sync.Mutex
	all  map[tandemIdentity]*tandemInstrument
	// delegated says that the program has set a provider.
	delegated atomic.Bool
}

type tandemIdentity struct {
	scope, name, unit string
	kind              tandem_rt.InstrumentKind
	observed, float   bool
}

// tandemConfig is what all instruments say of themselves.
type tandemConfig interface {
	Description() string
	Unit() string
}

// tandemMake finds a metric, or makes it.
func tandemMake(m *meter, name string, kind tandem_rt.InstrumentKind, observed, float bool, config tandemConfig, bounds []float64) *tandemInstrument {
	if !tandem_rt.Enabled() || tandemIsKnown(m.name, name) {
		return nil
	}
	identity := tandemIdentity{scope: tandemScope(m), name: name, unit: config.Unit(), kind: kind, observed: observed, float: float}
	tandemMetrics.lock.Lock()
	defer tandemMetrics.lock.Unlock()
	if made := tandemMetrics.all[identity]; made != nil {
		return made
	}
	made := &tandemInstrument{
		kind: kind, observed: observed, float: float, bounds: bounds,
		scope: identity.scope, name: name, unit: identity.unit, description: config.Description(),
	}
	if tandemMetrics.all == nil {
		tandemMetrics.all = make(map[tandemIdentity]*tandemInstrument)
	}
	tandemMetrics.all[identity] = made
	return made
}

func tandemCounts[N int64 | float64](m *meter, name string, kind tandem_rt.InstrumentKind, config tandemConfig) tandemSync {
	return tandemSync{tandemMake(m, name, kind, false, tandemIsFloat[N](), config, nil)}
}

func tandemHistogram(m *meter, name string, config interface {
	tandemConfig
	ExplicitBucketBoundaries() []float64
}) tandemSync {
	return tandemSync{tandemMake(m, name, tandem_rt.Histogram, false, true, config, tandemBounds(config.ExplicitBucketBoundaries()))}
}

// tandemIsNumber says that it is neither infinite nor none at all, which no sum would ever recover from.
func tandemIsNumber[N int64 | float64](value N) bool { return value-value == 0 }

func tandemIsFloat[N int64 | float64]() bool {
	var one N = 1
	return one/2 != 0
}

// tandemDefaults are what the specification has for histograms of which nobody says more.
var tandemDefaults = []float64{0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000}

// tandemBounds are bounds that rise and are numbers.
func tandemBounds(bounds []float64) []float64 {
	if bounds == nil {
		return tandemDefaults
	}
	for index, bound := range bounds {
		if !tandemIsNumber(bound) || index > 0 && bound <= bounds[index-1] {
			return tandemDefaults
		}
	}
	return bounds
}

// tandemScope is what a meter is called: its name, and a line each for its version and its schema where it has them.
func tandemScope(m *meter) string {
	const room = 96
	config := metric.NewMeterConfig(m.opts...)
	name := strings.ReplaceAll(m.name, "\n", " ")
	version, schema := config.InstrumentationVersion(), config.SchemaURL()
	switch {
	case schema != "" && len(name)+len(version)+len(schema)+2 <= room:
		return name + "\n" + version + "\n" + schema
	case version != "" && len(name)+len(version)+1 <= room:
		return name + "\n" + version
	}
	return name
}

// tandemIsKnown says that a library makes a metric of its own which Tandem makes, too.
func tandemIsKnown(scope, name string) bool {
	switch scope {
	case "github.com/XSAM/otelsql", "github.com/uptrace/opentelemetry-go-extra/otelsql", "go.nhat.io/otelsql", "github.com/riandyrn/otelchi":
	default:
		if !strings.HasPrefix(scope, "go.opentelemetry.io/contrib/instrumentation/") {
			return false
		}
	}
	switch name {
	case "http.server.request.duration", "http.client.request.duration", "rpc.server.call.duration", "rpc.client.call.duration", "db.client.operation.duration":
		return true
	}
	return strings.HasPrefix(name, "go.") || strings.HasPrefix(name, "db.client.connection.")
}

// tandemDelegate is told that the program has set a provider. What was counted before stays; what would go on saying how
// something was then does not.
func tandemDelegate() {
	tandemMetrics.delegated.Store(true)
	tandemMetrics.lock.Lock()
	defer tandemMetrics.lock.Unlock()
	for _, instrument := range tandemMetrics.all {
		if instrument.kind == tandem_rt.Gauge && !instrument.observed {
			instrument.hide()
		}
	}
}

func (i *tandemInstrument) hide() {
	i.lock.Lock()
	defer i.lock.Unlock()
	if bare := i.bare.Load(); bare != nil {
		bare.Hide()
	}
	if known := i.series.Load(); known != nil {
		for _, series := range *known {
			series.Hide()
		}
	}
}

func (s *tandemSync) tandemEnabled() bool { return s.tandem != nil }

// tandemAdd is Add of the instruments that have it.
func tandemAdd[N int64 | float64](s *tandemSync, value N, options []metric.AddOption) {
	i := s.tandem
	if i == nil || !tandemIsNumber(value) || value < 0 && i.kind == tandem_rt.Counter {
		return
	}
	var series *tandemSeries
	if len(options) == 0 {
		series = i.plain()
	} else {
		config := metric.NewAddConfig(options)
		set := config.Attributes()
		series = i.of(&set)
	}
	if i.float {
		series.AddFloat(float64(value))
	} else {
		series.Add(int64(value))
	}
}

// tandemRecord is Record of the instruments that have it.
func tandemRecord[N int64 | float64](s *tandemSync, value N, options []metric.RecordOption) {
	i := s.tandem
	if i == nil || !tandemIsNumber(value) {
		return
	}
	var series *tandemSeries
	if len(options) == 0 {
		series = i.plain()
	} else {
		config := metric.NewRecordConfig(options)
		set := config.Attributes()
		series = i.of(&set)
	}
	switch {
	case i.kind == tandem_rt.Histogram:
		series.RecordFloat(float64(value))
	case i.float:
		series.SetFloat(float64(value))
	default:
		series.Set(int64(value))
	}
}
