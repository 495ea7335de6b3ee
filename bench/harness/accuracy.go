package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// accuracyPart: whether spans hang where they belong. Each operation of the programs carries the number of its request, so
// every span says itself whose child it must be. A span that is missing counts as one with a wrong parent, and so does a
// second one for the same operation.
func accuracyPart(b *bench) (*outcome, error) {
	result := &outcome{}
	raw := map[string]*accuracy{}
	for _, way := range accuracyWays {
		for _, at := range accuracyLoads {
			found, err := b.accuracy(way, at)
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", way.name, at.name, err)
			}
			name := way.name + ", " + at.name
			raw[name] = found
			result.Rows = append(result.Rows, found.rows(name, way.limit)...)
		}
	}
	result.Raw = raw
	return result, nil
}

// accuracyWay is which programs are woven.
type accuracyWay struct {
	name           string
	front, backend bool
	limit          float64 // wrong ones among 10,000
}

var accuracyWays = []accuracyWay{
	{name: "woven", front: true, backend: true, limit: 1},
	{name: "mixed, front woven", front: true, limit: 100},
	{name: "mixed, backend woven", backend: true, limit: 100},
	{name: "eBPF only", limit: 300},
}

// accuracyLoad is how requests are made.
type accuracyLoad struct {
	name                   string
	connections, pipelined int
	share                  float64 // of the full number of requests
}

var accuracyLoads = []accuracyLoad{
	{name: "1 at once", connections: 1, pipelined: 1, share: 0.2},
	{name: "50 at once", connections: 50, pipelined: 1, share: 1},
	{name: "200 at once", connections: 200, pipelined: 1, share: 1},
	{name: "500 at once", connections: 500, pipelined: 1, share: 1},
	{name: "50 connections, four requests sent at once", connections: 50, pipelined: 4, share: 1},
}

// operation is one thing that a program does once.
type operation struct {
	service, kind, what string
	request             int
}

// Whose child each operation must be; the front's own span is a root.
var accuracyParents = map[[3]string][3]string{
	{"front", "server", "work"}:     {},
	{"front", "client", "direct"}:   {"front", "server", "work"},
	{"front", "client", "child"}:    {"front", "server", "work"},
	{"front", "client", "pool"}:     {"front", "server", "work"},
	{"front", "client", "query"}:    {"front", "server", "work"},
	{"front", "client", "call"}:     {"front", "server", "work"},
	{"backend", "server", "direct"}: {"front", "client", "direct"},
	{"backend", "server", "child"}:  {"front", "client", "child"},
	{"backend", "server", "pool"}:   {"front", "client", "pool"},
	{"backend", "server", "call"}:   {"front", "client", "call"},
}

func (o operation) shape() [3]string { return [3]string{o.service, o.kind, o.what} }

// jsonSpan is what is read of a line that the agent writes.
type jsonSpan struct {
	Trace      string         `json:"trace_id"`
	ID         string         `json:"span_id"`
	Parent     string         `json:"parent_span_id"`
	Name       string         `json:"name"`
	Kind       string         `json:"kind"`
	Service    string         `json:"service"`
	Attributes map[string]any `json:"attributes"`
}

var queryRequest = regexp.MustCompile(`request_(\d+)`)
var callRequest = regexp.MustCompile(`\bRequest(\d+)\b`)

// operation is what a span is of; false: nothing that was asked for.
func (s *jsonSpan) operation() (operation, bool) {
	text := func(key string) string { value, _ := s.Attributes[key].(string); return value }
	found := operation{service: s.Service, kind: strings.ToLower(s.Kind)}
	numbered := func(number, what string) (operation, bool) {
		request, err := strconv.Atoi(number)
		found.request, found.what = request, what
		return found, err == nil
	}
	if parts := queryRequest.FindStringSubmatch(text("db.query.text")); parts != nil {
		return numbered(parts[1], "query")
	}
	if parts := callRequest.FindStringSubmatch(text("rpc.method") + " " + s.Name); parts != nil {
		return numbered(parts[1], "call")
	}
	query := text("url.query")
	if full, err := url.Parse(text("url.full")); query == "" && err == nil {
		query = full.RawQuery
	}
	values, err := url.ParseQuery(query)
	if err != nil || !values.Has("id") {
		return found, false
	}
	what := values.Get("how")
	if what == "" {
		what = "work"
	}
	return numbered(values.Get("id"), what)
}

// accuracy is what was found of so many requests.
type accuracy struct {
	Requests int            `json:"requests"`
	Expected int            `json:"expected"`
	Right    int            `json:"right"`
	Lost     int            `json:"lost"`
	Double   int            `json:"double"`
	Wrong    int            `json:"wrong"`          // another parent than the true one
	Strange  int            `json:"strange"`        // spans of nothing that was asked for
	Of       map[string]int `json:"wrong_or_lost"`  // by operation
	Examples []string       `json:"examples"`       // of what was wrong
	Said     string         `json:"said,omitempty"` // by the agent, at its end
}

func (a *accuracy) rows(name string, limit float64) []row {
	share := func(count int) float64 { return float64(count) * 10_000 / float64(a.Expected) }
	return []row{
		{What: name + ": wrong, lost or double, of 10,000 spans", Value: share(a.Expected - a.Right + a.Double), Goal: atMost(ofValue, limit)},
		{What: name + ": precision, %", Value: 100 * float64(a.Right) / float64(max(1, a.Right+a.Wrong+a.Double))},
		{What: name + ": recall, %", Value: 100 * float64(a.Right) / float64(a.Expected)},
		{What: name + ": lost, of 10,000", Value: share(a.Lost)},
		{What: name + ": double, of 10,000", Value: share(a.Double)},
		{What: name + ": HTTP, recall, %", Value: a.recall("work", "direct", "child", "pool")},
		{What: name + ": database/sql, recall, %", Value: a.recall("query")},
		{What: name + ": gRPC, recall, %", Value: a.recall("call")},
	}
}

// recall is the share of right ones among the operations of these kinds.
func (a *accuracy) recall(whats ...string) float64 {
	expected, missed := 0, 0
	for shape := range accuracyParents {
		if slices.Contains(whats, shape[2]) {
			expected += a.Requests
			missed += a.Of[strings.Join(shape[:], " ")]
		}
	}
	return 100 * float64(expected-missed) / float64(expected)
}

// accuracy runs the programs once and compares what was recorded of them with what they did.
func (b *bench) accuracy(way accuracyWay, at accuracyLoad) (*accuracy, error) {
	requests := int(float64(pick(b, 5000, 200)) * at.share)
	folder, err := os.MkdirTemp(b.work, "accuracy")
	if err != nil {
		return nil, err
	}
	binary := map[bool]string{}
	for _, woven := range []bool{way.front, way.backend} {
		if binary[woven], err = b.build("accuracy", woven); err != nil {
			return nil, err
		}
	}
	generator, err := b.build("accuracy", false, "-tags=generator") // under a name that is not observed
	if err != nil {
		return nil, err
	}
	socket, lines := filepath.Join(folder, "agent.sock"), filepath.Join(folder, "spans.json")
	arguments := []string{"--json=" + lines, "--store", filepath.Join(folder, "store")}
	metrics, programs := "", 0 // where the agent says how many programs it observes, and how many there will be
	if plain := binary[false]; plain != "" {
		if metrics, err = freeAddress(); err != nil {
			return nil, err
		}
		arguments = append(arguments, "--observe", plain, "--metrics", metrics)
		for _, woven := range []bool{way.front, way.backend} {
			if !woven {
				programs++
			}
		}
	}
	agent, err := b.startAgent(socket, arguments...)
	if err != nil {
		return nil, err
	}
	defer agent.stop()
	environment := func(service string) []string {
		return []string{"TANDEM_SOCKET=" + socket, "OTEL_SERVICE_NAME=" + service, "OTEL_TRACES_EXPORTER=none", "OTEL_METRICS_EXPORTER=none"}
	}
	backend, err := b.start([]string{binary[way.backend], "backend", strconv.Itoa(requests)}, environment("backend")...)
	if err != nil {
		return nil, err
	}
	defer backend.stop()
	front, err := b.start(append([]string{binary[way.front], "front"}, strings.Fields(backend.line)...), environment("front")...)
	if err != nil {
		return nil, err
	}
	defer front.stop()
	ask := func(first, count int, at accuracyLoad) error {
		load, err := b.start([]string{generator, "load", front.line, strconv.Itoa(first), strconv.Itoa(count), strconv.Itoa(at.connections), strconv.Itoa(at.pipelined)}, b.noAgent())
		if err != nil {
			return err
		}
		if err := load.finish(); err != nil {
			return err
		}
		if load.line != strconv.Itoa(count) {
			return fmt.Errorf("%s of %d requests were answered", load.line, count)
		}
		return nil
	}
	// Until both are observed, by probes and on their sockets, other requests are made again and again. Those of gRPC begin
	// afterwards: what they say of a connection of HTTP/2 can be followed, and a header be inserted, from its beginning only.
	for deadline := time.Now().Add(time.Minute); ; {
		answer, err := http.Get("http://" + front.line + "/warm")
		if err != nil {
			return nil, err
		}
		answer.Body.Close()
		time.Sleep(500 * time.Millisecond)
		if text, err := os.ReadFile(lines); err == nil && bytes.Contains(text, []byte(`"service":"front"`)) && bytes.Contains(text, []byte(`"service":"backend"`)) && observed(metrics) >= programs {
			break
		}
		if time.Now().After(deadline) {
			agent.stop()
			return nil, errors.New("the programs are not observed: " + agent.errors.String())
		}
	}
	if err := ask(0, requests, at); err != nil {
		return nil, err
	}
	// Until connections that nobody told to end are given up, and the agent has written what it has.
	for written := int64(-1); ; {
		file, err := os.Stat(lines)
		if err != nil || file.Size() == written {
			break
		}
		written = file.Size()
		time.Sleep(pick(b, 3*time.Second, time.Second))
	}
	front.stop()
	backend.stop()
	agent.stop()
	spans, err := readSpans(lines)
	if err != nil {
		return nil, err
	}
	found := compare(spans, requests)
	found.Said = agent.errors.String()
	return found, nil
}

// freeAddress is an address at which nobody listens.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}

// observed is how many programs an agent observes, in every way in which it does; 0 while it has still to begin with one.
func observed(metrics string) int {
	answer, err := http.Get("http://" + metrics + "/metrics")
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	programs := 0
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if value, found := strings.CutPrefix(lines.Text(), "tandem_observed_programs "); found {
			programs, _ = strconv.Atoi(value)
		}
		if value, found := strings.CutPrefix(lines.Text(), "tandem_observers_busy "); found && value != "0" {
			return 0
		}
	}
	return programs
}

// startAgent starts an agent of its own and waits until it listens.
func (b *bench) startAgent(socket string, arguments ...string) (*running, error) {
	command := append([]string{b.tandem, "agent", "--socket", socket, "--no-ui"}, arguments...)
	agent, err := b.launch(command, "OTEL_TRACES_EXPORTER=none", "OTEL_METRICS_EXPORTER=none")
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(socket); err == nil {
			return agent, nil
		}
		if time.Now().After(deadline) {
			agent.stop()
			return nil, errors.New("the agent does not listen: " + agent.errors.String())
		}
	}
}

func readSpans(path string) ([]jsonSpan, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var spans []jsonSpan
	lines := bufio.NewReader(file)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) == 0 || err != nil {
			return spans, nil // a line that was not finished is none
		}
		var span jsonSpan
		if err := json.Unmarshal(line, &span); err != nil {
			return nil, err
		}
		spans = append(spans, span)
	}
}

// compare holds spans against what so many requests have done.
func compare(spans []jsonSpan, requests int) *accuracy {
	found := &accuracy{Requests: requests, Expected: requests * len(accuracyParents), Of: map[string]int{}}
	made := map[operation]*jsonSpan{}
	byID := map[string]*jsonSpan{}
	for index := range spans {
		span := &spans[index]
		byID[span.Trace+span.ID] = span
		what, known := span.operation()
		if _, expected := accuracyParents[what.shape()]; !known || !expected || what.request >= requests {
			found.Strange++
			continue
		}
		if made[what] != nil {
			found.Double++
			continue
		}
		made[what] = span
	}
	for request := range requests {
		for shape, parent := range accuracyParents {
			span := made[operation{shape[0], shape[1], shape[2], request}]
			switch {
			case span == nil:
				found.Lost++
			case isChild(span, made, parent, request):
				found.Right++
				continue
			default:
				found.Wrong++
			}
			found.Of[strings.Join(shape[:], " ")]++
			if len(found.Examples) < 20 {
				found.Examples = append(found.Examples, describe(span, byID, shape, request))
			}
		}
	}
	return found
}

func isChild(span *jsonSpan, made map[operation]*jsonSpan, parent [3]string, request int) bool {
	if parent == ([3]string{}) {
		return span.Parent == ""
	}
	actual := made[operation{parent[0], parent[1], parent[2], request}]
	return actual != nil && span.Trace == actual.Trace && span.Parent == actual.ID
}

func describe(span *jsonSpan, byID map[string]*jsonSpan, shape [3]string, request int) string {
	name := fmt.Sprintf("%s of request %d", strings.Join(shape[:], " "), request)
	switch {
	case span == nil:
		return name + " is missing"
	case span.Parent == "":
		return name + " is a root"
	case byID[span.Trace+span.Parent] == nil:
		return name + " has a parent that nobody recorded"
	}
	parent, _ := byID[span.Trace+span.Parent].operation()
	return fmt.Sprintf("%s has %s of request %d as its parent", name, strings.Join([]string{parent.service, parent.kind, parent.what}, " "), parent.request)
}
