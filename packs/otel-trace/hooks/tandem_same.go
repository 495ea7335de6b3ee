package trace

import (
	"strings"

	tandem_rt "tandem/rt"
)

// Libraries that instrument what is woven too: one span an operation, not two. Where the woven span is the outer of the two,
// theirs becomes another view of it: attributes, events and status are set on it, for a server the name too, since it is the
// program's choice, and its end is the operation's.
// Where theirs is the outer, the woven one is not made.

// tandemSame says what a tracer's spans are the same as, a bit each.
type tandemSame uint8

const (
	tandemSameServer     tandemSame = 1 << iota // its server spans: those of net/http's and grpc's servers
	tandemSameHTTPClient                        // its client spans: those of net/http's client, which lie below them
	tandemSameCall                              // its client spans: those of grpc's client
	tandemSameQuery                             // its client spans: those of database/sql
)

func tandemSameOf(scope string) tandemSame {
	const contrib = "go.opentelemetry.io/contrib/instrumentation/"
	switch scope {
	case contrib + "net/http/otelhttp":
		return tandemSameServer | tandemSameHTTPClient
	case contrib + "google.golang.org/grpc/otelgrpc":
		return tandemSameServer | tandemSameCall
	case "github.com/XSAM/otelsql", "github.com/uptrace/opentelemetry-go-extra/otelsql", "go.nhat.io/otelsql":
		return tandemSameQuery
	case "github.com/riandyrn/otelchi":
		return tandemSameServer
	}
	if strings.HasPrefix(scope, contrib) {
		return tandemSameServer
	}
	return 0
}

// is says whether a span of that kind and name is the same operation as the woven one whose child it would be.
func (s tandemSame) is(kind SpanKind, name string, parent *tandem_rt.Span) bool {
	if parent == nil || kind != SpanKindServer && kind != SpanKindClient {
		return false
	}
	operation := parent.OpID()
	switch {
	case kind == SpanKindServer:
		return s&tandemSameServer != 0 && (operation == "net/http.server" || operation == "grpc.server")
	case s&tandemSameCall != 0:
		return strings.HasPrefix(operation, "grpc.client.")
	}
	// That a connection had to be opened is something else.
	return s&tandemSameQuery != 0 && strings.HasPrefix(operation, "database/sql.") && !strings.Contains(name, "connector")
}

// isDetail says that the span tells of a part of the operation only: the operation's other spans stand for it.
func (s tandemSame) isDetail(name string) bool {
	return s&tandemSameQuery != 0 && (strings.Contains(name, "reset_session") || strings.Contains(name, "rows"))
}

// stand is for spans that lie around the woven one.
func (s tandemSame) stand(span *tandem_rt.Span, kind SpanKind) {
	if s&tandemSameHTTPClient != 0 && kind == SpanKindClient {
		span.StandFor(tandem_rt.OpNumber("net/http.client"))
	}
}
