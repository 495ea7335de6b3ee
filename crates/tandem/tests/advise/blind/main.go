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
	"time"
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
		total += compute(10 * time.Millisecond)
	}
	return total
}

func prices() uint64 {
	cheapest := compute(5 * time.Millisecond)
	if dearest := compute(5 * time.Millisecond); dearest < cheapest {
		return dearest
	}
	return cheapest
}

var start = uint64(88172645463325252)

func compute(long time.Duration) uint64 {
	x := start
	for until := time.Now().Add(long); time.Now().Before(until); {
		for i := 0; i < 10000; i++ {
			x ^= x << 13
			x ^= x >> 7
			x ^= x << 17
		}
	}
	return x
}
