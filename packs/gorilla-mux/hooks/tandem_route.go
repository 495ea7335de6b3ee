package mux

import tandem_http "tandem/http"

// tandemRoute gives the request's server span the template of the path that was matched, subrouters' prefixes included. A
// route may look at other things than the path (host, method, headers): then there is none.
func tandemRoute(path *routeRegexp) {
	if path != nil {
		tandem_http.Route(path.template)
	}
}
