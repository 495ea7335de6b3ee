//go:build go1.24

package rt

import "unsafe"

// profileLabel and profileLabelSet are what runtime/pprof keeps: labels in the order of their keys.
type profileLabel struct{ key, value string }

type profileLabelSet struct{ list []profileLabel }

func hasSpanLabels(labels unsafe.Pointer) bool {
	if labels == nil {
		return false
	}
	for _, label := range (*profileLabelSet)(labels).list {
		if label.key == labelTrace || label.key == labelSpan {
			return true
		}
	}
	return false
}

// withSpanLabels returns labels with other ids, or with none when those are empty.
func withSpanLabels(labels unsafe.Pointer, trace, span string) unsafe.Pointer {
	var before []profileLabel
	if labels != nil {
		before = (*profileLabelSet)(labels).list
	}
	own := [...]profileLabel{{labelSpan, span}, {labelTrace, trace}}
	list := make([]profileLabel, 0, len(before)+len(own))
	next := 0
	for _, label := range before {
		if label.key == labelTrace || label.key == labelSpan {
			continue
		}
		for ; span != "" && next < len(own) && own[next].key < label.key; next++ {
			list = append(list, own[next])
		}
		list = append(list, label)
	}
	if span != "" {
		list = append(list, own[next:]...)
	}
	if len(list) == 0 {
		return nil
	}
	return unsafe.Pointer(&profileLabelSet{list})
}
