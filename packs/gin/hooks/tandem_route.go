package gin

import tandem_rt "tandem/rt"

// tandemRoute gives the request's server span the route that was matched. A request that matched none has no route, and
// its span is named by its method alone.
func tandemRoute(c *Context) {
	// What is current here is the server's span, unless something around gin has begun one of its own; then the request
	// still says whose it is.
	span := tandem_rt.FromContext(c.Request.Context())
	if span == nil {
		span = tandem_rt.Current()
	}
	span.Str(tandem_rt.KeyHTTPRoute, c.fullPath)
}
