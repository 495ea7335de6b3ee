//go:build !lowest

package main

import (
	"strings"

	"github.com/elastic/elastic-transport-go/v8/elastictransport"
	"github.com/elastic/go-elasticsearch/v9/esapi"
)

// callsOfNine makes calls of go-elasticsearch 9.
func callsOfNine(client elastictransport.Interface) {
	nine := esapi.New(client)
	answered("9 info", func() (any, error) { return nine.Info() })
	answered("9 search", func() (any, error) {
		return nine.Search(nine.Search.WithIndex("books", "papers"), nine.Search.WithBody(strings.NewReader(query)))
	})
	answered("9 bulk", func() (any, error) { return nine.Bulk(strings.NewReader("{\"index\":{}}\n{\"title\":\"secret\"}\n")) })
}
