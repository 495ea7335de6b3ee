package http

import tandem_http "tandem/http"

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
			stream.end(w.TandemStatus(), tandemHTTP2Header(w))
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

// tandemHTTP2Header is the answer's header, where somebody asks for it.
func tandemHTTP2Header(w http2ResponseWriter) Header {
	if len(tandem_http.ServerResponse) == 0 {
		return nil
	}
	return w.Header()
}
