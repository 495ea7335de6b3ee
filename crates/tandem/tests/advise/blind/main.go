// Blind answers requests, and spends its time where nobody has put a span: the program of the test beside it.
//
//	blind
//
// It is plain Go, and prints its process id and address. GET /report computes, and starts another program.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
)

func main() {
	http.HandleFunc("/report", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, report())
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println("pid", os.Getpid(), "address", listener.Addr())
	panic(http.Serve(listener, nil))
}

func report() uint64 {
	total := totals() + prices()
	if err := exec.Command("true").Run(); err != nil {
		panic(err)
	}
	return total
}

// totals is where most of the time goes.
func totals() uint64 {
	total := uint64(0)
	for range [4]int{} {
		total += compute(2 * million)
	}
	return total
}

func prices() uint64 {
	cheapest := compute(million)
	if dearest := compute(million); dearest < cheapest {
		return dearest
	}
	return cheapest
}

const million = 1_000_000

var start = uint64(88172645463325252)

func compute(steps int) uint64 {
	x := start
	for i := 0; i < steps; i++ {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	return x
}
