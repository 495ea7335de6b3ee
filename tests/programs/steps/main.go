// Steps is a server that keeps its own account of its spans, for tests to compare with: each request takes a step, and
// the step's beginning and end are written to a file before anything else happens. What is in that file has happened,
// however the program ends.
//
//	steps ACCOUNT
//
// It prints its process id and its address. GET /step?n=7 takes step 7, GET /hang?n=8 begins step 8 and never ends it,
// GET /fail?n=9 takes step 9, which fails. It ends when its standard input does.
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
)

var account *os.File

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: steps ACCOUNT")
		os.Exit(2)
	}
	var err error
	account, err = os.OpenFile(os.Args[1], os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	check(err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	fmt.Println("pid", os.Getpid(), "address", listener.Addr())

	http.HandleFunc("/step", func(w http.ResponseWriter, r *http.Request) { answer(w, r, nil) })
	http.HandleFunc("/hang", func(w http.ResponseWriter, r *http.Request) { answer(w, r, func() error { select {} }) })
	http.HandleFunc("/fail", func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, func() error { return errors.New("it failed on purpose") })
	})
	go func() { check(http.Serve(listener, nil)) }()
	io.Copy(io.Discard, os.Stdin)
}

func answer(w http.ResponseWriter, r *http.Request, work func() error) {
	number, err := strconv.Atoi(r.FormValue("n"))
	if err != nil {
		http.Error(w, "n is not a number", http.StatusBadRequest)
		return
	}
	err = step(number, work)
	note("ended", number)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprintln(w, "done", number)
}

//tandem:span step step.number=number
func step(number int, work func() error) error {
	note("began", number)
	if work == nil {
		return nil
	}
	return work()
}

// note writes a line with one system call, so that it is there whole or not at all.
func note(what string, number int) {
	_, err := fmt.Fprintln(account, what, number)
	check(err)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "steps:", err)
		os.Exit(1)
	}
}
