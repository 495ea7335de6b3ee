package rt

import "unsafe"

// Labels of the goroutine for profilers (runtime/pprof), on request: TANDEM_SHARE_CONTEXT=labels. Go's own profiles then have
// trace_id and span_id, and so do those of whoever reads labels from outside (the go_pprof_labels_v1 scheme of OTEP 4947).
// They follow the slot. Each change of it allocates the new labels: this is not the hot path as long as nobody asks for it.

const (
	labelTrace = "trace_id"
	labelSpan  = "span_id"
)

// labelling says that labels are wanted; it does not change after start-up.
var labelling bool

// relabel gives the goroutine the labels of the span that its slot holds, beside those that the program itself has set.
//
//go:norace
//go:noinline
func (s *slot) relabel() {
	span := (*Span)(s.context)
	before := profileLabels()
	if span == nil || span.live == 0 || span == &muted {
		if hasSpanLabels(before) {
			setProfileLabels(withSpanLabels(before, "", ""))
		}
		return
	}
	var text [2 * (16 + 8)]byte
	appendHex(appendHex(text[:0], span.trace[:]), span.id[:])
	ids := string(text[:])
	setProfileLabels(withSpanLabels(before, ids[:32], ids[32:]))
}

func appendHex(to, from []byte) []byte {
	const digits = "0123456789abcdef"
	for _, value := range from {
		to = append(to, digits[value>>4], digits[value&15])
	}
	return to
}

// profileLabels is what runtime/pprof.SetGoroutineLabels has left; its type is that package's own.
//
//go:linkname profileLabels runtime/pprof.runtime_getProfLabel
func profileLabels() unsafe.Pointer

//go:linkname setProfileLabels runtime/pprof.runtime_setProfLabel
func setProfileLabels(labels unsafe.Pointer)
