package http

import (
	"net/url"
	"strconv"
	"strings"

	tandem_rt "tandem/rt"
)

// Attributes that servers and clients, HTTP/1 and HTTP/2, have in common, by OpenTelemetry's HTTP conventions.

// tandemServerAttributes describes a request as its server sees it.
func tandemServerAttributes(span *tandem_rt.Span, req *Request, userAgent, version string) {
	tandemMethod(span, req.Method)
	span.Str(tandem_rt.KeyURLSchemeDimension, tandemScheme(req))
	if span.Recording() {
		tandemPeers(span, req, version)
		tandemRequest(span, req, userAgent)
	}
}

// tandemRequest sets what each request has of its own.
func tandemRequest(span *tandem_rt.Span, req *Request, userAgent string) {
	path, query := tandemTarget(req)
	span.Str(tandem_rt.KeyURLPath, path)
	if query != "" {
		span.Str(tandem_rt.KeyURLQuery, tandemRedact(query))
	}
	if userAgent != "" {
		span.Str(tandem_rt.KeyUserAgentOriginal, userAgent)
	}
}

// tandemPeers sets who talks to whom, and how.
func tandemPeers(span *tandem_rt.Span, req *Request, version string) {
	host, port := tandemSplitHost(req.Host)
	client, _ := tandemSplitHost(req.RemoteAddr)
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
	host, port := tandemSplitHost(req.Host)
	client, _ := tandemSplitHost(req.RemoteAddr)
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

// tandemServerStatus sets the status; 0 is what a handler leaves that wrote nothing: 200. Only 5xx is the server's error.
func tandemServerStatus(span *tandem_rt.Span, status int) {
	if status == 0 {
		status = StatusOK
	}
	span.Int(tandem_rt.KeyHTTPResponseStatusCode, int64(status))
	if status >= 500 {
		span.SetError(tandemStatusText(status), "")
	}
}

// tandemMethod sets the method. What is not one is _OTHER, so that nobody can make metrics without end.
func tandemMethod(span *tandem_rt.Span, method string) {
	switch method {
	case "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY":
		span.Str(tandem_rt.KeyHTTPRequestMethod, method)
	case "": // how clients may say GET
		span.Str(tandem_rt.KeyHTTPRequestMethod, "GET")
	default:
		span.Str(tandem_rt.KeyHTTPRequestMethod, "_OTHER")
		span.Str(tandem_rt.KeyHTTPRequestMethodOriginal, method)
	}
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

// tandemSplitHost splits "host:port", "[v6]:port", "host" without allocating. A port that is none is 0.
func tandemSplitHost(address string) (host string, port int64) {
	colon := strings.LastIndexByte(address, ':')
	if colon < 0 || strings.IndexByte(address[colon:], ']') >= 0 {
		return tandemTrimBrackets(address), 0
	}
	if strings.IndexByte(address[:colon], ':') >= 0 && address[0] != '[' {
		return address, 0 // IPv6 without brackets or port
	}
	for _, digit := range []byte(address[colon+1:]) {
		if digit < '0' || digit > '9' || port > 65535 {
			return address, 0
		}
		port = 10*port + int64(digit-'0')
	}
	return tandemTrimBrackets(address[:colon]), port
}

func tandemTrimBrackets(host string) string {
	if len(host) > 2 && host[0] == '[' && host[len(host)-1] == ']' {
		return host[1 : len(host)-1]
	}
	return host
}

// tandemRedact hides the values of query parameters that sign requests, as the conventions ask. It allocates only then.
func tandemRedact(query string) string {
	for start := 0; start < len(query); {
		end := len(query)
		if next := strings.IndexByte(query[start:], '&'); next >= 0 {
			end = start + next
		}
		if equals := strings.IndexByte(query[start:end], '='); equals >= 0 && tandemSecret(query[start:start+equals]) {
			return query[:start+equals+1] + "REDACTED" + tandemRedact(query[end:])
		}
		start = end + 1
	}
	return query
}

func tandemSecret(parameter string) bool {
	switch parameter {
	case "AWSAccessKeyId", "Signature", "sig", "X-Goog-Signature", "X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token":
		return true
	}
	return false
}

// tandemStatusText is a status as error.type, without allocating.
func tandemStatusText(status int) string {
	if status < 400 || status > 599 {
		return strconv.Itoa(status)
	}
	at := 3 * (status - 400)
	return tandemStatusTexts[at : at+3]
}

var tandemStatusTexts = func() string {
	var all strings.Builder
	for status := 400; status < 600; status++ {
		all.WriteString(strconv.Itoa(status))
	}
	return all.String()
}()

// tandemFullURL sets url.full; who logs in, and with what, is not told.
func tandemFullURL(span *tandem_rt.Span, u *url.URL, host string) {
	user := ""
	if u.User != nil {
		user = "REDACTED:REDACTED@"
	}
	separator, path, mark, query := "://", u.EscapedPath(), "", ""
	if u.RawQuery != "" {
		mark, query = "?", tandemRedact(u.RawQuery)
	}
	if u.Opaque != "" {
		separator, user, host, path = ":", "", "", u.Opaque
	}
	span.Join(tandem_rt.KeyURLFull, u.Scheme, separator, user, host, path, mark, query)
}
