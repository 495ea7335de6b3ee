package elastictransport

import (
	"context"
	"io"
	"net/http"
	"strconv"

	tandem_db "tandem/db"
	tandem_rt "tandem/rt"
)

// This file makes the spans of calls. The library has an interface for who wants to watch it, and calls it at all its
// endpoints: where the program has set nobody, that is us. A call begins and ends on one goroutine, where its span is current.

var (
	tandemCall   = tandem_db.NewOp("go-elasticsearch.call", "tandem/github.com/elastic/go-elasticsearch", tandem_db.NameCommand)
	tandemTarget = tandemElasticsearch()
)

func tandemElasticsearch() *tandem_db.Target {
	target := new(tandem_db.Target)
	target.Set("elasticsearch", "", "", 0)
	return target
}

// tandemWatch is called when a client says who watches it.
func tandemWatch(watching *Instrumentation) {
	if *watching == nil {
		*watching = tandemInstrumentation{}
	}
}

// tandemInstrumentation holds nothing, so that it costs nothing to hand out: the span is the goroutine's.
type tandemInstrumentation struct{}

// Start begins a call to an endpoint.
func (tandemInstrumentation) Start(ctx context.Context, endpoint string) context.Context {
	if !tandemCall.On() {
		return ctx
	}
	var explicit *tandem_rt.Span
	if ctx != nil {
		explicit = tandem_rt.FromContext(ctx)
	}
	tandem_db.Start(tandemCall, explicit, tandemTarget, endpoint, "")
	return ctx
}

// tandemCurrent is the call that runs on this goroutine, or nil.
func tandemCurrent() *tandem_rt.Span {
	if span := tandem_rt.Woven(); span.Is(tandemCall) && span.Home() {
		return span
	}
	return nil
}

// Close ends it.
func (tandemInstrumentation) Close(context.Context) { tandemCurrent().End() }

// RecordError says that it has failed, for another reason than an answer.
func (tandemInstrumentation) RecordError(_ context.Context, err error) {
	if span := tandemCurrent(); err != nil {
		tandem_db.Fail(span, err, tandemErrors)
	}
}

var tandemErrors = tandem_db.Errors{
	{Err: context.Canceled, Name: "context.Canceled"},
	{Err: context.DeadlineExceeded, Name: "context.DeadlineExceeded"},
}

// RecordPathPart tells a variable of the path; ids of documents are nobody's business.
func (tandemInstrumentation) RecordPathPart(_ context.Context, part, value string) {
	if part == "index" && value != "" {
		tandemCurrent().Str(tandem_rt.KeyDBCollectionName, value)
	}
}

// RecordRequestBody looks at no body.
func (tandemInstrumentation) RecordRequestBody(context.Context, string, io.Reader) io.ReadCloser {
	return nil
}

// BeforeRequest is for who changes the request.
func (tandemInstrumentation) BeforeRequest(*http.Request, string) {}

// AfterRequest says which server was asked last.
func (tandemInstrumentation) AfterRequest(req *http.Request, _, _ string) {
	span := tandemCurrent()
	if span == nil || req == nil || req.URL == nil || req.URL.Host == "" {
		return
	}
	span.Str(tandem_rt.KeyServerAddressDimension, req.URL.Hostname())
	if port, err := strconv.ParseInt(req.URL.Port(), 10, 32); err == nil {
		span.Int(tandem_rt.KeyServerPortDimension, port)
	}
}

// AfterResponse is called for nobody but those whom the program has set; tandemPerformed knows the answer.
func (tandemInstrumentation) AfterResponse(context.Context, *http.Response) {}

// tandemPerformed is called when a request was answered, tries included. That there is none is an answer to HEAD.
func tandemPerformed(req *http.Request, result **http.Response) {
	span := tandemCurrent()
	response := *result
	if span == nil || response == nil {
		return
	}
	status := response.StatusCode
	if status == http.StatusNotFound && req.Method == http.MethodHead {
		return
	}
	if status >= 400 {
		code := strconv.Itoa(status)
		span.Str(tandem_rt.KeyDBResponseStatusCode, code)
		span.SetError(code, "")
	}
}
