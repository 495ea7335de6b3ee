package rest

import (
	"context"
	"errors"
	"net/url"
	"testing"

	tandem_rt "tandem/rt"
)

// A request's span costs no allocation, and whatever happened nothing stays current.
func TestTandemRequest(t *testing.T) {
	before := tandem_rt.Unset()
	defer tandem_rt.Restore(before)
	base, _ := url.Parse("https://kube.example:6443/")
	r := &Request{c: &RESTClient{base: base}, verb: "GET", resource: "pods", namespace: "shop", subresource: "log"}
	var none error
	if n := testing.AllocsPerRun(1000, func() { tandemEnd(tandemStart(context.Background(), r, false), &none) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	for _, err := range []error{nil, errors.New("no"), context.Canceled} {
		result := Result{err: err}
		tandemDone(tandemStart(nil, r, false), &result)
		if tandem_rt.Current() != nil {
			t.Fatalf("after %v a span is still current", err)
		}
	}
}

// What a request is about is known by its parts or by its path alone.
func TestTandemAbout(t *testing.T) {
	base, _ := url.Parse("https://kube.example/k8s/")
	for path, want := range map[string]tandemAbout{
		"/k8s/api/v1/namespaces/shop/pods/cart/log":  {"shop", "pods", "cart", "log"},
		"/k8s/apis/apps/v1/namespaces/s/deployments": {"s", "deployments", "", ""},
		"/k8s/api/v1/namespaces":                     {"", "namespaces", "", ""},
		"/k8s/api/v1/namespaces/shop/status":         {"", "namespaces", "shop", "status"},
		"/k8s/api/v1/nodes/a":                        {"", "nodes", "a", ""},
		"/k8s/apis/apps/v1":                          {},
		"/k8s/version":                               {},
		"":                                           {},
	} {
		if got := tandemAboutOf(&Request{c: &RESTClient{base: base}, pathPrefix: path}); got != want {
			t.Errorf("%s: %+v instead of %+v", path, got, want)
		}
	}
	for want, about := range map[string]tandemAbout{"get": {resource: "pods", name: "a"}, "list": {resource: "pods"}, "GET": {}} {
		if got := about.verb("GET", false); got != want {
			t.Errorf("%s instead of %s", got, want)
		}
	}
}
