package http

import (
	"net/url"
	"strings"

	tandem_http "tandem/http"
	tandem_rt "tandem/rt"
)

// Attributes that servers and clients, HTTP/1 and HTTP/2, have in common, by OpenTelemetry's HTTP conventions.

// tandemServerAttributes describes a request as its server sees it.
func tandemServerAttributes(span *tandem_rt.Span, req *Request, userAgent, version string) {
	tandem_http.Method(span, req.Method)
	span.Str(tandem_rt.KeyURLSchemeDimension, tandemScheme(req))
	if span.Recording() {
		tandemPeers(span, req, version)
		tandemRequest(span, req, userAgent)
	}
}

// tandemAnswered sets the headers of an answer that the program's environment asks for.
func tandemAnswered(span *tandem_rt.Span, header Header) {
	if len(tandem_http.ServerResponse) != 0 {
		tandem_http.ServerResponse.Tell(span, header)
	}
}

// tandemRequest sets what each request has of its own.
func tandemRequest(span *tandem_rt.Span, req *Request, userAgent string) {
	path, query := tandemTarget(req)
	span.Str(tandem_rt.KeyURLPath, path)
	if query != "" {
		span.Str(tandem_rt.KeyURLQuery, tandem_http.Redact(query))
	}
	if userAgent != "" {
		span.Str(tandem_rt.KeyUserAgentOriginal, userAgent)
	}
	if len(tandem_http.ServerRequest) != 0 {
		tandem_http.ServerRequest.Tell(span, req.Header)
	}
}

// tandemPeers sets who talks to whom, and how.
func tandemPeers(span *tandem_rt.Span, req *Request, version string) {
	host, port := tandem_http.SplitHost(req.Host)
	client, _ := tandem_http.SplitHost(req.RemoteAddr)
	if host != "" {
		span.Str(tandem_rt.KeyServerAddress, host)
	}
	if port != 0 {
		span.Int(tandem_rt.KeyServerPort, port)
	}
	if client != "" {
		span.Str(tandem_rt.KeyClientAddress, client)
	}
	span.Str(tandem_rt.KeyNetworkProtocolVersion, version)
}

// tandemFixPeers is tandemPeers for many spans; false: they do not fit.
func tandemFixPeers(fixed *tandem_rt.Fixed, req *Request, version string) bool {
	host, port := tandem_http.SplitHost(req.Host)
	client, _ := tandem_http.SplitHost(req.RemoteAddr)
	return (host == "" || fixed.Str(tandem_rt.KeyServerAddress, host)) &&
		(port == 0 || fixed.Int(tandem_rt.KeyServerPort, port)) &&
		(client == "" || fixed.Str(tandem_rt.KeyClientAddress, client)) &&
		fixed.Str(tandem_rt.KeyNetworkProtocolVersion, version)
}

func tandemScheme(req *Request) string {
	if req.TLS != nil {
		return "https"
	}
	return "http"
}

// tandemTarget splits the request target as it was sent. Handlers may have changed req.URL.
func tandemTarget(req *Request) (path, query string) {
	target := req.RequestURI
	if target == "" || target[0] != '/' { // absolute form, authority form, or *
		if req.URL == nil {
			return target, ""
		}
		return req.URL.Path, req.URL.RawQuery
	}
	if mark := strings.IndexByte(target, '?'); mark >= 0 {
		return target[:mark], target[mark+1:]
	}
	return target, ""
}

// tandemFullURL sets url.full; who logs in, and with what, is not told.
func tandemFullURL(span *tandem_rt.Span, u *url.URL, host string) {
	user := ""
	if u.User != nil {
		user = "REDACTED:REDACTED@"
	}
	separator, path, mark, query := "://", u.EscapedPath(), "", ""
	if u.RawQuery != "" {
		mark, query = "?", tandem_http.Redact(u.RawQuery)
	}
	if u.Opaque != "" {
		separator, user, host, path = ":", "", "", u.Opaque
	}
	span.Join(tandem_rt.KeyURLFull, u.Scheme, separator, user, host, path, mark, query)
}
