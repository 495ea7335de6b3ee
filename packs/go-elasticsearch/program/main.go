// Calls of go-elasticsearch 8 and 9 through the transport that both have: with an index and without, answered, refused, tried
// again, cancelled, and where nobody is.
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/elastic/elastic-transport-go/v8/elastictransport"
	v8 "github.com/elastic/go-elasticsearch/v8/esapi"
	v9 "github.com/elastic/go-elasticsearch/v9/esapi"
)

func main() {
	ctx := context.Background()
	client := transport(serve())
	eight, nine := v8.New(client), v9.New(client)

	answered("8 info", func() (any, error) { return eight.Info() })
	answered("9 info", func() (any, error) { return nine.Info() })
	answered("8 search", func() (any, error) {
		return eight.Search(eight.Search.WithIndex("books"), eight.Search.WithBody(strings.NewReader(query)), eight.Search.WithContext(ctx))
	})
	answered("9 search", func() (any, error) {
		return nine.Search(nine.Search.WithIndex("books", "papers"), nine.Search.WithBody(strings.NewReader(query)), nine.Search.WithContext(ctx))
	})
	answered("8 index", func() (any, error) {
		return eight.Index("books", strings.NewReader(`{"title":"secret"}`), eight.Index.WithDocumentID("secret-id"))
	})
	answered("9 bulk", func() (any, error) { return nine.Bulk(strings.NewReader("{\"index\":{}}\n{\"title\":\"secret\"}\n")) })
	answered("9 get, a miss", func() (any, error) { return nine.Get("books", "missing") })
	answered("9 exists, a miss", func() (any, error) { return nine.Exists("books", "missing") })
	answered("9 count, tried again", func() (any, error) { return nine.Count(nine.Count.WithIndex("busy")) })
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	answered("9 search, cancelled", func() (any, error) { return nine.Search(nine.Search.WithContext(cancelled)) })
	nobody := v9.New(transport("http://127.0.0.1:1"))
	answered("9 info, nobody there", func() (any, error) { return nobody.Info() })
}

const query = `{"query":{"match":{"title":"secret"}}}`

func answered(what string, call func() (any, error)) {
	_, err := call()
	fmt.Printf("%-28s %v\n", what, err != nil)
}

func transport(address string) *elastictransport.Client {
	where, err := url.Parse(address)
	if err != nil {
		panic(err)
	}
	client, err := elastictransport.New(elastictransport.Config{
		URLs: []*url.URL{where}, Username: "elastic", Password: "secret-password", MaxRetries: 1, RetryOnStatus: []int{503},
	})
	if err != nil {
		panic(err)
	}
	return client
}

// serve answers as much as the calls need, since Elasticsearch itself does not run here, and returns its address.
func serve() string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	var busy atomic.Int32
	go http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
		w.Header().Set("Content-Type", "application/json")
		switch {
		case strings.Contains(r.URL.Path, "missing"):
			w.WriteHeader(http.StatusNotFound)
		case strings.Contains(r.URL.Path, "busy") && busy.Add(1) == 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprint(w, `{}`)
	}))
	return "http://" + listener.Addr().String()
}
