package http2

import "golang.org/x/net/http2/hpack"

// tandemRoom gives a list that is empty room for three fields, so that it grows to six and twelve. From one it would grow to
// eight, which is what calls of grpc often have, and to sixteen for the one that is ours.
func tandemRoom(fields []hpack.HeaderField) []hpack.HeaderField {
	if cap(fields) != 0 {
		return fields
	}
	return make([]hpack.HeaderField, 0, 3)
}
