// What build.sh builds, and (go.sum) which bytes that is. What it needs in turn is in its own go.mod and go.sum.
module example.com/bench-peer

go 1.26.0

require (
	go.opentelemetry.io/auto v0.24.0
	go.opentelemetry.io/auto/sdk v1.2.1
)
