package main

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// This file answers like Kubernetes' API: the real one is built of more than this machine has room for.

type api struct{ busy atomic.Int32 }

func pod(name string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": name, "namespace": "shop"},
	}}
}

const (
	one   = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"cart","namespace":"shop","resourceVersion":"%d"}}`
	none  = `{"kind":"Status","apiVersion":"v1","status":"Success"}`
	wrong = `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"pods \"nowhere\" not found","reason":"NotFound","code":404}`
)

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.URL.Query().Get("watch") != "":
		for event, kind := range []string{"ADDED", "MODIFIED", "DELETED"} {
			fmt.Fprintf(w, `{"type":"%s","object":`+one+"}\n", kind, event+2)
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done() // until the informer has seen enough
	case strings.HasSuffix(r.URL.Path, "/nowhere"):
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, wrong)
	case strings.HasSuffix(r.URL.Path, "/busy") && a.busy.Add(1) == 1:
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
	case r.Method == http.MethodDelete:
		fmt.Fprint(w, none)
	case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/pods"):
		fmt.Fprint(w, `{"apiVersion":"v1","kind":"PodList","metadata":{"resourceVersion":"1"},"items":[]}`)
	default:
		fmt.Fprintf(w, one, 1)
	}
}
