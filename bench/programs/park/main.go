// Command park measures what a goroutine's park and unpark cost: two goroutines hand a word to and fro. Woven (with the
// tag of that name) it does so with a span on both sides and without, in turn; plain only without.
package main

import (
	"flag"
	"log"
	"os"
	"runtime"
	"time"

	"example.com/bench/programs/paired"
)

func main() {
	limit := flag.Duration("limit", time.Minute, "time after which to end early")
	rounds := flag.Int("rounds", 200, "rounds")
	flag.Parse()
	runtime.GOMAXPROCS(1)
	figures := paired.New("ns")
	paired.Loop(figures, *rounds, *limit, cases())
	if err := figures.Write(os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// count is how often the word goes to and fro in one measurement. Each time is two pairs of park and unpark.
const count = 1000

func without() paired.Case {
	return paired.Case{Name: "without", Count: count, Do: func(n int) { toAndFro(n, func() func() { return func() {} }) }}
}

// toAndFro runs both goroutines; around is called at the start of each and returns what it calls at the end.
func toAndFro(n int, around func() func()) {
	there, back := make(chan int), make(chan int)
	go func() {
		end := around()
		for range there {
			back <- 1
		}
		end()
		close(back)
	}()
	end := around()
	for ; n > 0; n-- {
		there <- 1
		<-back
	}
	end()
	close(there)
	<-back
}
