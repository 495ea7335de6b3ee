package http

// tandemHTTP2Handler is the handler of HTTP/2 requests, with a span.
type tandemHTTP2Handler struct{ Handler }

func (h tandemHTTP2Handler) ServeHTTP(w http2ResponseWriter, req *Request) {
	span := tandemServerStartHTTP2(req)
	returned := false
	defer func() {
		if returned {
			tandemServerEndHTTP2(span, w.TandemStatus())
		} else if value := recover(); span != nil || value != nil {
			tandemServerPanicHTTP2(span, value)
			if value != nil {
				panic(value)
			}
		}
	}()
	h.Handler.ServeHTTP(w, req)
	returned = true
}
