// Operations is a program that serves and calls itself, for tests that switch what packs record while it runs.
//
// It prints its process id, then asks itself for what the lines of standard input say, each a number and a path, and answers
// each with a line: the traceparent that the handler got. /outer asks for /inner. It ends when its standard
// input does.
package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
)

func main() {
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header.Get("Traceparent")) })
	mux.HandleFunc("/outer", func(w http.ResponseWriter, r *http.Request) {
		request, _ := http.NewRequestWithContext(r.Context(), "GET", server.URL+"/inner", nil)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			panic(err)
		}
		defer response.Body.Close()
		io.Copy(w, response.Body)
	})
	fmt.Println("pid", os.Getpid())
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var number int
		var path string
		fmt.Sscan(lines.Text(), &number, &path)
		response, err := http.Get(server.URL + path)
		if err != nil {
			panic(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			panic(response.Status)
		}
		fmt.Println("answer", number, string(body))
	}
	server.Close()
}
