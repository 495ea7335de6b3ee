// Command span measures a span in the program, start to end, in tandem/rt and in the OpenTelemetry Go SDK, with the
// machine's clock read as a yardstick. It must be built by `tandem go build`. No agent takes part: between two
// measurements the program empties its rings itself.
package main

import (
	"flag"
	"log"
	"os"
	"runtime"
	"time"
	_ "unsafe" // for linkname

	"example.com/bench/programs/control"
	"example.com/bench/programs/paired"
)

//go:linkname nanotime runtime.nanotime
func nanotime() int64

// What a request says of itself. Variables, so that no compiler knows them.
var (
	method, path, scheme, route = "GET", "/hello", "http", "/hello"
	host, client, version       = "127.0.0.1", "127.0.0.1", "1.1"
	agent                       = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
	port, status                = 8080, 200
)

var sink int64

func main() {
	limit := flag.Duration("limit", time.Minute, "time after which to end early")
	rounds := flag.Int("rounds", 400, "rounds")
	flag.Parse()
	runtime.GOMAXPROCS(1)
	memory, err := control.Open()
	if err != nil {
		log.Fatal(err)
	}
	if err := memory.KeepAgentsAway(); err != nil {
		log.Fatal(err)
	}
	cases := []paired.Case{{Name: "clock", Count: 2000, Do: func(n int) {
		for ; n > 0; n-- {
			sink += nanotime()
		}
	}}}
	cases = append(cases, woven(memory)...)
	cases = append(cases, sdk()...)
	figures := paired.New("ns")
	paired.Loop(figures, *rounds, *limit, cases)
	figures.Counts["dropped"] = float64(memory.Dropped())
	if err := figures.Write(os.Stdout); err != nil {
		log.Fatal(err)
	}
}
