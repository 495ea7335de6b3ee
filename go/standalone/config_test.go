package standalone

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func environment(pairs ...string) func(string) string {
	return func(name string) string {
		for at := 0; at < len(pairs); at += 2 {
			if pairs[at] == name {
				return pairs[at+1]
			}
		}
		return ""
	}
}

const (
	general   = "OTEL_EXPORTER_OTLP_ENDPOINT"
	forTraces = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	protocol  = "OTEL_EXPORTER_OTLP_PROTOCOL"
)

// Where spans go, and to which address one connects for it.
func TestAddresses(t *testing.T) {
	for _, is := range []struct {
		variables []string
		url       string
		address   string
	}{
		{[]string{general, "http://c:4318"}, "http://c:4318/v1/traces", "c:4318"},
		{[]string{general, "https://c/base/"}, "https://c/base/v1/traces", "c:443"},
		{[]string{general, "http://c", forTraces, "http://t/x?y=1"}, "http://t/x?y=1", "t:80"},
		{[]string{forTraces, "http://t"}, "http://t/", "t:80"},
		{[]string{general, " c:9 "}, "http://c:9/v1/traces", "c:9"},
		{[]string{general, "http://[::1]:4318"}, "http://[::1]:4318/v1/traces", "[::1]:4318"},
		// gRPC is not spoken: its usual port becomes that of HTTP, any other stays.
		{[]string{general, "http://c:4317"}, "http://c:4318/v1/traces", "c:4318"},
		{[]string{general, "http://c:4317", protocol, "http/protobuf"}, "http://c:4317/v1/traces", "c:4317"},
		{[]string{general, "https://c:443", protocol, "grpc"}, "https://c:443/v1/traces", "c:443"},
		{[]string{general, "c:9", protocol, "grpc"}, "https://c:9/v1/traces", "c:9"},
		{[]string{forTraces, "http://c:4317", protocol, "grpc"}, "http://c:4318/v1/traces", "c:4318"},
		{[]string{general, "c:9", protocol, "grpc", "OTEL_EXPORTER_OTLP_INSECURE", "true"}, "http://c:9/v1/traces", "c:9"},
		{[]string{general, "http://c", "OTEL_TRACES_EXPORTER", "none"}, "", ""},
		{[]string{general, "http://c", "OTEL_TRACES_EXPORTER", "zipkin, otlp"}, "http://c/v1/traces", "c:80"},
		{[]string{general, "ftp://c"}, "", ""},
		{[]string{general, "http://"}, "", ""},
		{[]string{general, "http://c d"}, "", ""},
		{[]string{general, " "}, "", ""},
		{nil, "", ""},
	} {
		config := readConfig(environment(is.variables...), signalTraces)
		url, address := "", ""
		if config != nil {
			url, address = config.url(), config.address
		}
		if url != is.url || address != is.address {
			t.Errorf("%q: %q at %q instead of %q at %q", is.variables, url, address, is.url, is.address)
		}
	}
}

// Log records go only where they are asked for, by variables of their own or the general ones.
func TestLogAddresses(t *testing.T) {
	const asked, forLogs = "OTEL_LOGS_EXPORTER", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"
	for _, is := range []struct {
		variables []string
		url       string
	}{
		{[]string{general, "http://c:4318"}, ""},
		{[]string{general, "http://c:4318", asked, "console"}, ""},
		{[]string{forTraces, "http://c:4318", asked, "otlp"}, ""},
		{[]string{general, "http://c:4318", asked, "otlp"}, "http://c:4318/v1/logs"},
		{[]string{general, "http://c", forTraces, "http://t", forLogs, "http://l/x", asked, "console,otlp"}, "http://l/x"},
		{[]string{general, "http://c:4317", asked, "otlp"}, "http://c:4318/v1/logs"},
		{[]string{general, "http://c", asked, "otlp", "OTEL_TRACES_EXPORTER", "none"}, "http://c/v1/logs"},
	} {
		url := ""
		if config := readConfig(environment(is.variables...), signalLogs); config != nil {
			url = config.url()
		}
		if url != is.url {
			t.Errorf("%q: %q instead of %q", is.variables, url, is.url)
		}
	}
	config := readConfig(environment(
		general, "http://c", asked, "otlp", protocol, "http/json", "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "http/protobuf",
		"OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a=1", "OTEL_EXPORTER_OTLP_LOGS_HEADERS", "b=2", "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "30",
		"OTEL_BSP_MAX_QUEUE_SIZE", "7", "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "8",
	), signalLogs)
	if config.json || !reflect.DeepEqual(config.headers, []header{{"b", "2"}}) || config.timeout != 30*time.Millisecond || config.delay != time.Second ||
		config.queue != 2048 || config.batch != 8 {
		t.Errorf("%+v", config)
	}
}

// What is wrong with a variable of both signals is said once.
func TestWarningsAreSaidOnce(t *testing.T) {
	e := newExporter(environment(general, "http://c", "OTEL_LOGS_EXPORTER", "otlp", "OTEL_EXPORTER_OTLP_HEADERS", "broken", "OTEL_BLRP_SCHEDULE_DELAY", "x"))
	if len(e.spans.config.warnings) != 1 || len(e.logs.config.warnings) != 1 || !strings.Contains(e.logs.config.warnings[0], "BLRP") {
		t.Errorf("%q %q", e.spans.config.warnings, e.logs.config.warnings)
	}
}

// All other variables; those of traces win; what cannot be used is said, without secrets, and ignored.
func TestVariables(t *testing.T) {
	config := readConfig(environment(
		general, "http://user:pass%20word@c",
		protocol, "http/json",
		"OTEL_EXPORTER_OTLP_HEADERS", "a=1,B=two%20words, broken,bad name=x,content-length=3,e=%0d%0ax",
		"OTEL_EXPORTER_OTLP_TRACES_HEADERS", "A=3",
		"OTEL_EXPORTER_OTLP_TIMEOUT", "250",
		"OTEL_EXPORTER_OTLP_COMPRESSION", "none",
		"OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip",
		"OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem",
		"OTEL_BSP_SCHEDULE_DELAY", "17",
		"OTEL_BSP_EXPORT_TIMEOUT", "soon",
		"OTEL_BSP_MAX_QUEUE_SIZE", "64",
		"OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "100",
		"OTEL_ATTRIBUTE_COUNT_LIMIT", "9",
		"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "0",
		"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "-4",
	), signalTraces)
	if !config.json || !config.gzip || config.certificate != "/ca.pem" {
		t.Errorf("%+v", config)
	}
	if headers := []header{{"Authorization", "Basic dXNlcjpwYXNzIHdvcmQ="}, {"B", "two words"}, {"A", "3"}}; !reflect.DeepEqual(config.headers, headers) {
		t.Errorf("%q", config.headers)
	}
	if config.timeout != 250*time.Millisecond || config.exportTimeout != 30*time.Second || config.delay != 17*time.Millisecond || config.queue != 64 || config.batch != 64 {
		t.Errorf("%+v", config)
	}
	if expected := (limits{attributes: 0, eventAttributes: 9, linkAttributes: 9, events: 128, links: 128, valueLength: -1}); config.limits != expected {
		t.Errorf("%+v", config.limits)
	}
	if len(config.warnings) != 6 || strings.Contains(strings.Join(config.warnings, ""), "two words") {
		t.Errorf("%q", config.warnings)
	}
}

// The resource: facts, then OTEL_RESOURCE_ATTRIBUTES, then OTEL_SERVICE_NAME.
func TestResource(t *testing.T) {
	value := func(pairs []pair, key string) string {
		for _, pair := range pairs {
			if pair.key == key {
				return pair.text
			}
		}
		return "absent"
	}
	list := "service.name=from%20list,team= a=b ,x,=y,host.name=given,broken=%zz\xff"
	pairs := resource(environment("OTEL_RESOURCE_ATTRIBUTES", list))
	for key, expected := range map[string]string{"service.name": "from list", "team": "a=b", "host.name": "given", "x": "absent", "broken": "%zz\uFFFD", "telemetry.sdk.name": "tandem"} {
		if found := value(pairs, key); found != expected {
			t.Errorf("%s is %q instead of %q", key, found, expected)
		}
	}
	if found := value(resource(environment("OTEL_RESOURCE_ATTRIBUTES", list, "OTEL_SERVICE_NAME", "own")), "service.name"); found != "own" {
		t.Errorf("service.name is %q", found)
	}
	if found := value(resource(environment()), "service.name"); !strings.HasPrefix(found, "unknown_service:") {
		t.Errorf("service.name is %q", found)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, expected := range map[string]time.Duration{
		"3": 3 * time.Second, "-3": 0, "": 0, "soon": 0, "99999999999": 0,
		"Fri, 02 Jan 2026 03:04:15 GMT": 10 * time.Second, "Fri, 02 Jan 2026 03:04:00 GMT": 0,
	} {
		if pause := parseRetryAfter(text, now); pause != expected {
			t.Errorf("%q is %v instead of %v", text, pause, expected)
		}
	}
}

// Who stands between is who net/http would ask.
func TestProxies(t *testing.T) {
	for _, is := range []struct {
		endpoint  string
		variables []string
		address   string // of the proxy; empty: there is none
	}{
		{"http://collector:4318", nil, ""},
		{"http://collector:4318", []string{"HTTP_PROXY", "http://proxy:3128"}, "proxy:3128"},
		{"http://collector:4318", []string{"http_proxy", "proxy"}, "proxy:80"},
		{"http://collector:4318", []string{"HTTPS_PROXY", "http://proxy:3128"}, ""},
		{"https://collector:4318", []string{"HTTPS_PROXY", "https://proxy"}, "proxy:443"},
		{"https://collector:4318", []string{"HTTP_PROXY", "http://proxy:3128"}, ""},
		{"http://collector:4318", []string{"HTTP_PROXY", "http://proxy:3128", "REQUEST_METHOD", "GET"}, ""},
		{"http://collector:4318", []string{"HTTP_PROXY", "socks5://proxy:3128"}, ""},
		{"http://localhost:4318", []string{"HTTP_PROXY", "http://proxy:3128"}, ""},
		{"http://127.1.2.3:4318", []string{"HTTP_PROXY", "http://proxy:3128"}, ""},
		{"http://[::1]:4318", []string{"HTTP_PROXY", "http://proxy:3128"}, ""},
		{"http://collector:4318", []string{"HTTP_PROXY", "http://proxy:3128", "NO_PROXY", "*"}, ""},
		{"http://a.example.com", []string{"HTTP_PROXY", "http://proxy:3128", "NO_PROXY", "other, Example.com"}, ""},
		{"http://a.example.com", []string{"HTTP_PROXY", "http://proxy:3128", "no_proxy", "*.example.com"}, ""},
		{"http://example.com", []string{"HTTP_PROXY", "http://proxy:3128", "NO_PROXY", ".example.com"}, "proxy:3128"},
		{"http://anexample.com", []string{"HTTP_PROXY", "http://proxy:3128", "NO_PROXY", "example.com"}, "proxy:3128"},
		{"http://example.com", []string{"HTTP_PROXY", "http://proxy:3128", "NO_PROXY", "example.com:80"}, ""},
		{"http://example.com", []string{"HTTP_PROXY", "http://proxy:3128", "NO_PROXY", "example.com:81"}, "proxy:3128"},
		{"http://10.1.2.3", []string{"HTTP_PROXY", "http://proxy:3128", "NO_PROXY", "10.0.0.0/8"}, ""},
		{"http://11.1.2.3", []string{"HTTP_PROXY", "http://proxy:3128", "NO_PROXY", "10.0.0.0/8,11.1.2.4"}, "proxy:3128"},
		{"http://[fd00::1]:80", []string{"HTTP_PROXY", "http://proxy:3128", "NO_PROXY", "[fd00::1]:80"}, ""},
		{"http://collector", []string{"HTTP_PROXY", "http://proxy:3128", "NO_PROXY", ",, "}, "proxy:3128"},
	} {
		config := readConfig(environment(append(is.variables, "OTEL_EXPORTER_OTLP_ENDPOINT", is.endpoint)...), signalTraces)
		address := ""
		if config.proxy != nil {
			address = config.proxy.address
		}
		if address != is.address {
			t.Errorf("%s with %q: %q instead of %q", is.endpoint, is.variables, address, is.address)
		}
	}
	config := readConfig(environment("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector", "HTTP_PROXY", "http://me:pass@proxy:1"), signalTraces)
	if config.proxy.authorization != "Proxy-Authorization: Basic bWU6cGFzcw==\r\n" {
		t.Error(config.proxy.authorization)
	}
	config = readConfig(environment("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector", "HTTP_PROXY", "socks5://secret@proxy:1"), signalTraces)
	if len(config.warnings) != 1 || strings.Contains(config.warnings[0], "secret") {
		t.Errorf("%q", config.warnings)
	}
}
