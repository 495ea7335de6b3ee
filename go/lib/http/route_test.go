package http

import (
	"strings"
	"testing"

	"tandem/rt"
)

var server = rt.NewOp("http.test", "tandem/test", rt.KindServer, "test")

// Guarantees: patterns of mounted routers become one, whatever they are; where no server's span runs nothing happens.
func TestRoute(t *testing.T) {
	Route("/nobody")
	MountedRoute([]string{"/nobody"})
	for _, test := range []struct {
		want     string
		patterns []string
	}{
		{"/", []string{"/"}},
		{"/users/{id}", []string{"/users/{id}"}},
		{"/users", []string{"/users/"}},
		{"/files/*", []string{"/files/*"}},
		{"/api/users/{id}", []string{"/api/*", "/users/{id}"}},
		{"/api", []string{"/api/*", "/"}},
		{"/api/v1/x", []string{"/api/*", "/v1/*", "/x"}},
		{"/x", []string{"/*", "/*", "/x"}},
		{"/", []string{"/*", "/"}},
		{"/api/*", []string{"/api/*", "/*"}},
		{"/a*/b", []string{"/a*", "/b"}},
		{"/api/*", []string{"/api/*", ""}},
		{("/long/" + strings.Repeat("x", 300))[:routeLimit], []string{"/long/*", "/" + strings.Repeat("x", 300)}},
	} {
		var room [routeLimit]byte
		if got := mounted(&room, test.patterns); got != test.want {
			t.Errorf("%q: %q instead of %q", test.patterns, got, test.want)
		}
	}
}

func TestRouteAllocatesNothing(t *testing.T) {
	span := rt.StartIncoming(server, new(rt.Incoming))
	if span == nil {
		t.Skip("nothing is recorded here")
	}
	defer span.End()
	one, two := []string{"/users/{id}"}, []string{"/api/*", "/users/{id}"}
	for name, f := range map[string]func(){
		"one":   func() { MountedRoute(one) },
		"two":   func() { MountedRoute(two) },
		"route": func() { Route("/users/{id}") },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
