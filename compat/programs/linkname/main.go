// Command linkname reaches into the runtime and net/http, as widely used libraries do, and reads a field of the
// runtime's g by its offset.
package main

import (
	"bufio"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"os"
	"strings"
	_ "unsafe" // for linkname

	"github.com/petermattis/goid"
)

//go:linkname nanotime runtime.nanotime
func nanotime() int64

//go:linkname procPin runtime.procPin
func procPin() int

//go:linkname procUnpin runtime.procUnpin
func procUnpin()

//go:linkname cloneURLValues net/http.cloneURLValues
func cloneURLValues(v url.Values) url.Values

//go:linkname readRequest net/http.readRequest
func readRequest(b *bufio.Reader) (*http.Request, error)

//go:linkname roundTrip net/http.(*Transport).RoundTrip
func roundTrip(t *http.Transport, r *http.Request) (*http.Response, error)

func look(w http.ResponseWriter, r *http.Request) {
	before := nanotime()
	procPin()
	procUnpin()
	other, err := readRequest(bufio.NewReader(strings.NewReader("GET /other HTTP/1.1\r\nHost: example.com\r\n\r\n")))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprintln(w, nanotime() >= before, cloneURLValues(r.URL.Query()), other.URL, goid.Get() == goid.ExtractGID(stack()))
}

func forward(w http.ResponseWriter, r *http.Request) {
	request, err := http.NewRequest("GET", "http://"+r.Host+"/look?a=b", nil)
	if err != nil {
		log.Fatal(err)
	}
	answer, err := roundTrip(&http.Transport{}, request)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	fmt.Fprintln(w, answer.Status)
}

func main() {
	http.HandleFunc("/look", look)
	http.HandleFunc("/forward", forward)
	log.Fatal(http.ListenAndServe(os.Args[1], nil))
}
