package http2

// TandemStatus is the status of the response so far, 0 when the handler has written nothing.
func (w *responseWriter) TandemStatus() int {
	if w.rws == nil {
		return 0
	}
	return w.rws.status
}
