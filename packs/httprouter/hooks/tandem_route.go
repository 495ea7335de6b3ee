package httprouter

import (
	"net/http"

	tandem_http "tandem/http"
)

// tandemRouted is a handle that says first under which path it was registered: the router's tree does not know that when it
// has found the handle.
func tandemRouted(path string, handle Handle) Handle {
	if handle == nil {
		return nil
	}
	return func(w http.ResponseWriter, r *http.Request, params Params) {
		tandem_http.Route(path)
		handle(w, r, params)
	}
}
