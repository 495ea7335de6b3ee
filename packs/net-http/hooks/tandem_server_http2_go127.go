package http

// tandemHTTP2Handler is the handler of HTTP/2 requests, with a span.
type tandemHTTP2Handler struct{ Handler }

func (h tandemHTTP2Handler) ServeHTTP(w http2ResponseWriter, req *Request) {
	var stream *tandemStream
	if tandemServerOp.On() {
		if made := new(tandemStream); made.start(req) {
			stream = made
		}
	}
	returned := false
	defer func() {
		if returned {
			stream.end(w.TandemStatus())
		} else if value := recover(); stream != nil || value != nil {
			stream.failed(value)
			if value != nil {
				panic(value)
			}
		}
	}()
	h.Handler.ServeHTTP(w, req)
	returned = true
}
