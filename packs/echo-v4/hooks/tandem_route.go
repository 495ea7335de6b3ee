package echo

import tandem_http "tandem/http"

// tandemRoute gives the request's server span the path that was matched.
func tandemRoute(path string) { tandem_http.Route(path) }
