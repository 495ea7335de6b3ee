package gin

import tandem_rt "tandem/rt"

// tandemRoute gives the request's server span the route that was matched. A request that matched none has no route, and
// its span is named by its method alone.
func tandemRoute(c *Context) {
	// Replaced, since the engine may hang below a pattern of http.ServeMux, and HandleContext matches a second time.
	tandem_rt.LocalRoot(tandem_rt.KindServer).Replace(tandem_rt.KeyHTTPRoute, c.fullPath)
}
