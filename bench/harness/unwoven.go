package main

import (
	"errors"
	"fmt"
	"math/rand"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"
)

// unwovenPart: what probes cost programs that nobody wove. A saturated plain net/http server and one of grpc are observed and not in turns, while they run: with
// probes at the places that `tandem attach` takes, the naive way (first instruction, every return; the same programs), by all of `tandem attach`, and by
// opentelemetry-go-instrumentation; and a client's round trips.
func unwovenPart(b *bench) (*outcome, error) {
	if os.Geteuid() != 0 {
		return nil, errSkipped{"probes need root"}
	}
	observer, err := b.buildObserver()
	if err != nil {
		return nil, err
	}
	tools := []tool{b.attachTool()}
	peer, err := b.peerTool()
	var without errSkipped
	switch {
	case err == nil:
		tools = append(tools, peer)
	case errors.As(err, &without):
		b.say("unwoven: %s: its rows are left out", without.reason)
	default:
		return nil, err
	}
	result := &outcome{}
	raw := map[string]any{}
	for _, kind := range []string{"http", "grpc"} {
		found, err := b.observeServer(kind, observer, tools)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", serverNames[kind], err)
		}
		raw[kind] = found
		result.Rows = append(result.Rows, found.rows(serverNames[kind])...)
	}
	if without.reason != "" {
		result.Rows[0].Note = "beside nothing: " + without.reason
	}
	attach, detach, err := b.hundredProbes(observer)
	if err != nil {
		return nil, err
	}
	trips, err := b.roundTrips(observer)
	if err != nil {
		return nil, err
	}
	raw["100 probes placed, ms"], raw["100 probes taken out, ms"], raw["round trips"] = attach, detach, trips
	result.Raw = raw
	result.Rows = append(result.Rows,
		trips.added("HTTP client: a round trip, observed", "cheap", "off", nil),
		trips.added("HTTP client: a round trip, traceparent inserted (base: observed)", "insert", "cheap", atMost(ofDifference, 5000)),
		row{What: "100 probes: placed in", Unit: "ms", Value: median(attach), Goal: atMost(ofValue, 1000)},
		row{What: "100 probes: taken out in", Unit: "ms", Value: median(detach), Goal: atMost(ofValue, 1000)},
	)
	return result, nil
}

var serverNames = map[string]string{"http": "HTTP server", "grpc": "gRPC server"}

// observedServer is a plain server that is saturated.
type observedServer struct {
	running *running
	load    *loading
	counts  *kernelMeasurement
	sink    *sink
}

// startObserved starts one, and its load. It is built without grpc's own traces: they bring text/template, which has the linker keep
// all methods, those of grpc's clients, too; and where the kernel is locked down, the peer refuses a program that has these.
func (b *bench) startObserved(kind string) (*observedServer, error) {
	plain, err := b.build("kernel", false, "-tags=grpcnotrace")
	if err != nil {
		return nil, err
	}
	calling, err := b.build("calling", false)
	if err != nil {
		return nil, err
	}
	s := &observedServer{}
	if s.running, err = b.start(pinned(serverCore, plain, kind), b.noAgent()); err != nil {
		return nil, err
	}
	counters, serves, _ := strings.Cut(s.running.line, " ")
	s.counts = &kernelMeasurement{counters: "http://" + counters + "/count"}
	if kind == "http" {
		s.load, err = b.startLoad("http://"+serves, "60m")
	} else {
		command := pinned(otherCore, calling, serves)
		s.load = &loading{exec.CommandContext(b.ctx, command[0], command[1:]...)}
		err = s.load.process.Start()
	}
	if err == nil {
		s.sink, err = b.startSink()
	}
	if err != nil {
		s.stop()
		return nil, err
	}
	time.Sleep(pick(b, time.Second, 300*time.Millisecond)) // until it is warm
	return s, nil
}

func (s *observedServer) stop() {
	s.running.stop()
	if s.load != nil && s.load.process.Process != nil {
		s.load.stop()
	}
	if s.sink != nil {
		s.sink.stop()
	}
}

// serverFigures is what was found of one server: CPU time of a request, ns, by how it is observed.
type serverFigures struct {
	All figures `json:"all"`
	// Those of the rounds that tools took part in.
	Beside figures          `json:"beside"`
	Told   map[string]*told `json:"told"`
	// With the kernel's counts on, while it is observed.
	Counted phase `json:"counted"`
}

// toolRounds: tools take part in one round of so many, since some take seconds to begin.
const toolRounds = 8

func (b *bench) observeServer(kind, observer string, tools []tool) (*serverFigures, error) {
	server, err := b.startObserved(kind)
	if err != nil {
		return nil, err
	}
	defer server.stop()
	probes, err := b.observe(observer, server.running.process.Process.Pid)
	if err != nil {
		return nil, err
	}
	defer probes.end()
	found := &serverFigures{All: figures{Unit: "ns", Rounds: map[string][]float64{}}, Beside: figures{Unit: "ns", Rounds: map[string][]float64{}}, Told: map[string]*told{}}
	for round := range pick(b, 40, 2) {
		taking := tools
		if round%pick(b, toolRounds, 2) != 0 {
			taking = nil
		}
		if err := b.observeRound(server, probes, taking, found); err != nil {
			return nil, err
		}
	}
	return found, b.countRuns(server, probes, &found.Counted)
}

// observeRound measures the server in each way, twice, in a new order.
func (b *bench) observeRound(server *observedServer, probes *observing, tools []tool, found *serverFigures) error {
	ways := map[string]tool{}
	cases := []string{"off", "off'", "cheap", "cheap'", "naive", "naive'"}
	for _, each := range tools {
		ways[each.name] = each
		cases = append(cases, each.name, each.name+"'")
		if found.Told[each.name] == nil {
			found.Told[each.name] = &told{}
		}
	}
	lasting := pick(b, 150*time.Millisecond, 50*time.Millisecond)
	for _, index := range rand.Perm(len(cases)) {
		name := cases[index]
		way := strings.TrimSuffix(name, "'")
		var each float64
		if chosen, is := ways[way]; is {
			_, err := probes.order("off")
			if err == nil {
				each, err = server.phase(b, chosen, 4*lasting, found.Told[way])
			}
			if err != nil {
				return err
			}
		} else {
			if _, err := probes.order(way); err != nil {
				return err
			}
			done, cpu, err := server.counts.phase(lasting)
			if err != nil {
				return err
			}
			each = cpu / done
		}
		found.All.Rounds[name] = append(found.All.Rounds[name], each)
		if len(tools) > 0 {
			found.Beside.Rounds[name] = append(found.Beside.Rounds[name], each)
		}
	}
	return nil
}

// countRuns has the kernel count how often the probes' programs run, and for how long.
func (b *bench) countRuns(server *observedServer, probes *observing, into *phase) error {
	if _, err := probes.order("cheap"); err != nil {
		return err
	}
	kernel := &probe{agent: probes.running.process.Process.Pid}
	return withStatistics(func(empty *emptyProgram) error {
		programs, nothing := kernel.programs(), empty.ran()
		done, cpu, err := server.counts.phase(pick(b, time.Second, 100*time.Millisecond))
		if err != nil {
			return err
		}
		into.add(kernel.programs(), programs, empty.ran().since(nothing))
		into.Done, into.CPU = done, cpu
		return nil
	})
}

func (f *serverFigures) rows(name string) []row {
	rows := []row{
		f.All.added(name+": CPU a request, observed", "cheap", "off", atMost(ofDifference, 5000)),
		f.All.added(name+": CPU a request, with naive probes", "naive", "off", nil),
		f.Beside.added(name+": CPU a request, by all of tandem attach", "attach", "off", nil),
	}
	runs, spent := 0.0, 0.0
	for program, ran := range f.Counted.Programs {
		runs, spent = runs+ran.Runs, spent+f.Counted.spent(program)
	}
	rows = append(rows,
		row{What: name + ": probes that are met, a request", Value: runs / f.Counted.Done},
		row{What: name + ": run time of their programs, a request", Unit: "ns", Value: spent / f.Counted.Done})
	peer, attach := f.Told["peer"], f.Told["attach"]
	if peer == nil {
		return rows
	}
	byPeer := f.Beside.added(name+": CPU a request, by "+peerName, "peer", "off", nil)
	if share := peer.Spans / peer.Requests; share < 0.5 {
		byPeer.Note = fmt.Sprintf("its probes take every request, but spans of %.2g %% arrive (why: bench/harness/peer.go)", 100*share)
	}
	return append(rows,
		byPeer,
		f.Beside.addedBeside(name+": what probes add, beside "+peerName, "cheap", "peer", "off", atMost(ofRatio, 0.1)),
		f.Beside.addedBeside(name+": what all of tandem attach adds, beside "+peerName, "attach", "peer", "off", atMost(ofRatio, 0.1)),
		row{What: name + ": CPU of tandem attach a request, beside that of " + peerName, Unit: "ns", Base: pointer(peer.CPU / peer.Measured), Value: attach.CPU / attach.Measured},
		row{What: name + ": spans that arrive for each request since it says that it observes, beside " + peerName, Base: pointer(peer.Spans / peer.Requests), Value: attach.Spans / attach.Requests})
}

// addedBeside compares what one way adds to `off` with what another one adds.
func (f *figures) addedBeside(what, name, other, off string, limit *goal) row {
	value, base, from := f.of(name), f.of(other), f.of(off)
	rounds := min(len(value.first), len(base.first), len(from.first))
	added := func(s series, chosen []int) float64 {
		pooled := func(s series) float64 { return fast(append(picked(s.first, chosen), picked(s.second, chosen)...)) }
		return pooled(s) - pooled(from)
	}
	all := rand.Perm(rounds)
	r := row{What: what, Unit: f.Unit, Base: pointer(added(base, all)), Value: added(value, all), Goal: limit}
	r.Noise = noise(rounds, func(chosen []int) float64 { return added(value, chosen) / added(base, chosen) })
	r.Control = pointer(value.control() / *r.Base)
	return r
}

// roundTrips is how long a request takes a client that is observed, and one into whose requests a header is inserted. Each
// phase has a connection of its own, since what is done to a connection is done for its life.
func (b *bench) roundTrips(observer string) (*figures, error) {
	plain, err := b.build("roundtrip", false)
	if err != nil {
		return nil, err
	}
	// Both on one processor: to wake another one takes longer, and differs more, than what is looked for.
	server, err := b.start(pinned(serverCore, plain, "server"), b.noAgent())
	if err != nil {
		return nil, err
	}
	defer server.stop()
	client, err := b.start(pinned(serverCore, plain, "client", server.line), b.noAgent())
	if err != nil {
		return nil, err
	}
	defer client.stop()
	probes, err := b.observe(observer, client.process.Process.Pid)
	if err != nil {
		return nil, err
	}
	defer probes.end()
	found := &figures{Unit: "ns", Rounds: map[string][]float64{}}
	cases := []string{"off", "off'", "cheap", "cheap'", "insert", "insert'"}
	for rounds := pick(b, 60, 2); rounds > 0; rounds-- {
		for _, index := range rand.Perm(len(cases)) {
			if _, err := probes.order(strings.TrimSuffix(cases[index], "'")); err != nil {
				return nil, err
			}
			answer, err := http.Get("http://" + client.line + "/phase?time=" + pick(b, "100ms", "20ms"))
			if err != nil {
				return nil, err
			}
			var count, took float64
			_, err = fmt.Fscan(answer.Body, &count, &took)
			answer.Body.Close()
			if err != nil || count == 0 {
				return nil, fmt.Errorf("the client made no requests: %v, %s", err, client.errors)
			}
			found.Rounds[cases[index]] = append(found.Rounds[cases[index]], took/count)
		}
	}
	return found, nil
}
