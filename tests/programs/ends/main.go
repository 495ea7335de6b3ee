// Ends is a program that ends in the way that its first argument says, for tests of what is left of its spans. Before that it
// always takes one span, "finished"; what is under way at the end is "running".
package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

func main() {
	finished()
	ends[os.Args[1]]()
}

var ends = map[string]func(){
	"return":    func() {},
	"exit":      func() { running(func() { os.Exit(7) }) },
	"fatal":     func() { running(func() { log.Fatal("fatal on purpose") }) },
	"panic":     func() { running(func() { fails(errors.New("panic on purpose")) }) },
	"fault":     func() { running(func() { faults(nil) }) },
	"elsewhere": func() { running(func() { go fails("panic elsewhere"); select {} }) },
	"recovered": func() { running(recovers) },
	"goexit":    func() { goexits() },
	"race":      func() { running(racingMaps) },
	"overflow":  func() { running(func() { overflow(0) }) },
	"deadlock":  func() { running(func() { select {} }) },
	"signal":    func() { running(func() { fmt.Println("ready"); time.Sleep(time.Minute) }) },
	"handled":   handled,
	"exec":      func() { running(func() { check(syscall.Exec(self(), []string{"ends", "return"}, os.Environ())) }) },
	"children":  children,
	"more":      moreProcessors,
	"forbidden": func() { forbid(os.Args[2:]) },
}

//tandem:span finished
func finished() {}

//tandem:span running
func running(work func()) { work() }

//tandem:span fails
func fails(why any) { panic(why) }

//tandem:span faults
func faults(where *int) { *where = 1 }

// recovers takes a span while it panics, and recovers.
//
//tandem:span recovers
func recovers() {
	defer func() { recover() }()
	defer finished()
	fails("to be recovered")
}

func goexits() {
	done := make(chan bool)
	go func() {
		defer close(done)
		running(runtime.Goexit)
	}()
	<-done
}

// racingMaps ends in an error that nothing can recover from.
func racingMaps() {
	shared := map[int]int{}
	for worker := 0; worker < 4; worker++ {
		go func() {
			for index := 0; ; index++ {
				shared[index%8] = index
			}
		}()
	}
	select {}
}

func overflow(depth int) int { return overflow(depth+1) + 1 }

// handled ends on SIGTERM, as servers do.
func handled() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	running(func() {
		fmt.Println("ready")
		<-signals
	})
}

// children runs itself several times at once.
func children() {
	running(func() {
		var all sync.WaitGroup
		for child := 0; child < 8; child++ {
			all.Add(1)
			go func() {
				defer all.Done()
				check(exec.Command(self(), "return").Run())
			}()
		}
		all.Wait()
	})
}

// moreProcessors takes spans on many more processors than there were when it started.
func moreProcessors() {
	runtime.GOMAXPROCS(64)
	var all sync.WaitGroup
	for worker := 0; worker < 256; worker++ {
		all.Add(1)
		go func(worker int) {
			defer all.Done()
			for span := 0; span < 40; span++ {
				counted(strconv.Itoa(worker*1000 + span))
			}
		}(worker)
	}
	all.Wait()
}

//tandem:span counted number=number
func counted(number string) { runtime.Gosched() }

func self() string {
	path, err := os.Executable()
	check(err)
	return path
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
