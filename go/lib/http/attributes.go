package http

import (
	"strconv"
	"strings"

	"tandem/rt"
)

// Attributes of servers and clients, by OpenTelemetry's HTTP conventions. Texts are copied into the span at once, so they
// may be views of buffers that are used again.

// ServerStatus sets the status; 0 is what a handler leaves that wrote nothing: 200. Only 5xx is the server's error.
func ServerStatus(span *rt.Span, status int) {
	if status == 0 {
		status = 200
	}
	span.Int(rt.KeyHTTPResponseStatusCode, int64(status))
	if status >= 500 {
		span.SetError(StatusText(status), "")
	}
}

// Method sets the method. What is not one is _OTHER, so that nobody can make metrics without end.
func Method(span *rt.Span, method string) {
	switch method {
	case "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY":
		span.Str(rt.KeyHTTPRequestMethod, method)
	case "": // how clients may say GET
		span.Str(rt.KeyHTTPRequestMethod, "GET")
	default:
		span.Str(rt.KeyHTTPRequestMethod, "_OTHER")
		span.Str(rt.KeyHTTPRequestMethodOriginal, method)
	}
}

// SplitHost splits "host:port", "[v6]:port", "host" without allocating. A port that is none is 0.
func SplitHost(address string) (host string, port int64) {
	colon := strings.LastIndexByte(address, ':')
	if colon < 0 || strings.IndexByte(address[colon:], ']') >= 0 {
		return trimBrackets(address), 0
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
	return trimBrackets(address[:colon]), port
}

func trimBrackets(host string) string {
	if len(host) > 2 && host[0] == '[' && host[len(host)-1] == ']' {
		return host[1 : len(host)-1]
	}
	return host
}

// Redact hides the values of query parameters whose names say that they are secret. It allocates only then.
func Redact(query string) string {
	for start := 0; start < len(query); {
		end := len(query)
		if next := strings.IndexByte(query[start:], '&'); next >= 0 {
			end = start + next
		}
		if equals := strings.IndexByte(query[start:end], '='); equals >= 0 && isSecret(query[start:start+equals]) {
			return query[:start+equals+1] + "REDACTED" + Redact(query[end:])
		}
		start = end + 1
	}
	return query
}

// isSecret says so of the parameters that sign requests, as the conventions ask, and of those that are called what secrets are
// called: in any case of letters, in one word or parted by hyphens, underscores or dots. docs/secrets.md has the list.
func isSecret(parameter string) bool {
	var name [32]byte
	size := 0
	for i := 0; i < len(parameter); i++ {
		c := parameter[i]
		if c == '-' || c == '_' || c == '.' {
			continue
		}
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if size == len(name) { // the end tells
			copy(name[:], name[1:])
			size--
		}
		name[size] = c
		size++
	}
	word := name[:size]
	switch string(word) {
	case "sig", "awsaccesskeyid", "xamzcredential", "xgoogcredential",
		"auth", "authorization", "bearer", "jwt", "assertion", "clientassertion", "samlresponse", "codeverifier",
		"pass", "passphrase", "pin", "otp", "accesskey", "secretkey", "privatekey", "credentials", "session", "sessionid":
		return true
	}
	for _, end := range [...]string{"token", "password", "passwd", "pwd", "secret", "signature", "apikey"} {
		if len(word) >= len(end) && string(word[len(word)-len(end):]) == end {
			return true
		}
	}
	return false
}

// StatusText is a status as error.type, without allocating.
func StatusText(status int) string {
	if status < 400 || status > 599 {
		return strconv.Itoa(status)
	}
	at := 3 * (status - 400)
	return statusTexts[at : at+3]
}

var statusTexts = func() string {
	var all strings.Builder
	for status := 400; status < 600; status++ {
		all.WriteString(strconv.Itoa(status))
	}
	return all.String()
}()
