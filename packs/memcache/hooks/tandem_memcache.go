package memcache

import (
	"errors"
	"net"
	"strconv"
	"strings"

	"tandem/db"
	tandem_rt "tandem/rt"
)

// This file makes the spans of commands. The server is known only when the key has chosen it, inside the span. Keys are data
// and are not looked at.

var (
	tandemCommand = db.NewOp("memcache.command", "tandem/github.com/bradfitz/gomemcache", db.NameCommand)
	tandemTarget  db.Target
)

func init() { tandemTarget.Set("memcached", "", "", 0) }

func tandemStart(command string) *tandem_rt.Span {
	if !tandemCommand.On() {
		return nil
	}
	return db.Start(tandemCommand, nil, &tandemTarget, command, "")
}

// tandemServer is called when a key has chosen its server.
func tandemServer(addr net.Addr, err error) {
	if err != nil || addr == nil {
		return
	}
	span := tandem_rt.Woven()
	if !span.Home() || !span.Is(tandemCommand) || span.Has(tandem_rt.KeyServerAddressDimension) {
		return
	}
	host := addr.String()
	if colon := strings.LastIndexByte(host, ':'); colon >= 0 && !strings.HasPrefix(host, "/") {
		if port, err := strconv.ParseUint(host[colon+1:], 10, 16); err == nil {
			span.Int(tandem_rt.KeyServerPortDimension, int64(port))
		}
		host = strings.TrimSuffix(strings.TrimPrefix(host[:colon], "["), "]")
	}
	span.Str(tandem_rt.KeyServerAddressDimension, host)
}

// tandemEnd ends the span of a command that returns *result. That a key is not there, or that a condition does not hold, is an
// answer.
func tandemEnd(span *tandem_rt.Span, result *error) {
	if span == nil {
		return
	}
	err := *result
	if errors.Is(err, ErrCacheMiss) || errors.Is(err, ErrNotStored) || errors.Is(err, ErrCASConflict) {
		err = nil
	}
	db.End(span, err, tandemErrors)
}

var tandemErrors = db.Errors{
	{Err: ErrServerError, Name: "memcache.ErrServerError"},
	{Err: ErrNoServers, Name: "memcache.ErrNoServers"},
	{Err: ErrMalformedKey, Name: "memcache.ErrMalformedKey"},
	{Err: ErrNoStats, Name: "memcache.ErrNoStats"},
}
