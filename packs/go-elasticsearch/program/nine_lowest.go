//go:build lowest

package main

import "github.com/elastic/elastic-transport-go/v8/elastictransport"

// callsOfNine makes none: go-elasticsearch 9 needs a newer transport.
func callsOfNine(elastictransport.Interface) {}
