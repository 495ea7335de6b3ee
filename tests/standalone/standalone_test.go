// Package standalone tests what woven programs send by themselves, where there is no agent: real programs, against a server of
// the standard library that decodes with OpenTelemetry's own types. TANDEM is the command to weave with.
//
// No test depends on how long something takes; where one waits, it is for something that must happen.
package standalone

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// patience is how long anything may take.
const patience = 90 * time.Second

var programs string

func TestMain(m *testing.M) {
	if os.Getenv("TANDEM") == "" {
		fmt.Println("TANDEM says which tandem to weave with; there is none")
		os.Exit(1)
	}
	for _, name := range os.Environ() {
		if name, _, _ := strings.Cut(name, "="); strings.HasPrefix(name, "OTEL_") || strings.HasPrefix(name, "TANDEM_") && name != "TANDEM_CACHE" && name != "TANDEM_TEST_PLATFORMS" {
			os.Unsetenv(name)
		}
	}
	// An agent of somebody else's test would take our programs: the tests that have one take turns by this lock.
	turn, failure := os.Open(os.TempDir())
	if failure == nil {
		failure = syscall.Flock(int(turn.Fd()), syscall.LOCK_EX)
	}
	if failure != nil {
		panic(failure)
	}
	folder, failure := os.MkdirTemp("", "standalone")
	if failure != nil {
		panic(failure)
	}
	programs = folder
	if output, failure := weave("programs", "-o", folder+"/", "./program", "./quiet").CombinedOutput(); failure != nil || len(output) > 0 {
		fmt.Printf("%v\n%s", failure, output)
		os.Exit(1)
	}
	code := m.Run()
	runtime.KeepAlive(turn)
	os.RemoveAll(folder)
	os.Exit(code)
}

// weave is `tandem go build`.
func weave(folder string, arguments ...string) *exec.Cmd {
	command := exec.Command(tandem(), append([]string{"go", "build"}, arguments...)...)
	command.Dir = folder
	return command
}

var tandem = sync.OnceValue(func() string { return os.Getenv("TANDEM") })

// sink is a server for OTLP.
type sink struct {
	*httptest.Server
	lock     sync.Mutex
	requests []*http.Request
	names    map[string]int
	services map[string]int
	answers  []func(w http.ResponseWriter) // for the first requests; then 200
	failure  error
	arrived  chan struct{}
}

func newSink(t *testing.T, answers ...func(http.ResponseWriter)) *sink {
	s := &sink{names: map[string]int{}, services: map[string]int{}, answers: answers, arrived: make(chan struct{}, 1000)}
	s.Server = httptest.NewUnstartedServer(s)
	s.Config.ErrorLog = nil
	t.Cleanup(s.Close)
	return s
}

func (s *sink) start() *sink { s.Start(); return s }

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, failure := io.ReadAll(r.Body)
	s.lock.Lock()
	s.requests = append(s.requests, r)
	var answer func(http.ResponseWriter)
	if len(s.answers) > 0 {
		answer, s.answers = s.answers[0], s.answers[1:]
	}
	s.lock.Unlock()
	defer func() { s.arrived <- struct{}{} }()
	if answer != nil {
		answer(w)
		return
	}
	if failure == nil {
		failure = s.add(r, body)
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	if failure != nil {
		s.failure = failure
		w.WriteHeader(http.StatusBadRequest)
	}
}

func (s *sink) add(r *http.Request, body []byte) error {
	if r.Header.Get("Content-Encoding") == "gzip" {
		unpacked, failure := gzip.NewReader(bytes.NewReader(body))
		if failure != nil {
			return failure
		}
		if body, failure = io.ReadAll(unpacked); failure != nil {
			return failure
		}
	}
	if r.Header.Get("Content-Type") == "application/json" {
		request := ptraceotlp.NewExportRequest()
		if failure := request.UnmarshalJSON(body); failure != nil {
			return failure
		}
		var failure error
		if body, failure = request.MarshalProto(); failure != nil {
			return failure
		}
	}
	var request collector.ExportTraceServiceRequest
	if failure := proto.Unmarshal(body, &request); failure != nil {
		return failure
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	for _, resource := range request.ResourceSpans {
		for _, attribute := range resource.Resource.Attributes {
			if attribute.Key == "service.name" {
				s.services[attribute.Value.GetStringValue()]++
			}
		}
		for _, scope := range resource.ScopeSpans {
			for _, span := range scope.Spans {
				s.names[span.Name]++
			}
		}
	}
	return nil
}

func (s *sink) expect(t *testing.T, expected map[string]int) {
	t.Helper()
	s.lock.Lock()
	defer s.lock.Unlock()
	if s.failure != nil {
		t.Errorf("a request was not OTLP: %v", s.failure)
	}
	if fmt.Sprint(s.names) != fmt.Sprint(expected) {
		t.Errorf("%v arrived instead of %v", s.names, expected)
	}
}

// ended is what a program left.
type ended struct {
	code   int
	signal syscall.Signal
	stderr string
	stdout string
}

// program is a running one.
type program struct {
	*exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	stderr bytes.Buffer
}

// begin runs a woven program with more variables.
func begin(t *testing.T, environment []string, words ...string) *program {
	t.Helper()
	p := &program{Cmd: exec.Command(filepath.Join(programs, words[0]), words[1:]...)}
	p.Env = append(os.Environ(), "TANDEM_SOCKET=/nonexistent/agent.sock")
	p.Env = append(p.Env, environment...)
	p.Stderr = &p.stderr
	p.stdin, _ = p.StdinPipe()
	stdout, _ := p.StdoutPipe()
	p.stdout = bufio.NewReader(stdout)
	if failure := p.Start(); failure != nil {
		t.Fatal(failure)
	}
	t.Cleanup(func() { p.Process.Kill() })
	return p
}

func (p *program) line(t *testing.T, expected string) {
	t.Helper()
	line, failure := p.stdout.ReadString('\n')
	if failure != nil || line != expected+"\n" {
		t.Fatalf("%q instead of %q: %v\n%s", line, expected, failure, p.stderr.String())
	}
}

func (p *program) end(t *testing.T) ended {
	t.Helper()
	overdue := time.AfterFunc(patience, func() { p.Process.Signal(syscall.SIGQUIT) })
	defer overdue.Stop()
	rest, _ := io.ReadAll(p.stdout)
	p.Wait()
	status := p.ProcessState.Sys().(syscall.WaitStatus)
	result := ended{code: status.ExitStatus(), stderr: p.stderr.String(), stdout: string(rest)}
	if status.Signaled() {
		result.signal = status.Signal()
	}
	return result
}

func to(s *sink) string { return "OTEL_EXPORTER_OTLP_ENDPOINT=" + s.URL }

// Ends that a program chooses: what is finished is sent first, code and output are the plain program's.
func TestEnds(t *testing.T) {
	for _, end := range []struct {
		how    string
		code   int
		stderr string
	}{{"return", 0, ""}, {"exit", 7, ""}, {"fatal", 1, "fatal on purpose"}} {
		t.Run(end.how, func(t *testing.T) {
			t.Parallel()
			s := newSink(t).start()
			left := begin(t, []string{to(s), "OTEL_SERVICE_NAME=ends"}, "program", end.how, "3").end(t)
			if left.code != end.code || !strings.Contains(left.stderr, end.stderr) || strings.Contains(left.stderr, "tandem") {
				t.Errorf("%+v", left)
			}
			s.expect(t, map[string]int{"finished": 3})
			if s.services["ends"] != 1 {
				t.Errorf("services are %v", s.services)
			}
			if path := s.requests[0].URL.Path; path != "/v1/traces" {
				t.Errorf("posted to %s", path)
			}
		})
	}
}

// The span of the program itself, which its end ends, is sent too.
func TestTheProgramsOwnSpan(t *testing.T) {
	t.Parallel()
	s := newSink(t).start()
	trace := "TRACEPARENT=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	begin(t, []string{to(s), trace}, "program", "exit", "1").end(t)
	s.expect(t, map[string]int{"finished": 1, "program": 1})
}

// A signal that nobody handles ends the program as it would have, once what is finished was sent; one that is handled is the
// program's own affair, also where it stops listening at once.
func TestSignals(t *testing.T) {
	for _, number := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		for _, how := range []string{"signal", "stopped"} {
			t.Run(how+" "+number.String(), func(t *testing.T) {
				t.Parallel()
				s := newSink(t).start()
				p := begin(t, []string{to(s)}, "program", how, "2")
				p.line(t, "ready")
				p.Process.Signal(number)
				if left := p.end(t); left.signal != number || left.stderr != "" {
					t.Errorf("%+v", left)
				}
				s.expect(t, map[string]int{"finished": 2})
			})
		}
	}
	t.Run("handled", func(t *testing.T) {
		t.Parallel()
		s := newSink(t).start()
		p := begin(t, []string{to(s)}, "program", "handled", "2")
		p.line(t, "ready")
		p.Process.Signal(syscall.SIGTERM)
		if left := p.end(t); left.code != 0 || left.signal != 0 || left.stdout != "handled\n" {
			t.Errorf("%+v", left)
		}
		s.expect(t, map[string]int{"finished": 2, "late": 1})
	})
	t.Run("ignored", func(t *testing.T) {
		t.Parallel()
		s := newSink(t).start()
		p := &program{Cmd: exec.Command("sh", "-c", `trap "" INT; exec "$0" wait 1`, filepath.Join(programs, "program"))}
		p.Env = append(os.Environ(), "TANDEM_SOCKET=/nonexistent/agent.sock", to(s))
		p.stdin, _ = p.StdinPipe()
		stdout, _ := p.StdoutPipe()
		p.stdout = bufio.NewReader(stdout)
		if failure := p.Start(); failure != nil {
			t.Fatal(failure)
		}
		p.line(t, "ready")
		p.Process.Signal(syscall.SIGINT)
		fmt.Fprintln(p.stdin, "1")
		p.line(t, "taken")
		p.stdin.Close()
		if left := p.end(t); left.code != 0 || left.signal != 0 {
			t.Errorf("%+v", left)
		}
		s.expect(t, map[string]int{"finished": 1, "late": 1})
	})
}

// Both encodings, both compressions, headers; what sends is never traced itself.
func TestForms(t *testing.T) {
	for _, form := range []struct{ protocol, compression, kind string }{
		{"http/protobuf", "none", "application/x-protobuf"},
		{"http/protobuf", "gzip", "application/x-protobuf"},
		{"http/json", "none", "application/json"},
		{"http/json", "gzip", "application/json"},
	} {
		t.Run(form.protocol+" "+form.compression, func(t *testing.T) {
			t.Parallel()
			s := newSink(t).start()
			begin(t, []string{
				"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=" + s.URL + "/own?x=1",
				"OTEL_EXPORTER_OTLP_PROTOCOL=" + form.protocol,
				"OTEL_EXPORTER_OTLP_COMPRESSION=" + form.compression,
				"OTEL_EXPORTER_OTLP_HEADERS=x-one=1,authorization=Bearer%20secret",
			}, "program", "http", "1").end(t)
			s.expect(t, map[string]int{"finished": 1, "GET": 2})
			request := s.requests[0]
			if request.URL.String() != "/own?x=1" || request.Header.Get("Content-Type") != form.kind ||
				request.Header.Get("X-One") != "1" || request.Header.Get("Authorization") != "Bearer secret" ||
				request.Header.Get("Traceparent") != "" {
				t.Errorf("%v %v", request.URL, request.Header)
			}
		})
	}
}

// Many spans are batches of the size that was asked for, over one connection, and nothing is lost.
func TestBatches(t *testing.T) {
	t.Parallel()
	s := newSink(t).start()
	p := begin(t, []string{to(s), "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=100"}, "program", "wait", "0")
	p.line(t, "ready")
	for range 20 {
		fmt.Fprintln(p.stdin, "100")
		p.line(t, "taken")
	}
	p.stdin.Close()
	if left := p.end(t); left.stderr != "" {
		t.Error(left.stderr)
	}
	s.expect(t, map[string]int{"late": 2000})
	connections := map[string]int{}
	for _, request := range s.requests {
		connections[request.RemoteAddr]++
	}
	if len(s.requests) < 20 || len(connections) != 1 {
		t.Errorf("%d requests over %v", len(s.requests), connections)
	}
}

func status(code int, headers ...string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		for at := 0; at < len(headers); at += 2 {
			w.Header().Set(headers[at], headers[at+1])
		}
		w.WriteHeader(code)
	}
}

// Answers that say "later" are believed, and so is when; others are not asked again.
func TestRetries(t *testing.T) {
	t.Run("later", func(t *testing.T) {
		t.Parallel()
		s := newSink(t, status(503, "Retry-After", "1"), status(429), status(502), status(504)).start()
		left := begin(t, []string{to(s), "OTEL_EXPORTER_OTLP_TIMEOUT=60000", "OTEL_BSP_EXPORT_TIMEOUT=60000"}, "program", "return", "2").end(t)
		if left.stderr != "" {
			t.Errorf("%+v", left)
		}
		s.expect(t, map[string]int{"finished": 2})
		if len(s.requests) != 5 {
			t.Errorf("%d requests", len(s.requests))
		}
	})
	t.Run("never", func(t *testing.T) {
		t.Parallel()
		s := newSink(t, status(400), status(400)).start()
		left := begin(t, []string{to(s)}, "program", "exit", "2").end(t)
		if left.code != 7 || !strings.Contains(left.stderr, "tandem: 2 spans were lost: ") || !strings.Contains(left.stderr, "400") {
			t.Errorf("%+v", left)
		}
		if len(s.requests) != 1 {
			t.Errorf("%d requests", len(s.requests))
		}
	})
	t.Run("too late", func(t *testing.T) {
		t.Parallel()
		s := newSink(t, status(503, "Retry-After", "3600")).start()
		left := begin(t, []string{to(s)}, "program", "exit", "2").end(t)
		if left.code != 7 || !strings.Contains(left.stderr, "tandem: 2 spans were lost: ") {
			t.Errorf("%+v", left)
		}
	})
	t.Run("some", func(t *testing.T) {
		t.Parallel()
		s := newSink(t, func(w http.ResponseWriter) {
			refused := &collector.ExportTraceServiceResponse{PartialSuccess: &collector.ExportTracePartialSuccess{RejectedSpans: 1, ErrorMessage: "too old"}}
			body, _ := proto.Marshal(refused)
			w.Write(body)
		}).start()
		left := begin(t, []string{to(s)}, "program", "return", "2").end(t)
		if !strings.Contains(left.stderr, "tandem: 1 spans were lost: ") || !strings.Contains(left.stderr, "too old") {
			t.Errorf("%+v", left)
		}
	})
}

// Nobody there, somebody who never answers, somebody who talks nonsense: the program ends all the same, and says what is lost.
func TestNobodyListens(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		left := begin(t, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1"}, "program", "exit", "3").end(t)
		if left.code != 7 || !strings.HasPrefix(left.stderr, "tandem: 3 spans were lost: ") || strings.Count(left.stderr, "\n") != 1 {
			t.Errorf("%+v", left)
		}
	})
	for what, words := range map[string]string{"hangs": "", "nonsense": "SSH-2.0-nobody\r\n"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			listener, failure := net.Listen("tcp", "127.0.0.1:0")
			if failure != nil {
				t.Fatal(failure)
			}
			defer listener.Close()
			go func() {
				for {
					connection, failure := listener.Accept()
					if failure != nil {
						return
					}
					defer connection.Close()
					io.WriteString(connection, words)
				}
			}()
			environment := []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + listener.Addr().String(), "OTEL_EXPORTER_OTLP_TIMEOUT=500"}
			left := begin(t, environment, "program", "exit", "3").end(t)
			if left.code != 7 || !strings.HasPrefix(left.stderr, "tandem: 3 spans were lost: ") {
				t.Errorf("%+v", left)
			}
		})
	}
}

// More spans than the queue and the rings hold, and nobody to take them: memory stays bounded, what is lost is counted.
func TestBounds(t *testing.T) {
	t.Parallel()
	p := begin(t, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "OTEL_BSP_MAX_QUEUE_SIZE=50", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=10"}, "program", "wait", "0")
	p.line(t, "ready")
	fmt.Fprintln(p.stdin, "200000")
	p.line(t, "taken")
	p.stdin.Close()
	left := p.end(t)
	if !strings.HasPrefix(left.stderr, "tandem: 200000 spans were lost: ") {
		t.Errorf("%+v", left)
	}
}

// A sink that is down for a while gets everything once it is there.
func TestAPause(t *testing.T) {
	t.Parallel()
	held, failure := net.Listen("tcp", "127.0.0.1:0")
	if failure != nil {
		t.Fatal(failure)
	}
	address := held.Addr().String()
	held.Close()
	p := begin(t, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + address, "OTEL_BSP_SCHEDULE_DELAY=1", "TANDEM_DEBUG=1"}, "program", "wait", "5")
	p.line(t, "ready")
	time.Sleep(500 * time.Millisecond)
	listener, failure := net.Listen("tcp", address)
	if failure != nil {
		t.Skip("somebody else has taken the port: ", failure)
	}
	s := newSink(t)
	s.Listener.Close()
	s.Listener = listener
	s.Start()
	select {
	case <-s.arrived:
	case <-time.After(patience):
		t.Fatal("nothing arrives")
	}
	p.stdin.Close()
	p.end(t)
	s.expect(t, map[string]int{"finished": 5})
}

// Nothing is sent where nobody asks for it.
func TestNobodyAsks(t *testing.T) {
	for _, variable := range []string{"OTEL_TRACES_EXPORTER=none", "OTEL_SDK_DISABLED=true", "OTEL_TRACES_EXPORTER=console"} {
		t.Run(variable, func(t *testing.T) {
			t.Parallel()
			s := newSink(t).start()
			if left := begin(t, []string{to(s), variable}, "program", "exit", "2").end(t); left.code != 7 || left.stderr != "" {
				t.Errorf("%+v", left)
			}
			s.expect(t, map[string]int{})
		})
	}
}

// gRPC needs an agent: said once, and the usual port of OTLP over HTTP is used instead of gRPC's.
func TestGRPC(t *testing.T) {
	t.Parallel()
	s := newSink(t).start()
	left := begin(t, []string{to(s), "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"}, "program", "return", "2").end(t)
	if strings.Count(left.stderr, "tandem: warning: ") != 1 || !strings.Contains(left.stderr, "gRPC") {
		t.Errorf("%+v", left)
	}
	s.expect(t, map[string]int{"finished": 2})
}

// pair writes a key and a certificate that an authority (or, without one, itself) has signed.
func pair(t *testing.T, folder, name string, authority *tls.Certificate) (certificate, key string, made tls.Certificate) {
	t.Helper()
	private, failure := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if failure != nil {
		t.Fatal(failure)
	}
	is := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{name}, BasicConstraintsValid: true, IsCA: authority == nil,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	signer, by := is, any(private)
	if authority != nil {
		signer, by = authority.Leaf, authority.PrivateKey
	}
	der, failure := x509.CreateCertificate(rand.Reader, is, signer, &private.PublicKey, by)
	if failure != nil {
		t.Fatal(failure)
	}
	privateBytes, _ := x509.MarshalECPrivateKey(private)
	certificate, key = filepath.Join(folder, name+".pem"), filepath.Join(folder, name+".key")
	os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
	os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: privateBytes}), 0o600)
	leaf, _ := x509.ParseCertificate(der)
	return certificate, key, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private, Leaf: leaf}
}

// HTTPS with an authority of one's own, and with a certificate of the client's; without them nothing goes out.
func TestTLS(t *testing.T) {
	folder := t.TempDir()
	authorityFile, _, authority := pair(t, folder, "authority", nil)
	_, _, server := pair(t, folder, "server", &authority)
	clientFile, clientKey, _ := pair(t, folder, "client", &authority)
	trusted := x509.NewCertPool()
	trusted.AddCert(authority.Leaf)
	trust := "OTEL_EXPORTER_OTLP_CERTIFICATE=" + authorityFile
	own := []string{trust, "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=" + clientFile, "OTEL_EXPORTER_OTLP_CLIENT_KEY=" + clientKey}
	for _, world := range []struct {
		name        string
		environment []string
		asks        tls.ClientAuthType
		arrives     bool
	}{
		{"trusted", []string{trust}, tls.NoClientCert, true},
		{"untrusted", nil, tls.NoClientCert, false},
		{"both sides", own, tls.RequireAndVerifyClientCert, true},
		{"no client certificate", []string{trust}, tls.RequireAndVerifyClientCert, false},
		{"no such file", []string{trust + ".not"}, tls.NoClientCert, false},
	} {
		t.Run(world.name, func(t *testing.T) {
			s := newSink(t)
			s.TLS = &tls.Config{Certificates: []tls.Certificate{server}, ClientAuth: world.asks, ClientCAs: trusted}
			s.StartTLS()
			left := begin(t, append(world.environment, to(s)), "program", "exit", "2").end(t)
			if left.code != 7 || (left.stderr == "") != world.arrives {
				t.Errorf("%+v", left)
			}
			expected := map[string]int{}
			if world.arrives {
				expected["finished"] = 2
			}
			s.expect(t, expected)
		})
	}
}

// The same of an agent's exporter, which says in a line what is wrong.
func TestTLSOfAnAgent(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("agents are for Linux")
	}
	folder := t.TempDir()
	authorityFile, _, authority := pair(t, folder, "authority", nil)
	otherFile, _, other := pair(t, folder, "other", nil)
	_, _, server := pair(t, folder, "server", &authority)
	clientFile, clientKey, _ := pair(t, folder, "client", &authority)
	strangerFile, strangerKey, _ := pair(t, folder, "stranger", &other)
	empty := filepath.Join(folder, "empty.pem")
	os.WriteFile(empty, nil, 0o600)
	trusted := x509.NewCertPool()
	trusted.AddCert(authority.Leaf)
	trust := "OTEL_EXPORTER_OTLP_CERTIFICATE=" + authorityFile
	own := func(certificate, key string) []string {
		return []string{trust, "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=" + certificate, "OTEL_EXPORTER_OTLP_CLIENT_KEY=" + key}
	}
	for _, world := range []struct {
		name        string
		environment []string
		asks        tls.ClientAuthType
		code        int
		complaint   string // empty: all arrives; where files cannot be used, the program is not started
	}{
		{"trusted", []string{trust}, tls.NoClientCert, 7, ""},
		{"both sides", own(clientFile, clientKey), tls.RequireAndVerifyClientCert, 7, ""},
		{"untrusted", nil, tls.NoClientCert, 7, "invalid peer certificate: UnknownIssuer"},
		{"another authority", []string{"OTEL_EXPORTER_OTLP_CERTIFICATE=" + otherFile}, tls.NoClientCert, 7, "invalid peer certificate"},
		{"no client certificate", []string{trust}, tls.RequireAndVerifyClientCert, 7, "it may want a certificate of ours (OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE)"},
		{"a stranger's certificate", own(strangerFile, strangerKey), tls.RequireAndVerifyClientCert, 7, "or not accept the one that it got"},
		{"another key", own(clientFile, strangerKey), tls.RequireAndVerifyClientCert, 1, "keys may not be consistent"},
		{"no such file", []string{trust + ".not"}, tls.NoClientCert, 1, authorityFile + ".not"},
		{"an empty file", []string{"OTEL_EXPORTER_OTLP_CERTIFICATE=" + empty}, tls.NoClientCert, 1, "there is no certificate in it"},
	} {
		t.Run(world.name, func(t *testing.T) {
			s := newSink(t)
			s.TLS = &tls.Config{Certificates: []tls.Certificate{server}, ClientAuth: world.asks, ClientCAs: trusted}
			s.EnableHTTP2 = true
			s.StartTLS()
			run := exec.Command(tandem(), "run", "--no-ui", "--no-kernel", "--", filepath.Join(programs, "program"), "exit", "2")
			run.Env = append(append(os.Environ(), world.environment...), to(s), "OTEL_METRICS_EXPORTER=none", "TANDEM_STORE="+filepath.Join(t.TempDir(), "store"))
			var stderr bytes.Buffer
			run.Stderr = &stderr
			run.Run()
			words := stderr.String()
			isClear := strings.Contains(words, world.complaint) && strings.Contains(words, "warning: ") == (world.complaint != "" && world.code == 7)
			if code := run.ProcessState.ExitCode(); code != world.code || !isClear {
				t.Errorf("code %d\n%s", code, words)
			}
			expected := map[string]int{}
			if world.complaint == "" {
				expected["finished"] = 2
			}
			s.expect(t, expected)
		})
	}
}

// through is a proxy that connects to one address, whoever is asked for, and remembers what was.
type through struct {
	to    string
	lock  sync.Mutex
	asked []string
}

func (p *through) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.lock.Lock()
	p.asked = append(p.asked, r.Method+" "+r.URL.String()+" "+r.Host+" "+r.Header.Get("Proxy-Authorization"))
	p.lock.Unlock()
	if r.Header.Get("Proxy-Authorization") == "" {
		w.WriteHeader(http.StatusProxyAuthRequired)
		return
	}
	if r.Method != http.MethodConnect {
		r.URL.Host, r.RequestURI = p.to, ""
		r.Header.Del("Proxy-Authorization")
		answer, failure := http.DefaultTransport.RoundTrip(r)
		if failure != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer answer.Body.Close()
		w.WriteHeader(answer.StatusCode)
		io.Copy(w, answer.Body)
		return
	}
	up, failure := net.Dial("tcp", p.to)
	if failure != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	down, _, failure := w.(http.Hijacker).Hijack()
	if failure != nil {
		panic(failure)
	}
	io.WriteString(down, "HTTP/1.1 200 Connection established\r\n\r\n")
	go func() { io.Copy(up, down); up.Close() }()
	io.Copy(down, up)
	down.Close()
}

// Through a proxy: requests as they are, and TLS in a tunnel; one that wants to know who asks says so.
func TestProxies(t *testing.T) {
	folder := t.TempDir()
	authorityFile, _, authority := pair(t, folder, "authority", nil)
	_, _, server := pair(t, folder, "collector.invalid", &authority)
	trust := "OTEL_EXPORTER_OTLP_CERTIFICATE=" + authorityFile
	for _, world := range []struct {
		name, scheme, user string
		asked, complaint   string
	}{
		{"http", "http", "me:pass@", "POST http://collector.invalid:4318/v1/traces collector.invalid:4318 Basic bWU6cGFzcw==", ""},
		{"https", "https", "me:pass@", "CONNECT //collector.invalid:4318 collector.invalid:4318 Basic bWU6cGFzcw==", ""},
		{"https, refused", "https", "", "CONNECT //collector.invalid:4318 collector.invalid:4318 ", "answers with status 407"},
		{"http, refused", "http", "", "POST http://collector.invalid:4318/v1/traces collector.invalid:4318 ", "answers with status 407"},
	} {
		t.Run(world.name, func(t *testing.T) {
			t.Parallel()
			s := newSink(t)
			if world.scheme == "https" {
				s.TLS = &tls.Config{Certificates: []tls.Certificate{server}}
				s.StartTLS()
			} else {
				s.Start()
			}
			between := &through{to: s.Listener.Addr().String()}
			p := httptest.NewServer(between)
			defer p.Close()
			environment := []string{
				"OTEL_EXPORTER_OTLP_ENDPOINT=" + world.scheme + "://collector.invalid:4318", trust,
				strings.ToUpper(world.scheme) + "_PROXY=http://" + world.user + p.Listener.Addr().String(),
			}
			left := begin(t, environment, "program", "exit", "2").end(t)
			if left.code != 7 || (left.stderr == "") != (world.complaint == "") || !strings.Contains(left.stderr, world.complaint) {
				t.Errorf("%+v", left)
			}
			between.lock.Lock()
			defer between.lock.Unlock()
			if len(between.asked) == 0 || between.asked[0] != world.asked {
				t.Errorf("%q instead of %q", between.asked, world.asked)
			}
			expected := map[string]int{}
			if world.complaint == "" {
				expected["finished"] = 2
			}
			s.expect(t, expected)
		})
	}
}

// An agent that comes takes over, and when it goes the program goes on by itself: each span goes one of the two ways.
func TestAnAgent(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("agents are for Linux")
	}
	folder := t.TempDir() // not in parallel: an agent takes any program that it finds
	s := newSink(t).start()
	socket := filepath.Join(folder, "agent.sock")
	p := begin(t, []string{to(s), "OTEL_BSP_SCHEDULE_DELAY=1", "TANDEM_SOCKET=" + socket}, "program", "wait", "0")
	p.line(t, "ready")
	take := func(count int) {
		fmt.Fprintln(p.stdin, count)
		p.line(t, "taken")
	}
	sent := func() int {
		s.lock.Lock()
		defer s.lock.Unlock()
		return s.names["late"]
	}
	// until takes spans until so many more have come one way.
	until := func(who string, come func() int) (taken int) {
		t.Helper()
		before := come()
		for begun := time.Now(); come() < before+50; taken++ {
			if time.Since(begun) > patience {
				t.Fatalf("nothing comes to %s\n%s", who, p.stderr.String())
			}
			take(1)
			time.Sleep(5 * time.Millisecond)
		}
		return taken
	}
	taken := until("the sink", sent)

	spans := filepath.Join(folder, "spans.json")
	agent := exec.Command(tandem(), "agent", "--no-ui", "--no-kernel", "--json="+spans)
	var words bytes.Buffer
	agent.Env = append(os.Environ(), "TANDEM_SOCKET="+socket, "TANDEM_STORE="+filepath.Join(folder, "store"))
	agent.Stdout, agent.Stderr = &words, &words
	if failure := agent.Start(); failure != nil {
		t.Fatal(failure)
	}
	defer agent.Process.Kill()
	seen := func() int {
		text, _ := os.ReadFile(spans)
		return strings.Count(string(text), `"name":"late"`)
	}
	taken += until("the agent", seen)
	agent.Process.Signal(syscall.SIGTERM)
	agent.Wait()
	taken += until("the sink, again", sent)
	p.stdin.Close()
	left := p.end(t)
	if sent()+seen() != taken || left.stderr != "" {
		t.Errorf("%d spans were taken, %d sent, %d seen by the agent\n%s\n%s", taken, sent(), seen(), left.stderr, words.String())
	}
}

// Where memory cannot be shared with an agent, the program has its own. What it had taken before it became another one is lost.
func TestAWorldWithoutSharedMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there is none to begin with")
	}
	t.Parallel()
	s := newSink(t).start()
	if left := begin(t, []string{to(s)}, "program", "forbidden", "1").end(t); left.code != 7 || left.stderr != "" {
		t.Errorf("%+v", left)
	}
	s.expect(t, map[string]int{"finished": 4})
}

// Programs without net/http are not changed, `standalone: true` gives it to them, `standalone: false` takes it from all.
func TestWhoHasIt(t *testing.T) {
	has := func(file string) bool {
		text, failure := os.ReadFile(file)
		if failure != nil {
			t.Fatal(failure)
		}
		return bytes.Contains(text, []byte("tandem/standalone.(*exporter).collect"))
	}
	if has(filepath.Join(programs, "quiet")) || !has(filepath.Join(programs, "program")) {
		t.Error("who has net/http, and only they, send their spans")
	}
	folder := t.TempDir()
	source, _ := os.ReadFile("programs/quiet/main.go")
	os.WriteFile(filepath.Join(folder, "main.go"), source, 0o600)
	os.WriteFile(filepath.Join(folder, "go.mod"), []byte("module example.com/quiet\n\ngo 1.21\n"), 0o600)
	for _, asked := range []bool{true, false} {
		os.WriteFile(filepath.Join(folder, "tandem.yaml"), []byte(fmt.Sprintf("standalone: %v\n", asked)), 0o600)
		if output, failure := weave(folder, "-o", filepath.Join(programs, "asked")).CombinedOutput(); failure != nil || len(output) > 0 {
			t.Fatalf("%v\n%s", failure, output)
		}
		if has(filepath.Join(programs, "asked")) != asked {
			t.Errorf("standalone: %v does not do what it says", asked)
		}
		s := newSink(t).start()
		begin(t, []string{to(s)}, "asked").end(t)
		s.expect(t, map[bool]map[string]int{true: {"finished": 1}, false: {}}[asked])
	}
	os.WriteFile(filepath.Join(folder, "main.go"), []byte("package main\n\nimport \"net/http\"\n\nfunc main() { http.NewServeMux() }\n"), 0o600)
	if output, failure := weave(folder, "-o", filepath.Join(programs, "asked")).CombinedOutput(); failure != nil || len(output) > 0 {
		t.Fatalf("%v\n%s", failure, output)
	}
	if has(filepath.Join(programs, "asked")) {
		t.Error("standalone: false leaves it in")
	}
}
