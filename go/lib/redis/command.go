// Package redis describes what clients of Redis, and of what speaks its protocol, do: for the packs of such clients.
//
// A command is shown by its name and by how many arguments it has: keys are often made of what nobody may see, so that no
// argument is shown. Nothing here allocates, but for errors.
package redis

import (
	"strconv"
	"strings"
	"unsafe"

	"tandem/rt"
)

// Name is what spans are called: the command, without the database's number.
const Name = "{db.operation.name}|{db.system.name}"

// System is what spans call the database.
const System = "redis"

// Commands that are made of several.
const (
	Pipeline    = "PIPELINE"
	Transaction = "MULTI"
)

var keyBatchSize = rt.NewKey("db.operation.batch.size")

// other is the name of what cannot be a command: it may be data.
const other = "_OTHER"

// Operation is a command's name as spans show it, which is as the program wrote it: the conventions want its case left alone.
func Operation(name string) string {
	if name == "" || len(name) > 32 {
		return other
	}
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c|0x20 >= 'a' && c|0x20 <= 'z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
		default:
			return other
		}
	}
	return name
}

// marks stand for arguments.
const marks = " ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ?"

// more follows where not all is shown.
const more = " ..."

// placeholders stands for so many arguments; what is more than a line's worth is only said to be there.
func placeholders(arguments int) (text, rest string) {
	switch {
	case arguments <= 0:
		return "", ""
	case arguments <= len(marks)/2:
		return marks[:2*arguments], ""
	}
	return marks, more
}

// Command describes the span of one command with so many arguments.
func Command(span *rt.Span, system, name string, arguments int) {
	name = Operation(name)
	span.Str(rt.KeyDBSystemName, system)
	span.Str(rt.KeyDBOperationName, name)
	if span.Recording() {
		text, rest := placeholders(arguments)
		span.Join(rt.KeyDBQueryText, name, text, rest)
	}
}

// Batch describes a pipeline or a transaction: Add its commands, then Describe its span.
type Batch struct {
	name    string
	size    int
	mixed   bool
	skipped bool
	used    int
	text    [256]byte
}

// Add adds a command with so many arguments.
func (b *Batch) Add(name string, arguments int) {
	name = Operation(name)
	if b.size++; b.size == 1 {
		b.name = name
	} else if b.name != name {
		b.mixed = true
	}
	text, rest := placeholders(arguments)
	between := ""
	if b.used > 0 {
		between = "; "
	}
	if b.skipped || len(between)+len(name)+len(text)+len(rest)+len(more) > len(b.text)-b.used {
		b.skipped = true
		return
	}
	for _, piece := range [...]string{between, name, text, rest} {
		b.used += copy(b.text[b.used:], piece)
	}
}

// Describe describes the span of the batch: kind is Pipeline or Transaction. One command in a pipeline is that command.
func (b *Batch) Describe(span *rt.Span, system, kind string) {
	span.Str(rt.KeyDBSystemName, system)
	switch {
	case b.size == 1 && kind == Pipeline:
		span.Str(rt.KeyDBOperationName, b.name)
	case b.mixed || b.size == 0:
		span.Str(rt.KeyDBOperationName, kind)
	default:
		span.Join(rt.KeyDBOperationName, kind, " ", b.name)
	}
	if !span.Recording() {
		return
	}
	if b.size != 1 {
		span.Int(keyBatchSize, int64(b.size))
	}
	if b.skipped {
		b.used += copy(b.text[b.used:], more)
	}
	if b.used > 0 {
		span.Str(rt.KeyDBQueryText, unsafe.String(&b.text[0], b.used)) // which copies it
	}
}

// Server says, once, which server and which of its databases a span is about. The network is tcp or unix; the address is
// host:port or a path; a database below 0 is not known.
func Server(span *rt.Span, network, address string, database int) {
	if span == nil || span.Has(rt.KeyServerAddressDimension) {
		return
	}
	if database >= 0 {
		span.Str(rt.KeyDBNamespaceDimension, strconv.Itoa(database)) // which does not allocate below 100
	}
	host, port := address, int64(0)
	if network != "unix" {
		host, port = splitAddress(address)
	}
	switch {
	case address == "":
		return // it is not known
	case host == "":
		host = "localhost"
	}
	span.Str(rt.KeyServerAddressDimension, host)
	if port != 0 {
		span.Int(rt.KeyServerPortDimension, port)
	}
}

// splitAddress takes host:port apart; what has no port is a host.
func splitAddress(address string) (host string, port int64) {
	colon := strings.LastIndexByte(address, ':')
	if colon < 0 || strings.HasSuffix(address, "]") {
		return bare(address), 0
	}
	for _, c := range []byte(address[colon+1:]) {
		if c < '0' || c > '9' || port > 65535 {
			return address, 0
		}
		port = port*10 + int64(c-'0')
	}
	return bare(address[:colon]), port
}

// bare is a host without the brackets that IPv6 has. strings.Trim would make a set of them, each time.
func bare(host string) string {
	if len(host) > 1 && host[0] == '[' && host[len(host)-1] == ']' {
		return host[1 : len(host)-1]
	}
	return host
}
