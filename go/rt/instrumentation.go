package rt

import (
	"sync/atomic"
	"unsafe"
)

// Which operations are on: when the program starts that is what the hooks and the environment say, later what whoever writes the
// control page says (`tandem enable`, `tandem disable`).

// scopePrefix begins the scopes of packs' operations. Those of functions that users mark have none, and are no instrumentation.
const scopePrefix = "tandem/"

// officialNames are the words that OpenTelemetry's own compile-time instrumentation has for libraries.
var officialNames = [...]struct{ name, library string }{
	{"anthropic", "github.com/anthropics/anthropic-sdk-go"},
	{"aws_sdk_v2", "github.com/aws/aws-sdk-go-v2"},
	{"database", "database/sql"},
	{"elasticsearch", "github.com/elastic/go-elasticsearch"},
	{"gin", "github.com/gin-gonic/gin"},
	{"grpc", "google.golang.org/grpc"},
	{"k8s_client_go", "k8s.io/client-go"},
	{"kafka", "github.com/segmentio/kafka-go"},
	{"logs/log", "log"},
	{"logs/logrus", "github.com/sirupsen/logrus"},
	{"logs/slog", "log/slog"},
	{"mongodb", "go.mongodb.org/mongo-driver"},
	{"mongodb_v2", "go.mongodb.org/mongo-driver/v2"},
	{"nethttp", "net/http"},
	{"openai", "github.com/openai/openai-go"},
	{"redis", "github.com/go-redis/redis"},
	{"redis", "github.com/redis/go-redis"},
	{"runtimemetrics", "runtime"},
}

// Instrumented says whether the environment leaves an instrumentation on. It is for what has no operation; id and scope are as
// for NewOp, and may be those of a rule.
func Instrumented(id, scope string) bool {
	if !hasPrefix(scope, scopePrefix) || !hasDot(id) {
		return !listsOp(settings.disabledOps, id, "")
	}
	library := scope[len(scopePrefix):]
	if settings.enabledOps != "" && !listsOp(settings.enabledOps, id, library) {
		return false
	}
	return !listsOp(settings.disabledOps, id, library)
}

// OffByDefault says that an operation is off until somebody asks for it. It is for initialisers, beside NewOp.
func (op *Op) OffByDefault() *Op {
	if op.id != 0 {
		id := descriptorAt(op.id)
		if wanted := string(id.id[:id.idSize]); !asked(settings.enabledOps, wanted) && !asked(settings.moreOps, wanted) {
			op.switchOff()
		}
	}
	return op
}

// switchOff sets the operation's bit; others may write the word's other bits.
func (op *Op) switchOff() {
	for {
		word := atomic.LoadUint64(op.word)
		if atomic.CompareAndSwapUint64(op.word, word, word|op.bit) {
			return
		}
	}
}

// hasDot says whether there is a dot: an id begins with a pack's name and one, but those of the program as a whole; a module's
// path begins with a domain.
func hasDot(id string) bool {
	for index := 0; index < len(id); index++ {
		if id[index] == '.' {
			return true
		}
	}
	return false
}

// listsOp says whether a list has a word for an operation: its id, what its id begins with, or a word for the library.
func listsOp(list, id, library string) bool {
	for more := list != ""; more; {
		var word string
		word, list, more = cutAt(list, ',')
		word = trimBlanks(word)
		if word == "" {
			continue
		}
		if begins(id, word) {
			return true
		}
		for index := range officialNames {
			if official := &officialNames[index]; equalFold(word, official.name) && partOf(library, official.library) {
				return true
			}
		}
	}
	return false
}

// asked says whether a list has an operation's own id.
func asked(list, id string) bool {
	for more := list != ""; more; {
		var word string
		if word, list, more = cutAt(list, ','); sameWord(trimBlanks(word), id) {
			return true
		}
	}
	return false
}

// begins says whether an id is a word, or begins with it and a dot.
func begins(id, word string) bool {
	return len(id) >= len(word) && sameWord(id[:len(word)], word) && (len(id) == len(word) || id[len(word)] == '.')
}

// partOf says whether a library is another, in whatever version, or a part of it. Only MongoDB's versions have words of their own,
// and what lies below a package of Go's is another one.
func partOf(library, other string) bool {
	if !hasPrefix(library, other) || len(library) == len(other) {
		return library == other
	}
	rest := library[len(other):]
	return rest[0] == '/' && hasDot(other) && !(other == "go.mongodb.org/mongo-driver" && hasPrefix(rest, "/v2"))
}

// sameWord compares without looking at case.
func sameWord(one, other string) bool {
	if len(one) != len(other) {
		return false
	}
	for index := 0; index < len(one); index++ {
		if lowerOf(one[index]) != lowerOf(other[index]) {
			return false
		}
	}
	return true
}

func lowerOf(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// Calls that are not sampled because of what they ask for: `tandem disable net/http.server --route '/healthz*'`. The table lies
// in the control page. Who writes it takes an entry's operation away first; a call that reads it at that moment may be
// decided either way.

// leaveOut lets a span not be sampled whose call asks for what is quiet.
//
//go:norace
func (s *Span) leaveOut(op *Op, path string) {
	if path != "" && control.quietCount != 0 && op.isQuiet(path) {
		s.traceFlags &^= sampledFlag
		s.tracestate = ""
	}
}

// isQuiet says whether calls of an operation that ask for this are not sampled.
//
//go:norace
func (op *Op) isQuiet(path string) bool {
	count := atomic.LoadUint32(&control.quietCount)
	if count > quietCount {
		count = quietCount
	}
	for index := uint32(0); index < count; index++ {
		entry := (*quietLayout)(unsafe.Pointer(&control.quiet[uintptr(index)*unsafe.Sizeof(quietLayout{})]))
		if atomic.LoadUint32(&entry.descriptor) != op.id {
			continue
		}
		size := uintptr(entry.size)
		if size > uintptr(len(entry.pattern)) {
			continue
		}
		if matches(entry.pattern[:size], path) {
			return true
		}
	}
	return false
}

// matches compares a text with a pattern, in which * is any text.
//
//go:norace
func matches(pattern []byte, text string) bool {
	at, star, resume := 0, -1, 0
	for index := 0; index < len(text); {
		switch {
		case at < len(pattern) && pattern[at] == '*':
			star, resume = at, index
			if at++; at == len(pattern) {
				return true // however long the text is
			}
		case at < len(pattern) && pattern[at] == text[index]:
			at++
			index++
		case star >= 0:
			resume++
			at, index = star+1, resume
		default:
			return false
		}
	}
	for at < len(pattern) && pattern[at] == '*' {
		at++
	}
	return at == len(pattern)
}
