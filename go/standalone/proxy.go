package standalone

import (
	"bufio"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// HTTP_PROXY, HTTPS_PROXY and NO_PROXY, as programs of Go and most others read them.

// proxy is who passes requests on.
type proxy struct {
	https         bool
	address       string // host and port to connect to
	authorization string // of a request to it; empty: none
}

// readProxy finds out who stands between. nil: nobody.
func (c *config) readProxy(r *reader) {
	variable := "HTTP_PROXY"
	if c.https {
		variable = "HTTPS_PROXY"
	} else if r.get("REQUEST_METHOD") != "" {
		return // a CGI program, in which the variable may be a header that the other side has sent
	}
	name, address := r.inAnyCase(variable)
	_, none := r.inAnyCase("NO_PROXY")
	if address == "" || isDirect(c.address, none) {
		return
	}
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	parsed, failure := url.Parse(address)
	if failure != nil || parsed.Hostname() == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
		r.warn(name, " is not the address of an http or https proxy; ", r.what, " are sent without") // it may hold a password
		return
	}
	port := parsed.Port()
	if port == "" {
		port = map[bool]string{false: "80", true: "443"}[parsed.Scheme == "https"]
	}
	c.proxy = &proxy{https: parsed.Scheme == "https", address: net.JoinHostPort(parsed.Hostname(), port)}
	if user := parsed.User; user != nil {
		password, _ := user.Password()
		c.proxy.authorization = "Proxy-Authorization: Basic " + base64(user.Username()+":"+password) + "\r\n"
	}
}

func (r *reader) inAnyCase(variable string) (name, value string) {
	for _, name := range [...]string{variable, strings.ToLower(variable)} {
		if value := r.get(name); value != "" {
			return name, value
		}
	}
	return "", ""
}

// isDirect says whether no proxy is used: for this machine never, and not for what NO_PROXY lists.
func isDirect(address, list string) bool {
	host, port, _ := net.SplitHostPort(address)
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	ip := net.ParseIP(host)
	if host == "localhost" || ip != nil && ip.IsLoopback() {
		return true
	}
	for _, entry := range strings.Split(list, ",") {
		entry = strings.ToLower(strings.TrimSpace(entry))
		if entry == "*" {
			return true
		}
		if _, network, failure := net.ParseCIDR(entry); failure == nil {
			if ip != nil && network.Contains(ip) {
				return true
			}
			continue
		}
		if name, itsPort, failure := net.SplitHostPort(entry); failure == nil {
			if itsPort != port {
				continue
			}
			entry = name
		}
		if known := net.ParseIP(strings.Trim(entry, "[]")); known != nil {
			if known.Equal(ip) {
				return true
			}
			continue
		}
		entry = strings.TrimPrefix(entry, "*")
		if entry != "" && ip == nil && (host == entry || strings.HasSuffix(host, "."+strings.TrimPrefix(entry, "."))) {
			return true
		}
	}
	return false
}

// throughProxy makes a connection to the proxy one that can be used. It is never nil.
func (c *client) throughProxy(connection net.Conn, deadline time.Time) (net.Conn, error) {
	var failure error
	if c.config.proxy.https {
		connection, failure = secure(connection, &tls.Config{}, c.config.proxy.address, deadline)
	}
	if failure == nil && c.config.https {
		failure = c.tunnel(connection, deadline)
	}
	return connection, failure
}

// tunnel has the proxy connect to who is meant.
func (c *client) tunnel(connection net.Conn, deadline time.Time) error {
	connection.SetDeadline(deadline)
	to := c.config.address
	if _, failure := connection.Write([]byte("CONNECT " + to + " HTTP/1.1\r\nHost: " + to + "\r\n" + c.config.proxy.authorization + "\r\n")); failure != nil {
		return failure
	}
	reader := bufio.NewReaderSize(connection, lineLimit)
	answer, failure := readReply(reader, true)
	if failure != nil {
		return failure
	}
	if answer.status/100 != 2 {
		return errors.New("the proxy " + c.config.proxy.address + " answers with status " + strconv.Itoa(answer.status))
	}
	if reader.Buffered() > 0 {
		return errBadAnswer // nobody has asked yet
	}
	return nil
}
