package http

import (
	"strings"
	"syscall"

	"tandem/rt"
)

// Headers that become attributes because the program's environment names them (docs/secrets.md). None does by itself.

// Captured are the headers of one kind of message that are to be told. It is empty where nobody has asked for any.
type Captured []captured

type captured struct {
	name   string // as net/http keeps it
	key    string
	hidden bool // that it was there is told, but not what it says
}

// Of requests and responses, as servers and clients see them.
var (
	ServerRequest  = capturedBy("http.request.header.", "SERVER", "REQUEST")
	ServerResponse = capturedBy("http.response.header.", "SERVER", "RESPONSE")
	ClientRequest  = capturedBy("http.request.header.", "CLIENT", "REQUEST")
	ClientResponse = capturedBy("http.response.header.", "CLIENT", "RESPONSE")
)

// capturedLimit is how many headers of a message can be asked for.
const capturedLimit = 32

// capturedBy reads the variables, which OpenTelemetry's languages call differently.
func capturedBy(prefix, side, message string) Captured {
	names, _ := syscall.Getenv("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_" + side + "_" + message)
	more, _ := syscall.Getenv("OTEL_INSTRUMENTATION_HTTP_" + side + "_CAPTURE_" + message + "_HEADERS")
	hidden, _ := syscall.Getenv("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS")
	return parseCaptured(prefix, names+","+more, hidden)
}

// parseCaptured understands lists of names. What is no name of a header is left out.
func parseCaptured(prefix, names, hidden string) (all Captured) {
	hide := map[string]bool{}
	for _, name := range strings.Split(hidden, ",") {
		hide[strings.ToLower(strings.TrimSpace(name))] = true
	}
	known := map[string]bool{}
	for _, name := range strings.Split(names, ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		if !isHeader(name) || known[name] || len(all) == capturedLimit {
			continue
		}
		known[name] = true
		all = append(all, captured{canonical(name), prefix + name, hide[name] || isSecretHeader(name)})
	}
	return all
}

func isHeader(name string) bool {
	for i := 0; i < len(name); i++ {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return name != "" && len(name) <= 64
}

// canonical is a name in small letters as net/http keeps it.
func canonical(name string) string {
	letters := []byte(name)
	for i := range letters {
		if (i == 0 || letters[i-1] == '-') && letters[i] >= 'a' && letters[i] <= 'z' {
			letters[i] -= 'a' - 'A'
		}
	}
	return string(letters)
}

// isSecretHeader says so of headers that are called what secrets are called; their values are told to nobody, whoever asks.
func isSecretHeader(name string) bool {
	if isSecret(name) || strings.Contains(name, "cookie") || strings.Contains(name, "auth") || strings.Contains(name, "session") {
		return true
	}
	for _, end := range [...]string{"key", "jwt", "assertion", "credential", "credentials"} {
		if strings.HasSuffix(name, end) {
			return name != "idempotency-key" && name != "sec-websocket-key"
		}
	}
	return false
}

// capturedRoom is how much of a header's value is told, and how many values.
const (
	capturedRoom   = 1024
	capturedValues = 16
)

// Tell sets an attribute for each of the headers that is there: a list of its values.
func (c Captured) Tell(span *rt.Span, header map[string][]string) {
	if !span.Recording() {
		return
	}
	for i := range c {
		if values := header[c[i].name]; len(values) != 0 {
			c[i].tell(span, values)
		}
	}
}

func (c *captured) tell(span *rt.Span, values []string) {
	var room [512]byte
	items, item := rt.AppendAttribute(room[:0], c.key)
	items, list := rt.BeginList(items)
	for i, value := range values {
		if i == capturedValues {
			rt.CountCut()
			break
		}
		switch {
		case c.hidden:
			value = "REDACTED"
		case strings.Contains(value, "://") || strings.IndexByte(value, '?') >= 0:
			value = RedactURL(value)
		}
		if len(value) > capturedRoom {
			value = value[:capturedRoom]
			rt.CountCut()
		}
		items = rt.AppendString(items, value)
	}
	span.Append(rt.EndItem(rt.EndList(items, list), item))
}

// RedactURL hides in a text that is a URL, or has one in it, what url.full would not say: who logs in, parameters that are
// secret by their names, and the fragment.
func RedactURL(text string) string {
	if at := strings.Index(text, "://"); at >= 0 {
		host := text[at+3:]
		end := strings.IndexAny(host, "/?#")
		if end < 0 {
			end = len(host)
		}
		if user := strings.LastIndexByte(host[:end], '@'); user >= 0 {
			text = text[:at+3] + "REDACTED:REDACTED" + host[user:]
		}
	}
	if fragment := strings.IndexByte(text, '#'); fragment >= 0 {
		text = text[:fragment]
	}
	if mark := strings.IndexByte(text, '?'); mark >= 0 {
		text = text[:mark+1] + Redact(text[mark+1:])
	}
	return text
}
