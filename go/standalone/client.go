package standalone

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"tandem/rt"
)

// A client of HTTP/1.1 that does one thing: it posts to one address, over one connection that it keeps.

const (
	// What the other side may send.
	headLimit = 64 << 10
	bodyLimit = 64 << 10
	// An older connection may just be about to be closed.
	idleLimit = 30 * time.Second
	lineLimit = 16 << 10
)

type client struct {
	config     *config
	head       []byte // of each request, up to its length
	connection net.Conn
	reader     *bufio.Reader
	used       time.Time
	dialer     net.Dialer
}

// reply is what came back.
type reply struct {
	status     int
	retryAfter time.Duration
	body       []byte
	keep       bool // the connection can be used again
}

func newClient(c *config) *client {
	kind := "application/x-protobuf"
	if c.json {
		kind = "application/json"
	}
	target, forProxy := c.path, ""
	if c.proxy != nil && !c.https {
		target, forProxy = c.url(), c.proxy.authorization
	}
	head := "POST " + target + " HTTP/1.1\r\nHost: " + c.host + "\r\nContent-Type: " + kind + "\r\n" + forProxy
	if c.gzip {
		head += "Content-Encoding: gzip\r\n"
	}
	named := false
	for _, header := range c.headers {
		head += header.name + ": " + header.value + "\r\n"
		named = named || strings.EqualFold(header.name, "User-Agent")
	}
	if !named {
		head += "User-Agent: tandem/" + rt.TandemVersion + "\r\n"
	}
	return &client{config: c, head: []byte(head + "Content-Length: ")}
}

// post sends one request and waits for the answer. Where a kept connection turns out to have been closed by the other side
// before it answered, it tries a new one.
func (c *client) post(body []byte, deadline time.Time) (reply, error) {
	kept := c.connection != nil && time.Since(c.used) < idleLimit
	if !kept {
		c.close()
	}
	answer, failure := c.attempt(body, deadline)
	if failure != nil && kept && wasClosed(failure) {
		answer, failure = c.attempt(body, deadline)
	}
	return answer, failure
}

// wasClosed says whether the other side had closed the connection before it said anything.
func wasClosed(failure error) bool {
	var timeout net.Error
	return !(errors.As(failure, &timeout) && timeout.Timeout()) && !errors.Is(failure, errBadAnswer)
}

var errBadAnswer = errors.New("the answer is not HTTP")

func (c *client) attempt(body []byte, deadline time.Time) (answer reply, failure error) {
	if c.connection == nil {
		if failure := c.connect(deadline); failure != nil {
			return answer, failure
		}
	}
	defer func() {
		if failure != nil || !answer.keep {
			c.close()
		}
	}()
	c.connection.SetDeadline(deadline)
	request := net.Buffers{append(strconv.AppendInt(append([]byte(nil), c.head...), int64(len(body)), 10), "\r\n\r\n"...), body}
	_, written := request.WriteTo(c.connection)
	// An early refusal may have been sent before all was written.
	answer, failure = readReply(c.reader, false)
	if failure != nil && written != nil {
		failure = written
	}
	if written != nil {
		answer.keep = false
	}
	c.used = time.Now()
	return answer, failure
}

func (c *client) connect(deadline time.Time) error {
	c.dialer.Deadline = deadline
	address := c.config.address
	if c.config.proxy != nil {
		address = c.config.proxy.address
	}
	connection, failure := c.dialer.Dial("tcp", address)
	if failure == nil && c.config.proxy != nil {
		connection, failure = c.throughProxy(connection, deadline)
	}
	if failure == nil && c.config.https {
		settings := &tls.Config{}
		if failure = c.addCertificates(settings); failure == nil {
			connection, failure = secure(connection, settings, c.config.address, deadline)
		}
	}
	if failure != nil {
		if connection != nil {
			connection.Close()
		}
		return failure
	}
	c.connection, c.reader = connection, bufio.NewReaderSize(connection, lineLimit)
	return nil
}

// secure does the TLS handshake with who is at the address. The connection is never nil.
func secure(plain net.Conn, settings *tls.Config, address string, deadline time.Time) (net.Conn, error) {
	plain.SetDeadline(deadline)
	settings.ServerName, _, _ = net.SplitHostPort(address)
	settings.NextProtos = []string{"http/1.1"}
	secured := tls.Client(plain, settings)
	return secured, secured.Handshake()
}

// addCertificates reads the files, for each connection: certificates are renewed.
func (c *client) addCertificates(settings *tls.Config) error {
	if file := c.config.certificate; file != "" {
		text, failure := os.ReadFile(file)
		if failure != nil {
			return failure
		}
		settings.RootCAs = x509.NewCertPool()
		if !settings.RootCAs.AppendCertsFromPEM(text) {
			return errors.New(file + " holds no certificate")
		}
	}
	if c.config.clientCertificate == "" || c.config.clientKey == "" {
		return nil
	}
	own, failure := tls.LoadX509KeyPair(c.config.clientCertificate, c.config.clientKey)
	settings.Certificates = []tls.Certificate{own}
	return failure
}

func (c *client) close() {
	if c.connection != nil {
		c.connection.Close()
		c.connection, c.reader = nil, nil
	}
}

// readReply reads an answer. What agrees to be a tunnel has no body.
func readReply(from *bufio.Reader, tunnel bool) (answer reply, failure error) {
	limited := headLimit
	line := func() (string, error) {
		text, failure := from.ReadSlice('\n')
		if limited -= len(text); limited < 0 || failure == bufio.ErrBufferFull {
			return "", errBadAnswer
		}
		return strings.TrimRight(string(text), "\r\n"), failure
	}
	for answer.status < 200 { // what comes before is "go on"
		first, failure := line()
		if failure != nil {
			return answer, failure
		}
		words := strings.SplitN(first, " ", 3)
		if len(words) < 2 || !strings.HasPrefix(words[0], "HTTP/1.") {
			return answer, errBadAnswer
		}
		if answer.status, failure = strconv.Atoi(words[1]); failure != nil || answer.status < 100 || answer.status > 999 {
			return answer, errBadAnswer
		}
		answer.keep = words[0] == "HTTP/1.1"
		length, chunked := int64(-1), false
		for {
			text, failure := line()
			if failure != nil {
				return answer, failure
			}
			if text == "" {
				break
			}
			name, value, _ := strings.Cut(text, ":")
			value = strings.TrimSpace(value)
			switch strings.ToLower(name) {
			case "content-length":
				if length, failure = strconv.ParseInt(value, 10, 63); failure != nil || length < 0 {
					return answer, errBadAnswer
				}
			case "transfer-encoding":
				chunked = strings.EqualFold(value, "chunked")
			case "connection":
				answer.keep = answer.keep && !strings.EqualFold(value, "close")
			case "retry-after":
				answer.retryAfter = parseRetryAfter(value, time.Now())
			}
		}
		if answer.status >= 200 && !(tunnel && answer.status < 300) {
			answer.readBody(from, length, chunked, line)
		}
	}
	return answer, nil
}

// readBody reads what is worth reading. The status counts, whatever becomes of the body; but the connection may be of no use
// any more.
func (r *reply) readBody(from *bufio.Reader, length int64, chunked bool, line func() (string, error)) {
	if r.status == 204 || r.status == 304 {
		return
	}
	var body bytes.Buffer
	whole := false
	switch {
	case chunked:
		for body.Len() <= bodyLimit {
			text, failure := line()
			text, _, _ = strings.Cut(text, ";")
			size, wrong := strconv.ParseUint(strings.TrimSpace(text), 16, 31)
			if failure != nil || wrong != nil {
				break
			}
			if size == 0 {
				for whole = true; ; { // trailers
					if text, failure := line(); failure != nil || text == "" {
						whole = failure == nil
						break
					}
				}
				break
			}
			if size > bodyLimit {
				break
			}
			if _, failure := io.CopyN(&body, from, int64(size)); failure != nil {
				break
			}
			if text, failure := line(); failure != nil || text != "" {
				break
			}
		}
	case length >= 0:
		count, _ := io.CopyN(&body, from, min(length, bodyLimit))
		whole = count == length
	default:
		io.CopyN(&body, from, bodyLimit) // up to its end
	}
	r.keep = r.keep && whole
	r.body = body.Bytes()
}

// parseRetryAfter reads seconds, or a date.
func parseRetryAfter(value string, now time.Time) time.Duration {
	if seconds, failure := strconv.ParseInt(value, 10, 32); failure == nil {
		return time.Duration(max(seconds, 0)) * time.Second
	}
	for _, layout := range [...]string{"Mon, 02 Jan 2006 15:04:05 GMT", time.RFC850, time.ANSIC} {
		if date, failure := time.Parse(layout, value); failure == nil {
			return max(date.Sub(now), 0)
		}
	}
	return 0
}
