package main

import (
	"example.com/bench/programs/control"
	"example.com/bench/programs/paired"
	"tandem/rt"
)

var (
	server   = rt.NewOp("bench.server", "bench", rt.KindServer, "{http.request.method} {http.route}")
	internal = rt.NewOp("bench.child", "bench", rt.KindInternal, "child")
)

// woven are the spans of tandem/rt. 1000 of them fit a ring, which is emptied after each measurement.
func woven(memory *control.Memory) []paired.Case {
	const count = 1000
	off := func() { memory.Dormant() }
	on := func() { memory.Traced() }
	none := func() { memory.Unsampled() }
	return []paired.Case{
		{Name: "dormant", Count: count, Do: ten, Set: off, Clear: memory.Empty},
		{Name: "ten", Count: count, Do: ten, Set: on, Clear: memory.Empty},
		{Name: "six", Count: count, Do: six, Set: on, Clear: memory.Empty},
		{Name: "unsampled", Count: count, Do: ten, Set: none, Clear: memory.Empty},
		{Name: "child", Count: count, Do: child, Set: on, Clear: memory.Empty},
	}
}

// ten is a server span with ten attributes, made the way the net/http pack makes it.
func ten(n int) {
	for ; n > 0; n-- {
		span := rt.StartRemote(server, "", "")
		span.Str(rt.KeyHTTPRequestMethod, method)
		if span.Recording() {
			span.Str(rt.KeyURLPath, path)
			span.Str(rt.KeyURLScheme, scheme)
			span.Str(rt.KeyServerAddress, host)
			span.Int(rt.KeyServerPort, int64(port))
			span.Str(rt.KeyClientAddress, client)
			span.Str(rt.KeyUserAgentOriginal, agent)
			span.Str(rt.KeyNetworkProtocolVersion, version)
		}
		span.Str(rt.KeyHTTPRoute, route)
		span.Int(rt.KeyHTTPResponseStatusCode, int64(status))
		span.End()
	}
}

func six(n int) {
	for ; n > 0; n-- {
		span := rt.StartRemote(server, "", "")
		span.Str(rt.KeyHTTPRequestMethod, method)
		if span.Recording() {
			span.Str(rt.KeyURLPath, path)
			span.Str(rt.KeyURLScheme, scheme)
			span.Str(rt.KeyServerAddress, host)
		}
		span.Str(rt.KeyHTTPRoute, route)
		span.Int(rt.KeyHTTPResponseStatusCode, int64(status))
		span.End()
	}
}

// child is a span without attributes inside another one.
func child(n int) {
	parent := rt.StartRemote(server, "", "")
	for ; n > 0; n-- {
		rt.Start(internal, nil).End()
	}
	parent.End()
}
