//go:build !go1.24

package rt

import "unsafe"

// runtime/pprof keeps labels in a map.

func hasSpanLabels(labels unsafe.Pointer) bool {
	if labels == nil {
		return false
	}
	_, has := (*(*map[string]string)(labels))[labelSpan]
	return has
}

// withSpanLabels returns labels with other ids, or with none when those are empty.
func withSpanLabels(labels unsafe.Pointer, trace, span string) unsafe.Pointer {
	with := map[string]string{}
	if labels != nil {
		for key, value := range *(*map[string]string)(labels) {
			if key != labelTrace && key != labelSpan {
				with[key] = value
			}
		}
	}
	if span != "" {
		with[labelTrace], with[labelSpan] = trace, span
	}
	if len(with) == 0 {
		return nil
	}
	return unsafe.Pointer(&with)
}
