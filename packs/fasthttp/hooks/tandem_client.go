package fasthttp

import (
	"io"
	"reflect"

	tandem_http "tandem/http"
	tandem_rt "tandem/rt"
)

// The client half: one span for each time a request is sent, until the response's headers are there (and its body, unless it
// is streamed). The trace travels in headers that the request has while it is sent; afterwards it is as it was.

var tandemClientOp = tandem_rt.NewOp("fasthttp.client", "tandem/github.com/valyala/fasthttp", tandem_rt.KindClient, "{http.request.method}")

// tandemResends is what a Request carries: how many times it was sent before, by the call of Do that runs.
type tandemResends struct{ count int }

func (r *tandemResends) sent(count int) {
	if r != nil {
		r.count = count
	}
}

// tandemCall is one attempt.
type tandemCall struct {
	span   *tandem_rt.Span
	added  [6]*tandem_rt.Header // the headers that were added
	theirs *tandemReplaced
}

// tandemReplaced are headers of the same trace that the request had before, as requests that are passed on have.
type tandemReplaced struct{ names, values [][]byte }

// tandemClientStart begins the span of an attempt.
func tandemClientStart(req *Request) (call tandemCall) {
	if req == nil || !tandemClientOp.On() {
		return call
	}
	span := tandem_rt.Start(tandemClientOp, nil)
	if span == nil {
		return call
	}
	call.span = span
	uri := req.URI()
	tandem_http.Method(span, b2s(req.Header.Method()))
	host, port := tandem_http.SplitHost(b2s(uri.Host()))
	if port == 0 && b2s(uri.Scheme()) == "https" {
		port = 443
	} else if port == 0 {
		port = 80
	}
	span.Str(tandem_rt.KeyServerAddressDimension, host)
	span.Int(tandem_rt.KeyServerPortDimension, port)
	if span.Recording() {
		mark, query := "", b2s(uri.QueryString())
		if query != "" {
			mark, query = "?", tandem_http.Redact(query)
		}
		span.Join(tandem_rt.KeyURLFull, b2s(uri.Scheme()), "://", b2s(uri.Host()), b2s(uri.PathOriginal()), mark, query)
		if req.tandem.count != 0 {
			span.Int(tandem_rt.KeyHTTPRequestResendCount, int64(req.tandem.count))
		}
	}
	call.inject(&req.Header)
	return call
}

// inject adds the trace's headers, unless the caller says himself which trace the request belongs to.
func (call *tandemCall) inject(header *RequestHeader) {
	for _, parent := range tandem_rt.Parents() {
		if tandemHasHeader(header, &parent) {
			var theirs tandem_rt.Incoming
			tandemCatch(&theirs, header)
			if !theirs.Continues(call.span) {
				return
			}
			call.replace(header)
			break
		}
	}
	var out tandem_rt.Outgoing
	out.Fill(call.span, nil)
	count := 0
	for heads := out.Heads(); heads != 0 && count < len(call.added); heads &= heads - 1 {
		name, value := out.Header(heads)
		if tandemHasHeader(header, name) { // baggage that is the program's
			continue
		}
		header.SetCanonical(s2b(name.Canonical), s2b(value))
		call.added[count] = name
		count++
	}
}

// replace takes the headers of our own trace out, for the time of the attempt.
func (call *tandemCall) replace(header *RequestHeader) {
	call.theirs = new(tandemReplaced)
	for _, carrier := range tandem_rt.Carriers() {
		if carrier.Lower == "baggage" { // what that says is the program's
			continue
		}
		for _, name := range []string{carrier.Canonical, carrier.Lower} {
			for i := range header.h {
				if b2s(header.h[i].key) == name {
					call.theirs.names = append(call.theirs.names, []byte(name))
					call.theirs.values = append(call.theirs.values, append([]byte(nil), header.h[i].value...))
				}
			}
			header.DelBytes([]byte(name))
		}
	}
}

// end ends the attempt's span, and gives the request its own headers back.
func (call *tandemCall) end(req *Request, resp *Response, err *error) {
	span := call.span
	if span == nil {
		return
	}
	for _, name := range call.added {
		if name == nil {
			break
		}
		req.Header.DelBytes(s2b(name.Canonical))
	}
	if theirs := call.theirs; theirs != nil {
		for i, name := range theirs.names {
			req.Header.AddBytesKV(name, theirs.values[i])
		}
	}
	if *err != nil {
		span.SetError(tandemError(*err), (*err).Error())
		span.End()
		return
	}
	status := 0
	if resp != nil {
		status = resp.StatusCode()
	}
	if status != 0 {
		span.Int(tandem_rt.KeyHTTPResponseStatusCode, int64(status))
		span.Str(tandem_rt.KeyNetworkProtocolVersion, "1.1")
	}
	if status >= 400 {
		span.SetError(tandem_http.StatusText(status), "")
	}
	span.End()
}

// tandemError is an error as error.type. Those that fasthttp itself returns again and again have names, but no types.
func tandemError(err error) string {
	switch err {
	case ErrNoFreeConns:
		return "fasthttp.ErrNoFreeConns"
	case ErrTimeout:
		return "fasthttp.ErrTimeout"
	case ErrConnectionClosed, io.EOF:
		return "fasthttp.ErrConnectionClosed"
	case ErrDialTimeout:
		return "fasthttp.ErrDialTimeout"
	case ErrBodyTooLarge:
		return "fasthttp.ErrBodyTooLarge"
	}
	return reflect.TypeOf(err).String()
}
