// Command libraries measures a call of net/http's server and client, of grpc, database/sql and log/slog, and of the packs that
// have a file PACK.go here (with PACK_byhand.go, where a library is there that instruments it), each with nothing but memory at its other end: no kernel, no database. It is built twice. Plain, it also measures each call instrumented by
// hand with OpenTelemetry's contrib libraries and SDK. Woven, it switches itself between dormant, not sampled and traced
// hooks. Only differences within one process are compared.
package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"flag"
	"log"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"time"

	"google.golang.org/grpc"

	"example.com/bench/programs/paired"
)

var (
	rounds  = flag.Int("rounds", 100, "rounds to measure")
	limit   = flag.Duration("limit", time.Minute, "time after which to end early")
	packs   = flag.Bool("packs", false, "measure the calls of more packs, too")
	records = flag.Bool("records", false, "measure log records (woven: OTEL_LOGS_EXPORTER=otlp must be set), not the other calls")
	only    = flag.String("only", "", "measure this case only, such as \"grpc, traced\"")
	profile = flag.String("allocations", "", "write a profile of all allocations to this file")
)

// call is what is measured.
type call struct {
	name  string
	count int  // times in a row: what they record fits a ring, and the SDK's queue
	spans int  // each time
	logs  int  // log records each time
	whole int  // spans each time that it is measured
	ids   bool // the lines that it writes have trace ids
	do    func(n int)

	decided bool // the caller says that its trace is sampled, so it always is
	bare    bool // nobody instruments it by hand
}

// instruments are the places where a program is instrumented by hand.
type instruments struct {
	handler   func(http.Handler) http.Handler
	transport func(http.RoundTripper) http.RoundTripper
	server    []grpc.ServerOption
	client    []grpc.DialOption
	database  func(driver.Connector) *sql.DB
	ids       func(slog.Handler) slog.Handler // trace ids in each line
	records   func(slog.Handler) slog.Handler // and log records
	logger    func() *log.Logger              // with log records
	span      func(do func(context.Context))
	byHand    bool // what a pack's own file instruments
}

// plain instruments nothing.
func plain() instruments {
	return instruments{
		handler:   func(handler http.Handler) http.Handler { return handler },
		transport: func(transport http.RoundTripper) http.RoundTripper { return transport },
		database:  sql.OpenDB,
		ids:       func(handler slog.Handler) slog.Handler { return handler },
		records:   func(handler slog.Handler) slog.Handler { return handler },
		logger:    func() *log.Logger { return log.New(nobody{}, "", log.LstdFlags) },
		span:      request,
	}
}

// spans is how many spans a call has when it is woven, and by hand, which often makes one where we make one for each layer.
func (with instruments) spans(woven, byHand int) int {
	if with.byHand {
		return byHand
	}
	return woven
}

// request is a span where the program is woven.
//
//tandem:span request
func request(do func(context.Context)) { do(context.Background()) }

// calls makes the calls that the flags ask for, ready to be done.
func calls(with instruments) []call {
	makers := []func(instruments) call{server, server2, client, unary, served, query, execute, line}
	if *packs {
		makers = append(makers, more...)
	}
	if *records {
		makers = []func(instruments) call{record, printed}
		if *packs {
			makers = append(makers, moreRecords...)
		}
	}
	var calls []call
	for _, make := range makers {
		calls = append(calls, make(with))
	}
	return calls
}

// more makes the calls of packs that have a file of their own here, which adds to it; moreRecords those that make log records.
var more, moreRecords []func(with instruments) call

func main() {
	flag.Parse()
	runtime.GOMAXPROCS(1)
	if *profile != "" {
		runtime.MemProfileRate = 1
	}
	figures := paired.New("ns")
	cases, finish, err := cases(figures)
	if err != nil {
		log.Fatal(err)
	}
	if *only != "" {
		cases = slices.DeleteFunc(cases, func(each paired.Case) bool { return each.Name != *only })
	}
	paired.Loop(figures, *rounds, *limit, cases)
	if err := finish(); err != nil {
		log.Fatal(err)
	}
	if err := figures.Write(os.Stdout); err != nil {
		log.Fatal(err)
	}
	if *profile != "" {
		if err := writeProfile(); err != nil {
			log.Fatal(err)
		}
	}
}

func writeProfile() error {
	file, err := os.Create(*profile)
	if err != nil {
		return err
	}
	defer file.Close()
	runtime.GC() // the profile knows what was allocated before the last one
	return pprof.Lookup("allocs").WriteTo(file, 0)
}

// counted is a case's work that also counts what it should have recorded.
func counted(figures *paired.Figures, each call) func(n int) {
	return func(n int) {
		each.do(n)
		figures.Counts["spans"] += float64(n*each.spans + each.whole)
		figures.Counts["log records"] += float64(n * each.logs)
	}
}
