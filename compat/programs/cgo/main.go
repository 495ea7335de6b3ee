// Command cgo sorts in C, on a thread that C makes and that calls back into Go, while a request is served.
package main

// #cgo LDFLAGS: -lpthread
// #include "sort.h"
import "C"

import (
	"fmt"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
)

//export goCompare
func goCompare(a, b C.int) C.int { return a - b }

func sorted(words []string) []C.int {
	values := make([]C.int, len(words))
	for index, word := range words {
		value, _ := strconv.Atoi(word)
		values[index] = C.int(value)
	}
	C.sort_elsewhere(&values[0], C.int(len(values)))
	return values
}

func main() {
	http.HandleFunc("/sort", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, sorted(strings.Split(r.URL.Query().Get("values"), ",")))
	})
	log.Fatal(http.ListenAndServe(os.Args[1], nil))
}
