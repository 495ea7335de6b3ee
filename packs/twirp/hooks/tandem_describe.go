package twirp

import (
	"context"
	"unsafe"

	tandem_rt "tandem/rt"
)

// This file names calls and codes the way the semantic conventions do.

const (
	tandemScope = "tandem/github.com/twitchtv/twirp"
	tandemName  = "{rpc.method}|{rpc.system.name}"
)

// tandemMethod is a call's full name, with a slash before it: generated code has put its parts into the context.
type tandemMethod struct {
	size int
	room [256]byte
}

func (m *tandemMethod) read(ctx context.Context) {
	service, _ := ServiceName(ctx)
	method, _ := MethodName(ctx)
	m.add("/")
	if name, _ := PackageName(ctx); name != "" {
		m.add(name)
		m.add(".")
	}
	m.add(service)
	m.add("/")
	m.add(method)
}

func (m *tandemMethod) add(text string) { m.size += copy(m.room[m.size:], text) }

// path is the name with the slash, and as long-lived as m.
func (m *tandemMethod) path() string {
	name := m.room[:m.size]
	return *(*string)(unsafe.Pointer(&name)) // the library's version of Go has no unsafe.String
}

// describe sets what client and server have in common.
func (m *tandemMethod) describe(span *tandem_rt.Span) {
	span.Str(tandem_rt.KeyRPCSystemName, "twirp")
	span.Str(tandem_rt.KeyRPCMethod, m.path()[1:])
}

// tandemCode is an error's code. That it may be a type of the program's own is no reason to trust it: it may be of any length.
func tandemCode(err Error) string {
	if code := err.Code(); IsValidErrorCode(code) && code != NoError {
		return string(code)
	}
	return "_OTHER"
}
