package router

import (
	"net/http"

	tandem_http "tandem/http"
)

// tandemRoute is a handler that says first under which path it was registered: the router's tree does not know that when it
// has found the handler.
type tandemRoute struct {
	path    string
	handler http.Handler
}

func tandemRouted(path string, handler http.Handler) http.Handler {
	if handler == nil {
		return nil
	}
	return &tandemRoute{path, handler}
}

func (t *tandemRoute) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	tandem_http.Route(t.path)
	t.handler.ServeHTTP(w, r)
}
