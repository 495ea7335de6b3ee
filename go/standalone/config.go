package standalone

import (
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// config is what the environment asks for, in OpenTelemetry's words.
type config struct {
	signal  telemetry
	https   bool
	address string // host and port to connect to
	host    string // as it stands in the header
	path    string
	proxy   *proxy // nil: there is none
	headers []header
	json    bool
	gzip    bool

	certificate, clientCertificate, clientKey string // files

	timeout       time.Duration // of one request
	exportTimeout time.Duration // of one batch, with all retries
	delay         time.Duration // the longest that one waits for company
	queue, batch  int           // spans or log records
	limits        limits

	warnings []string
}

type header struct{ name, value string }

// limits are those of OpenTelemetry's specification.
type limits struct {
	attributes      int // of a span
	eventAttributes int
	linkAttributes  int
	events          int
	links           int
	valueLength     int // characters; -1: none
}

var defaultLimits = limits{attributes: 128, eventAttributes: 128, linkAttributes: 128, events: 128, links: 128, valueLength: -1}

// telemetry is what is sent by itself: spans or log records.
type telemetry struct {
	what     string // in messages
	word     string // in OTEL_EXPORTER_OTLP_x_ENDPOINT, and in OTEL_x_EXPORTER
	batch    string // what the variables of its batches begin with
	delay    time.Duration
	path     string
	rejected string // what JSON calls the number of those that were refused
	isAsked  bool   // it is sent only where OTEL_x_EXPORTER says so
}

var (
	signalTraces = telemetry{"spans", "TRACES", "OTEL_BSP_", 5 * time.Second, "/v1/traces", `"rejectedSpans"`, false}
	signalLogs   = telemetry{"log records", "LOGS", "OTEL_BLRP_", time.Second, "/v1/logs", `"rejectedLogRecords"`, true}
)

// reader reads an environment. Empty variables count as absent.
type reader struct {
	telemetry
	getenv   func(string) string
	warnings []string
}

// readConfig returns nil where nobody asks for the signal.
func readConfig(getenv func(string) string, signal telemetry) *config {
	r := &reader{telemetry: signal, getenv: getenv}
	if !r.wantsOTLP() {
		return nil
	}
	c := &config{signal: signal}
	own := true
	address := r.get("OTEL_EXPORTER_OTLP_" + r.word + "_ENDPOINT")
	if address == "" {
		address, own = r.get("OTEL_EXPORTER_OTLP_ENDPOINT"), false
	}
	if address == "" {
		return nil
	}
	grpc := c.readProtocol(r, address)
	if !c.readAddress(r, address, own, grpc) {
		return nil
	}
	c.readProxy(r)
	c.readHeaders(r, "OTEL_EXPORTER_OTLP_HEADERS")
	c.readHeaders(r, "OTEL_EXPORTER_OTLP_"+r.word+"_HEADERS")
	switch name, value := r.either("COMPRESSION"); value {
	case "gzip":
		c.gzip = true
	case "", "none":
	default:
		r.warn(name, ": there is no compression ", strconv.Quote(value), "; use gzip or none")
	}
	_, c.certificate = r.either("CERTIFICATE")
	_, c.clientCertificate = r.either("CLIENT_CERTIFICATE")
	_, c.clientKey = r.either("CLIENT_KEY")
	c.timeout = r.milliseconds("OTEL_EXPORTER_OTLP_"+r.word+"_TIMEOUT", r.milliseconds("OTEL_EXPORTER_OTLP_TIMEOUT", 10*time.Second))
	c.exportTimeout = r.milliseconds(r.batch+"EXPORT_TIMEOUT", 30*time.Second)
	c.delay = r.milliseconds(r.batch+"SCHEDULE_DELAY", r.delay)
	c.queue = r.positive(r.batch+"MAX_QUEUE_SIZE", 2048)
	c.batch = r.positive(r.batch+"MAX_EXPORT_BATCH_SIZE", 512)
	if c.batch > c.queue {
		c.batch = c.queue
	}
	general := r.number("OTEL_ATTRIBUTE_COUNT_LIMIT", defaultLimits.attributes)
	c.limits = limits{
		attributes:      r.number("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", general),
		eventAttributes: r.number("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", general),
		linkAttributes:  r.number("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", general),
		events:          r.number("OTEL_SPAN_EVENT_COUNT_LIMIT", defaultLimits.events),
		links:           r.number("OTEL_SPAN_LINK_COUNT_LIMIT", defaultLimits.links),
		valueLength:     r.number("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", r.number("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", -1)),
	}
	c.warnings = r.warnings
	return c
}

// wantsOTLP looks at OTEL_TRACES_EXPORTER or OTEL_LOGS_EXPORTER, a list.
func (r *reader) wantsOTLP() bool {
	exporters := r.get("OTEL_" + r.word + "_EXPORTER")
	if exporters == "" {
		return !r.isAsked
	}
	for _, exporter := range strings.Split(exporters, ",") {
		if strings.TrimSpace(exporter) == "otlp" {
			return true
		}
	}
	return false
}

// readProtocol says whether gRPC is asked for, which only an agent speaks.
func (c *config) readProtocol(r *reader, address string) (grpc bool) {
	name, protocol := r.either("PROTOCOL")
	switch protocol {
	case "http/json":
		c.json = true
	case "grpc":
		return true
	case "http/protobuf":
	case "":
		return strings.HasSuffix(strings.TrimRight(address, "/"), ":4317") // gRPC's own port
	default:
		r.warn(name, ": ", strconv.Quote(protocol), " is not supported; http/protobuf is used")
	}
	return false
}

func (c *config) readAddress(r *reader, address string, own, grpc bool) bool {
	if !strings.Contains(address, "://") {
		_, insecure := r.either("INSECURE")
		if grpc && !strings.EqualFold(insecure, "true") {
			address = "https://" + address
		} else {
			address = "http://" + address
		}
	}
	parsed, failure := url.Parse(address)
	if failure != nil || parsed.Hostname() == "" || (parsed.Scheme != "http" && parsed.Scheme != "https") {
		r.warn(strconv.Quote(address), " is not an http or https address; no ", r.what, " are sent")
		c.warnings = r.warnings
		return false
	}
	c.https = parsed.Scheme == "https"
	port := parsed.Port()
	c.host = parsed.Host
	if grpc && port == "4317" {
		port = "4318"
		c.host = net.JoinHostPort(parsed.Hostname(), port)
	}
	if port == "" {
		port = map[bool]string{false: "80", true: "443"}[c.https]
	}
	c.address = net.JoinHostPort(parsed.Hostname(), port)
	if own && !grpc {
		c.path = parsed.RequestURI()
	} else {
		c.path = strings.TrimRight(parsed.EscapedPath(), "/") + r.path
	}
	if user := parsed.User; user != nil {
		password, _ := user.Password()
		c.headers = append(c.headers, header{"Authorization", "Basic " + base64(user.Username()+":"+password)})
	}
	if grpc {
		r.warn("a program without an agent does not speak gRPC; ", r.what, " go to ", c.url(), " as http/protobuf")
	}
	return true
}

func (c *config) url() string {
	if c.https {
		return "https://" + c.host + c.path
	}
	return "http://" + c.host + c.path
}

// readHeaders reads name=value pairs, values percent-encoded. Later ones replace earlier ones of the same name.
func (c *config) readHeaders(r *reader, variable string) {
	for _, pair := range strings.Split(r.get(variable), ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, value, found := strings.Cut(pair, "=")
		name = strings.TrimSpace(name)
		value, failure := url.PathUnescape(strings.TrimSpace(value))
		if !found || failure != nil || !isToken(name) || strings.ContainsAny(value, "\r\n\x00") {
			r.warn(variable, ": one of its headers is not of the form name=value") // the value may be a secret
			continue
		}
		kept := c.headers[:0]
		for _, known := range c.headers {
			if !strings.EqualFold(known.name, name) {
				kept = append(kept, known)
			}
		}
		c.headers = append(kept, header{name, value})
	}
}

// isToken says whether a header can have the name; those that say how long the request is are ours.
func isToken(name string) bool {
	for index := 0; index < len(name); index++ {
		letter := name[index]
		isWord := 'a' <= letter && letter <= 'z' || 'A' <= letter && letter <= 'Z' || '0' <= letter && letter <= '9'
		if !isWord && !strings.Contains("!#$%&'*+-.^_`|~", string(letter)) {
			return false
		}
	}
	for _, own := range [...]string{"Host", "Content-Length", "Content-Type", "Content-Encoding", "Transfer-Encoding", "Connection"} {
		if strings.EqualFold(name, own) {
			return false
		}
	}
	return name != ""
}

func (r *reader) get(name string) string { return strings.TrimSpace(r.getenv(name)) }

// either is the variable of the signal alone, else the general one.
func (r *reader) either(what string) (name, value string) {
	for _, name := range [...]string{"OTEL_EXPORTER_OTLP_" + r.word + "_" + what, "OTEL_EXPORTER_OTLP_" + what} {
		if value := r.get(name); value != "" {
			return name, value
		}
	}
	return "", ""
}

func (r *reader) milliseconds(name string, otherwise time.Duration) time.Duration {
	return time.Duration(r.positive(name, int(otherwise/time.Millisecond))) * time.Millisecond
}

func (r *reader) positive(name string, otherwise int) int {
	if number := r.number(name, otherwise); number > 0 {
		return number
	}
	return otherwise
}

// number reads a number that is not negative.
func (r *reader) number(name string, otherwise int) int {
	text := r.get(name)
	if text == "" {
		return otherwise
	}
	number, failure := strconv.ParseInt(text, 10, 32)
	if failure != nil || number < 0 {
		r.warn(name, "=", strconv.Quote(text), " is not a number that can be used")
		return otherwise
	}
	return int(number)
}

func (r *reader) warn(parts ...string) { r.warnings = append(r.warnings, strings.Join(parts, "")) }

// base64 is what Basic authentication is written in.
func base64(text string) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	var out []byte
	for ; len(text) > 0; text = text[min(3, len(text)):] {
		var bits uint32
		for index := 0; index < 3; index++ {
			bits <<= 8
			if index < len(text) {
				bits |= uint32(text[index])
			}
		}
		for index := 0; index < 4; index++ {
			if index > len(text) {
				out = append(out, '=')
				continue
			}
			out = append(out, letters[bits>>(18-6*index)&63])
		}
	}
	return string(out)
}
