package fasthttp

import tandem_rt "tandem/rt"

// Headers, where fasthttp keeps them: in buffers that are used again for the next request. What is kept longer is copied.

// tandemCatch reads the context that a request carries.
func tandemCatch(incoming *tandem_rt.Incoming, header *RequestHeader) {
	for _, carrier := range tandem_rt.Carriers() {
		var room [4]string
		values := room[:0]
		for i := range header.h {
			field := &header.h[i]
			if len(field.key) != len(carrier.Lower) || (b2s(field.key) != carrier.Canonical && b2s(field.key) != carrier.Lower) {
				continue
			}
			if carrier.Lower == "tracestate" || carrier.Lower == "baggage" { // which the span keeps
				values = append(values, string(field.value))
			} else {
				values = append(values, b2s(field.value))
			}
		}
		incoming.Catch(carrier.Lower, values)
	}
}

// tandemHasHeader says whether a request carries a header.
func tandemHasHeader(header *RequestHeader, name *tandem_rt.Header) bool {
	for i := range header.h {
		if key := header.h[i].key; len(key) == len(name.Lower) && (b2s(key) == name.Canonical || b2s(key) == name.Lower) {
			return true
		}
	}
	return false
}

// tandemTarget splits the target of a request as it was sent.
func tandemTarget(header *RequestHeader) (path, query string) {
	target := b2s(header.RequestURI())
	for i := 0; i < len(target); i++ {
		if target[i] == '?' {
			return target[:i], target[i+1:]
		}
	}
	return target, ""
}
