// Package serve is the hello server that all variants share: what it answers, and what it tells of itself.
package serve

import (
	"encoding/json"
	"net/http"
	"os"
	"runtime"
	"sync/atomic"

	"example.com/bench/programs/control"
	"example.com/bench/programs/paired"
)

type answer struct {
	Message string `json:"message"`
}

var served atomic.Uint64

// Hello answers GET /hello.
func Hello(w http.ResponseWriter, r *http.Request) {
	served.Add(1)
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(answer{"hello, world"})
}

// State is what the server has used so far.
type State struct {
	Process     int    `json:"process"`
	Requests    uint64 `json:"requests"` // to hello
	CPU         int64  `json:"cpu"`      // ns
	Allocations uint64 `json:"allocations"`
	Bytes       uint64 `json:"bytes"`
	KernelHalf  bool   `json:"kernel_half"`
}

// Report answers with the State.
func Report(w http.ResponseWriter, r *http.Request) {
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	json.NewEncoder(w).Encode(State{Process: os.Getpid(), Requests: served.Load(), CPU: paired.CPU(), Allocations: memory.Mallocs, Bytes: memory.TotalAlloc,
		KernelHalf: control.HasKernelHalf()})
}
