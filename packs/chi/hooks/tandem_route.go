package chi

import tandem_http "tandem/http"

// tandemRoute gives the request's server span the route that has been matched so far; a mounted router calls it again. A
// request that matched nothing at all has no route.
func tandemRoute(rctx *Context) { tandem_http.MountedRoute(rctx.RoutePatterns) }
