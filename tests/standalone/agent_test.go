package standalone

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"sort"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	collectorlogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// receiver keeps all spans and log records that it is sent.
type receiver struct {
	*httptest.Server
	lock    sync.Mutex
	spans   collector.ExportTraceServiceRequest
	logs    collectorlogs.ExportLogsServiceRequest
	posts   []*http.Request
	failure error
}

func newReceiver(t *testing.T) *receiver {
	r := new(receiver)
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, failure := io.ReadAll(request.Body)
	isJSON := request.Header.Get("Content-Type") == "application/json"
	r.lock.Lock()
	defer r.lock.Unlock()
	r.posts = append(r.posts, request)
	options := proto.UnmarshalOptions{Merge: true}
	switch {
	case failure != nil:
	case strings.HasSuffix(request.URL.Path, "traces"):
		if isJSON {
			decoded := ptraceotlp.NewExportRequest()
			if failure = decoded.UnmarshalJSON(body); failure == nil {
				body, failure = decoded.MarshalProto()
			}
		}
		if failure == nil {
			failure = options.Unmarshal(body, &r.spans)
		}
	case strings.HasSuffix(request.URL.Path, "logs"):
		if isJSON {
			decoded := plogotlp.NewExportRequest()
			if failure = decoded.UnmarshalJSON(body); failure == nil {
				body, failure = decoded.MarshalProto()
			}
		}
		if failure == nil {
			failure = options.Unmarshal(body, &r.logs)
		}
	}
	if failure != nil {
		r.failure = failure
		w.WriteHeader(http.StatusBadRequest)
	}
}

// given says whether a time is one that a program made up, and not that of the run.
func given(time uint64) uint64 {
	if time < 1_750_000_000_000_000_000 {
		return time
	}
	return 0
}

var ports = regexp.MustCompile(`(127\.0\.0\.1|\[::1\]):\d+`)

// values are attributes but for what differs from run to run.
func values(list []*common.KeyValue) map[string]string {
	all := map[string]string{}
	for _, pair := range list {
		text := ports.ReplaceAllString(fmt.Sprint(pair.Value), "$1:port")
		switch {
		case pair.Key == "exception.stacktrace" || pair.Key == "code.stacktrace" || pair.Key == "process.pid" || strings.HasPrefix(pair.Key, "tandem.anatomy."):
			text = fmt.Sprintf("%T", pair.Value.Value)
		case strings.HasSuffix(pair.Key, ".port"):
			text = "port"
		}
		all[pair.Key] = strings.ReplaceAll(text, "\u00a0", " ") // protobuf's texts have either
	}
	return all
}

// shapes are what was received but for ids, times and ports, in an order that does not depend on when what came.
func (r *receiver) shapes(t *testing.T) (spans, logs []string) {
	t.Helper()
	r.lock.Lock()
	defer r.lock.Unlock()
	if r.failure != nil {
		t.Errorf("a request was not OTLP: %v", r.failure)
	}
	known := map[string]*trace.Span{}
	for _, resource := range r.spans.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, span := range scope.Spans {
				if known[string(span.SpanId)] != nil {
					t.Errorf("%s was sent twice", span.Name)
				}
				known[string(span.SpanId)] = span
			}
		}
	}
	name := func(id []byte) string {
		if span := known[string(id)]; span != nil {
			return span.Name
		}
		return fmt.Sprintf("%x", id)
	}
	shape := func(parts ...any) string {
		text, failure := json.Marshal(parts)
		if failure != nil {
			t.Fatal(failure)
		}
		return string(text)
	}
	for _, resource := range r.spans.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, span := range scope.Spans {
				var events, links []string
				for _, event := range span.Events {
					events = append(events, shape(event.Name, given(event.TimeUnixNano), values(event.Attributes), event.DroppedAttributesCount))
				}
				for _, link := range span.Links {
					links = append(links, shape(name(link.SpanId), link.TraceState, link.Flags, values(link.Attributes), link.DroppedAttributesCount))
				}
				spans = append(spans, shape(span.Name, span.Kind, scope.Scope.Name, scope.Scope.Version, scope.SchemaUrl, name(span.ParentSpanId), span.Flags,
					span.TraceState, given(span.StartTimeUnixNano), given(span.EndTimeUnixNano), values(span.Attributes), events, links,
					span.Status.GetCode(), span.Status.GetMessage(), span.DroppedAttributesCount, span.DroppedEventsCount, span.DroppedLinksCount))
			}
		}
	}
	for _, resource := range r.logs.ResourceLogs {
		for _, scope := range resource.ScopeLogs {
			for _, record := range scope.LogRecords {
				logs = append(logs, shape(record.Body.GetStringValue(), record.SeverityNumber, record.SeverityText, scope.Scope.Name, scope.Scope.Version,
					given(record.TimeUnixNano), name(record.SpanId), len(record.TraceId), record.Flags, values(record.Attributes), record.DroppedAttributesCount))
			}
		}
	}
	sort.Strings(spans)
	sort.Strings(logs)
	return spans, logs
}

// The same program with an agent and by itself, as protobuf and as JSON: whoever receives it cannot tell. The programs are those
// of packs: one that makes all that OpenTelemetry's API can make, two that log in all ways.
func TestLikeAnAgent(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("agents are for Linux")
	}
	for _, pack := range []struct {
		name        string
		spans, logs int // at least
	}{{"otel", 30, 0}, {"log-slog", 2, 15}, {"zap", 2, 10}} {
		t.Run(pack.name, func(t *testing.T) { // not in parallel: an agent takes any program that it finds
			folder := t.TempDir()
			program := filepath.Join(folder, "program")
			if output, failure := weave(filepath.Join("../../packs", pack.name, "program"), "-o", program, ".").CombinedOutput(); failure != nil || len(output) > 0 {
				t.Fatalf("%v\n%s", failure, output)
			}
			run := func(environment []string, words ...string) (spans, logs []string) {
				t.Helper()
				r := newReceiver(t)
				command := exec.Command(words[0], words[1:]...)
				command.Env = append(os.Environ(), "OTEL_EXPORTER_OTLP_ENDPOINT="+r.URL, "OTEL_LOGS_EXPORTER=otlp")
				command.Env = append(command.Env, environment...)
				var said strings.Builder
				command.Stderr = &said
				if failure := command.Run(); failure != nil {
					t.Fatalf("%v\n%s", failure, said.String())
				}
				if strings.Contains(said.String(), "lost") {
					t.Error(said.String())
				}
				return r.shapes(t)
			}
			agent := []string{"OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", "OTEL_METRICS_EXPORTER=none", "TANDEM_STORE=" + filepath.Join(folder, "store")}
			spans, logs := run(agent, tandem(), "run", "--no-ui", "--no-kernel", "--", program)
			if len(spans) < pack.spans || len(logs) < pack.logs {
				t.Errorf("%d spans and %d log records came from the agent", len(spans), len(logs))
			}
			for _, protocol := range []string{"http/protobuf", "http/json"} {
				ownSpans, ownLogs := run([]string{"OTEL_EXPORTER_OTLP_PROTOCOL=" + protocol, "TANDEM_SOCKET=/nonexistent/agent.sock"}, program)
				same(t, protocol+": spans", ownSpans, spans)
				same(t, protocol+": log records", ownLogs, logs)
			}
		})
	}
}

// same compares what was received in two ways.
func same(t *testing.T, what string, found, expected []string) {
	t.Helper()
	counts := map[string]int{}
	for _, one := range found {
		counts[one]++
	}
	for _, one := range expected {
		counts[one]--
	}
	for one, count := range counts {
		if count > 0 {
			t.Errorf("%s: %d came only without an agent: %.3000s", what, count, one)
		} else if count < 0 {
			t.Errorf("%s: %d came only from the agent: %.3000s", what, -count, one)
		}
	}
}

// count is how many spans and log records came.
func (r *receiver) count(t *testing.T) string {
	t.Helper()
	spans, logs := r.shapes(t)
	return fmt.Sprintf("%d spans, %d logs", len(spans), len(logs))
}

// Log records go where they are asked for, and only then, with or without spans.
func TestLogs(t *testing.T) {
	for _, protocol := range []string{"http/protobuf", "http/json"} {
		t.Run("alone as "+protocol, func(t *testing.T) {
			t.Parallel()
			r := newReceiver(t)
			left := begin(t, []string{
				"OTEL_LOGS_EXPORTER=console,otlp", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=" + r.URL + "/own/logs", "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL=" + protocol,
				"OTEL_EXPORTER_OTLP_HEADERS=x-one=1", "OTEL_EXPORTER_OTLP_LOGS_HEADERS=x-two=2", "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE=15",
			}, "program", "logs", "2").end(t)
			if found := r.count(t); found != "0 spans, 40 logs" || left.stderr != "" {
				t.Errorf("%s %+v", found, left)
			}
			post := r.posts[0]
			if len(r.posts) < 3 || post.URL.Path != "/own/logs" || post.Header.Get("X-One") != "1" || post.Header.Get("X-Two") != "2" {
				t.Errorf("%d posts, %v %v", len(r.posts), post.URL, post.Header)
			}
		})
	}
	for _, ask := range []struct{ variables, found string }{
		{"", "4 spans, 0 logs"},
		{"OTEL_LOGS_EXPORTER=none", "4 spans, 0 logs"},
		{"OTEL_LOGS_EXPORTER=otlp", "4 spans, 40 logs"},
		{"OTEL_LOGS_EXPORTER=otlp OTEL_TRACES_EXPORTER=none", "0 spans, 40 logs"},
		{"OTEL_LOGS_EXPORTER=otlp OTEL_SDK_DISABLED=true", "0 spans, 0 logs"},
	} {
		t.Run("asked by "+ask.variables, func(t *testing.T) {
			t.Parallel()
			r := newReceiver(t)
			left := begin(t, append(strings.Fields(ask.variables), "OTEL_EXPORTER_OTLP_ENDPOINT="+r.URL), "program", "logs", "2").end(t)
			if found := r.count(t); found != ask.found || left.stderr != "" {
				t.Errorf("%s %+v", found, left)
			}
		})
	}
}

// Log records that nobody takes keep no span from being sent, and are counted by themselves.
func TestNobodyTakesLogs(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	listener, failure := net.Listen("tcp", "127.0.0.1:0") // whose connections nobody accepts
	if failure != nil {
		t.Fatal(failure)
	}
	defer listener.Close()
	left := begin(t, []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + r.URL, "OTEL_LOGS_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=http://" + listener.Addr().String(),
		"OTEL_EXPORTER_OTLP_LOGS_TIMEOUT=300", "OTEL_BLRP_MAX_QUEUE_SIZE=10",
	}, "program", "logs", "100").end(t)
	if found := r.count(t); found != "200 spans, 0 logs" || !strings.HasPrefix(left.stderr, "tandem: 2000 log records were lost: ") || strings.Count(left.stderr, "\n") != 1 {
		t.Errorf("%s %+v", found, left)
	}
}
