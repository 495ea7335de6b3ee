package main

import (
	"context"
	"io"
	"log"
	"net/url"
	"strings"

	"github.com/elastic/elastic-transport-go/v8/elastictransport"
	"github.com/elastic/go-elasticsearch/v8/esapi"
)

// The figures have the span of the HTTP request in them; by hand the library's own instrumentation makes one.
func init() {
	more = append(more, func(with instruments) call {
		config := elastictransport.Config{
			URLs:      []*url.URL{{Scheme: "http", Host: "127.0.0.1:9200"}},
			Transport: answering(answered("application/json", `{"took":1,"hits":{"hits":[]}}`)),
		}
		if with.byHand {
			config.Instrumentation = elastictransport.NewOtelInstrumentation(nil, false, "8")
		}
		transport, err := elastictransport.New(config)
		if err != nil {
			log.Fatal(err)
		}
		client := esapi.New(transport)
		return call{name: "go-elasticsearch", count: 500, spans: with.spans(2, 1), do: func(n int) {
			for ; n > 0; n-- {
				answer, err := client.Search(client.Search.WithContext(context.Background()), client.Search.WithIndex("books"),
					client.Search.WithBody(strings.NewReader(`{"query":{"match":{"title":"go"}}}`)))
				if err != nil {
					log.Fatal(err)
				}
				io.Copy(io.Discard, answer.Body)
				answer.Body.Close()
			}
		}}
	})
}
