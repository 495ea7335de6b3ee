// Command load makes server spans with ten attributes at an even rate, in bursts of a millisecond, for an agent to carry
// away. It prints a line when it has begun and another with what it made and what the agent lost. Woven only.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"runtime"
	"time"

	"example.com/bench/programs/control"
	"example.com/bench/programs/paired"
	"tandem/rt"
)

var op = rt.NewOp("bench.load", "bench", rt.KindServer, "{http.request.method} {http.route}")

func main() {
	rate := flag.Int("rate", 0, "spans a second")
	lasting := flag.Duration("lasting", 3*time.Second, "how long")
	flag.Parse()
	runtime.GOMAXPROCS(1)
	memory, err := control.Open()
	if err != nil {
		log.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond) // until the agent has got over starting
	fmt.Println("begun")
	made := run(*rate, *lasting)
	json.NewEncoder(os.Stdout).Encode(map[string]uint64{"made": made, "dropped": memory.Dropped(), "program_cpu_ns": uint64(paired.CPU())})
	time.Sleep(200 * time.Millisecond) // until the harness has read the agent's clock
}

func run(rate int, lasting time.Duration) (made uint64) {
	started := time.Now()
	for {
		time.Sleep(time.Millisecond)
		elapsed := time.Since(started)
		if elapsed >= lasting {
			return made
		}
		for due := uint64(elapsed.Seconds() * float64(rate)); made < due; made++ {
			span()
		}
	}
}

func span() {
	span := rt.StartRemote(op, "", "")
	span.Str(rt.KeyHTTPRequestMethod, "GET")
	span.Str(rt.KeyURLPath, "/hello")
	span.Str(rt.KeyURLScheme, "http")
	span.Str(rt.KeyServerAddress, "127.0.0.1")
	span.Int(rt.KeyServerPort, 8080)
	span.Str(rt.KeyClientAddress, "127.0.0.1")
	span.Str(rt.KeyUserAgentOriginal, "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0")
	span.Str(rt.KeyNetworkProtocolVersion, "1.1")
	span.Str(rt.KeyHTTPRoute, "/hello")
	span.Int(rt.KeyHTTPResponseStatusCode, 200)
	span.End()
}
