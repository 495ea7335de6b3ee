package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// receivePart: the same spans are sent by OTLP over HTTP to an agent and to an OpenTelemetry Collector without processors, each of
// which sends them on to the same sink, packed by nobody; in turns, each in a process of its own on one core. What is compared is the
// CPU time of all that brings a span from one socket to the other; the agent's store, which the Collector has no match for, is
// told apart.
func receivePart(b *bench) (*outcome, error) {
	collector, err := b.buildCollector()
	if err != nil {
		return nil, err
	}
	sink, err := b.startSink()
	if err != nil {
		return nil, err
	}
	defer sink.stop()
	requests := pick(b, 3000, 100)
	ways := map[string]func() (*receiver, error){
		"tandem":    func() (*receiver, error) { return b.receivingAgent(sink) },
		"collector": func() (*receiver, error) { return b.receivingCollector(collector, sink) },
	}
	raw := map[string][]received{}
	for round := pick(b, 6, 1); round > 0; round-- {
		names := []string{"tandem", "collector"}
		rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		for _, name := range names {
			got, err := b.receive(ways[name], sink, requests)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			raw[name] = append(raw[name], *got)
		}
	}
	return &outcome{Raw: raw, Rows: receiveRows(raw)}, nil
}

const (
	spansPerRequest = 200
	senders         = 4
)

// received is what one life of a receiver took.
type received struct {
	Spans   float64            `json:"spans"`
	CPU     float64            `json:"cpu_ns"`
	Threads map[string]float64 `json:"threads_ns"`
	Seconds float64            `json:"seconds"`
	Again   int64              `json:"told_to_come_again"`
}

func receiveRows(raw map[string][]received) []row {
	each := func(name string, cpu func(received) float64) (values []float64) {
		for _, got := range raw[name] {
			values = append(values, cpu(got)/got.Spans/1000)
		}
		return values
	}
	all := func(got received) float64 { return got.CPU }
	way := func(got received) float64 { return got.CPU - got.Threads["tandem-store"] }
	compare := func(what string, cpu func(received) float64, limit *goal) row {
		base, value := each("collector", all), each("tandem", cpu)
		even, odd := halves(base)
		evenOwn, oddOwn := halves(value)
		r := row{What: what, Unit: "µs", Base: pointer(median(base)), Value: median(value), Goal: limit}
		r.Noise = (interval(value) + interval(base)*median(value)/median(base)) / median(base)
		if len(odd) > 0 && len(oddOwn) > 0 {
			r.Control = pointer(median(oddOwn)/median(odd) - median(evenOwn)/median(even))
		}
		return r
	}
	return []row{
		compare("each span, OTLP in to OTLP out, beside the OpenTelemetry Collector", way, atMost(ofRatio, 0.2)),
		compare("the same with the store", all, nil),
	}
}

// receiver takes OTLP at an address.
type receiver struct {
	address string
	process *exec.Cmd
	said    *tail
}

func (r *receiver) stop() {
	r.process.Process.Signal(os.Interrupt)
	r.process.Wait()
}

func (b *bench) receivingAgent(sink *sink) (*receiver, error) {
	store := filepath.Join(b.work, "receive-store")
	os.RemoveAll(store)
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	command := pinned(serverCore, b.tandem, "agent", "--no-ui", "--no-kernel", "--store", store,
		"--socket", filepath.Join(b.work, "receive.sock"), "--otlp="+address)
	return b.receiver(address, command, sink.environment())
}

func (b *bench) receivingCollector(binary string, sink *sink) (*receiver, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	configuration := filepath.Join(b.work, "collector.yaml")
	text := fmt.Sprintf(`receivers: {otlp: {protocols: {http: {endpoint: %q}}}}
exporters: {otlp_http: {endpoint: %q, compression: none}}
service: {pipelines: {traces: {receivers: [otlp], exporters: [otlp_http]}}}
`, address, sink.url)
	if err := os.WriteFile(configuration, []byte(text), 0o644); err != nil {
		return nil, err
	}
	return b.receiver(address, pinned(serverCore, binary, configuration), []string{"GOMAXPROCS=1"})
}

func (b *bench) receiver(address string, command, environment []string) (*receiver, error) {
	r := &receiver{address: address, process: exec.CommandContext(b.ctx, command[0], command[1:]...), said: &tail{}}
	r.process.Env = append(os.Environ(), environment...)
	r.process.Stderr = r.said
	if err := r.process.Start(); err != nil {
		return nil, err
	}
	for begun := time.Now(); time.Since(begun) < 30*time.Second; time.Sleep(20 * time.Millisecond) {
		if connection, err := net.Dial("tcp", address); err == nil {
			connection.Close()
			return r, nil
		}
	}
	r.stop()
	return nil, fmt.Errorf("nobody listens at %s\n%s", address, r.said)
}

// receive sends requests as fast as they are taken, and waits until the sink has all their spans.
func (b *bench) receive(start func() (*receiver, error), sink *sink, requests int) (*received, error) {
	r, err := start()
	if err != nil {
		return nil, err
	}
	defer r.stop()
	if _, err := b.send(r.address, pick(b, 100, 10), 1); err != nil { // what is made once is made now
		return nil, err
	}
	arrived := func(want int64) error {
		for begun := time.Now(); sink.spans() < want; time.Sleep(5 * time.Millisecond) {
			if time.Since(begun) > time.Minute {
				return fmt.Errorf("%d spans of %d arrived\n%s", sink.spans(), want, r.said)
			}
		}
		return nil
	}
	time.Sleep(300 * time.Millisecond)
	pid := r.process.Process.Pid
	first, begun := sink.spans(), time.Now()
	before, threadsBefore := processCPU(pid), threadsCPU(pid)
	again, err := b.send(r.address, requests, 1)
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, r.said)
	}
	if err := arrived(first + int64(requests*spansPerRequest)); err != nil {
		return nil, err
	}
	got := &received{Spans: float64(requests * spansPerRequest), Seconds: time.Since(begun).Seconds(), Again: again}
	got.CPU, got.Threads = float64(processCPU(pid)-before), threadsCPU(pid)
	for name, spent := range threadsBefore {
		got.Threads[name] -= spent
	}
	return got, nil
}

// send sends so many requests over a few connections, their spans in traces of so many. Who is told to come again does.
func (b *bench) send(address string, requests, perTrace int) (again int64, err error) {
	ctx, cancel := context.WithCancelCause(b.ctx)
	defer cancel(nil)
	var left, told atomic.Int64
	left.Store(int64(requests))
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: senders, DisableCompression: true}}
	defer client.CloseIdleConnections()
	var group sync.WaitGroup
	for range senders {
		group.Add(1)
		go func() {
			defer group.Done()
			message, ids := spansToSend(perTrace)
			for left.Add(-1) >= 0 && ctx.Err() == nil {
				for _, places := range ids {
					id := rand.Uint64()
					for _, place := range places {
						binary.LittleEndian.PutUint64(message[place:], id)
					}
				}
				for {
					status, err := post(ctx, client, address, message)
					if err != nil {
						cancel(err)
						return
					}
					if status == http.StatusOK {
						break
					}
					if status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable {
						cancel(fmt.Errorf("the answer is %d", status))
						return
					}
					told.Add(1)
					time.Sleep(5 * time.Millisecond)
				}
			}
		}()
	}
	group.Wait()
	return told.Load(), context.Cause(ctx)
}

func post(ctx context.Context, client *http.Client, address string, message []byte) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/v1/traces", bytes.NewReader(message))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", "application/x-protobuf")
	answer, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, nil
}

// spansToSend is a request with spans like those of an HTTP server, ten attributes each, and where ids stand in it that shall be
// others each time: each list is of places of the same id.
func spansToSend(perTrace int) (message []byte, ids [][]int) {
	attributes := func(pairs ...string) (out []byte) {
		for pair := 0; pair < len(pairs); pair += 2 {
			keyValue := append(lengthened(0x0a, []byte(pairs[pair])), lengthened(0x12, lengthened(0x0a, []byte(pairs[pair+1])))...)
			out = append(out, lengthened(0x4a, keyValue)...)
		}
		return out
	}
	now := uint64(time.Now().UnixNano())
	var spans []byte
	for index := range spansPerRequest {
		span := append(lengthened(0x0a, bytes.Repeat([]byte{1}, 16)), lengthened(0x12, bytes.Repeat([]byte{2}, 8))...)
		if index%4 != 0 {
			span = append(span, lengthened(0x22, bytes.Repeat([]byte{3}, 8))...)
		}
		span = append(span, lengthened(0x2a, []byte("GET /items/{id}"))...)
		span = append(span, 0x30, 2, 0x39)
		span = binary.LittleEndian.AppendUint64(span, now)
		span = binary.LittleEndian.AppendUint64(append(span, 0x41), now+uint64(1e6+rand.Intn(1e6)))
		span = append(span, attributes("http.request.method", "GET", "http.route", "/items/{id}", "url.path", "/items/4711", "url.scheme", "http",
			"http.response.status_code", "200", "server.address", "shop.example.com", "server.port", "8080", "client.address", "192.0.2.17",
			"network.protocol.version", "1.1", "user_agent.original", "Mozilla/5.0 (X11; Linux x86_64)")...)
		spans = append(spans, lengthened(0x12, span)...)
	}
	scope := append(lengthened(0x0a, lengthened(0x0a, []byte("net/http"))), spans...)
	service := append(lengthened(0x0a, []byte("service.name")), lengthened(0x12, lengthened(0x0a, []byte("bench")))...)
	group := append(lengthened(0x0a, lengthened(0x0a, service)), lengthened(0x12, scope)...)
	message = lengthened(0x0a, group)
	for _, id := range []struct {
		mark  string
		alike int
	}{{"\x0a\x10" + strings.Repeat("\x01", 16), perTrace}, {"\x12\x08" + strings.Repeat("\x02", 8), 1}} {
		at := 0
		for count := 0; ; count++ {
			found := bytes.Index(message[at:], []byte(id.mark))
			if found < 0 {
				break
			}
			at += found + len(id.mark)
			if count%id.alike == 0 {
				ids = append(ids, nil)
			}
			ids[len(ids)-1] = append(ids[len(ids)-1], at-8)
		}
	}
	return message, ids
}

// lengthened is a field of a protobuf message.
func lengthened(tag byte, bytes []byte) []byte {
	return append(binary.AppendUvarint([]byte{tag}, uint64(len(bytes))), bytes...)
}

// buildCollector builds bench/collector.
func (b *bench) buildCollector() (string, error) {
	binary, err := filepath.Abs(b.raw(filepath.Join("bin", "collector")))
	if err != nil {
		return "", err
	}
	build := exec.CommandContext(b.ctx, "go", "build", "-o", binary, ".")
	build.Dir = filepath.Join(b.folder, "collector")
	if output, err := build.CombinedOutput(); err != nil {
		return "", errSkipped{fmt.Sprintf("the Collector cannot be built here: %s", lastLine(output))}
	}
	return binary, nil
}

func lastLine(output []byte) string {
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	return lines[len(lines)-1]
}
