// Brief is a program that is over soon, for tests that start it by the thousand: it has so many goroutines take a span each,
// a hundred at a time, and ends.
//
//	brief GOROUTINES
package main

import (
	"fmt"
	"os"
	"strconv"
	"sync"
)

func main() {
	count, err := strconv.Atoi(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "usage: brief GOROUTINES")
		os.Exit(2)
	}
	for count > 0 {
		var wave sync.WaitGroup
		for begun := 0; begun < 100 && count > 0; begun++ {
			begin(&wave)
			count--
		}
		wave.Wait()
	}
}

func begin(wave *sync.WaitGroup) {
	wave.Add(1)
	go func() {
		defer wave.Done()
		brief()
	}()
}

//tandem:span brief
func brief() {}
