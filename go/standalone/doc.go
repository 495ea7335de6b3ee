// Package standalone sends the spans and log records of a program that has no agent, as OTLP over HTTP.
//
// It lives in the shadow GOROOT as tandem/standalone. The weave has net/http import it, so that it is linked exactly where
// net/http is; with `standalone: true` in tandem.yaml files of package main import it, with `standalone: false` nobody does.
// What always holds:
//
//   - Nothing happens unless the environment names an endpoint. Then few goroutines do all the work: one reads the rings and
//     encodes, one for each signal sends. All are muted, so nothing that they do is ever traced.
//   - The program's own goroutines never wait for it, but for the one that ends the program.
//   - While an agent has the rings, they are not touched. What was taken before is still sent.
//   - It holds at most OTEL_BSP_MAX_QUEUE_SIZE spans; what finds no room stays in the rings, where the newest is dropped. Of log
//     records it holds OTEL_BLRP_MAX_QUEUE_SIZE; further ones are dropped at once, as they must not keep spans from being taken.
//
// The client is not net/http's: that would add 0.8 MB more to a program that is only a server.
//
// The way through the files: standalone.go (who takes it, and when) → encode.go, template.go, value.go (what a span says), logs.go,
// read.go (what a log record says) → request.go, protobuf.go or json.go (its bytes) → lane.go (its queue) → send.go (retries) →
// client.go (the wire). config.go and resource.go read the environment, signal.go is for programs that are asked to end.
package standalone
