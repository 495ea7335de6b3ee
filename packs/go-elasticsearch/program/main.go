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
	"github.com/elastic/go-elasticsearch/v8/esapi"
)

func main() {
	ctx := context.Background()
	client := transport(serve())
	eight := esapi.New(client)

	answered("8 info", func() (any, error) { return eight.Info() })
	answered("8 search", func() (any, error) {
		return eight.Search(eight.Search.WithIndex("books"), eight.Search.WithBody(strings.NewReader(query)), eight.Search.WithContext(ctx))
	})
	answered("8 index", func() (any, error) {
		return eight.Index("books", strings.NewReader(`{"title":"secret"}`), eight.Index.WithDocumentID("secret-id"))
	})
	answered("8 get, a miss", func() (any, error) { return eight.Get("books", "missing") })
	answered("8 exists, a miss", func() (any, error) { return eight.Exists("books", "missing") })
	answered("8 count, tried again", func() (any, error) { return eight.Count(eight.Count.WithIndex("busy")) })
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	answered("8 search, cancelled", func() (any, error) { return eight.Search(eight.Search.WithContext(cancelled)) })
	nobody := esapi.New(transport("http://127.0.0.1:1"))
	answered("8 info, nobody there", func() (any, error) { return nobody.Info() })
	callsOfNine(client)
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
