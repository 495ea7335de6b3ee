package echo

import tandem_http "tandem/http"

// tandemRoute gives the request's server span the route that was matched. A request that matched none has no route; handlers
// for what is not found are registered under a path, but are no routes either.
func tandemRoute(c *Context) {
	if route := c.route; route != nil && route != notFoundRouteInfo && route != methodNotAllowedRouteInfo && route.Method != RouteNotFound {
		tandem_http.Route(c.path)
	}
}
