package main

import (
	"context"
	"log"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// The figures have the span of the HTTP request in them; by hand (with otelhttp) that is all.
func init() {
	more = append(more, func(with instruments) call {
		config := &rest.Config{
			Host: "http://127.0.0.1:8080", QPS: -1, // no limit
			Transport: with.transport(answering(answered("application/json",
				`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"cart","namespace":"shop"}}`))),
		}
		client, err := dynamic.NewForConfig(config)
		if err != nil {
			log.Fatal(err)
		}
		pods := client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "pods"}).Namespace("shop")
		return call{name: "client-go", count: 250, spans: with.spans(2, 1), do: func(n int) {
			for ; n > 0; n-- {
				if _, err := pods.Get(context.Background(), "cart", metav1.GetOptions{}); err != nil {
					log.Fatal(err)
				}
			}
		}}
	})
}
