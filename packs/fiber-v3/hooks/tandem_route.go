package fiber

import tandem_http "tandem/http"

// tandemRoute gives the request's server span the route that was matched, mounted apps' prefixes included. Middleware matches
// too, but is no route.
func tandemRoute(route *Route) {
	if !route.use {
		tandem_http.Route(route.Path)
	}
}
