package standalone

import "strings"

// A template of span names, taken apart: alternatives, of which the first whose keys all have values is used.
type template [][]segment

// segment is text, or a key whose value stands there.
type segment struct {
	text string
	key  string
}

// parseTemplate takes "{http.request.method} {http.route}|{http.request.method}" apart.
func parseTemplate(text string) (parsed template) {
alternatives:
	for _, alternative := range strings.Split(text, "|") {
		var segments []segment
		for alternative != "" {
			plain, rest, found := strings.Cut(alternative, "{")
			if plain != "" {
				segments = append(segments, segment{text: plain})
			}
			if !found {
				break
			}
			key, after, closed := strings.Cut(rest, "}")
			if !closed {
				continue alternatives
			}
			segments = append(segments, segment{key: key})
			alternative = after
		}
		if segments != nil {
			parsed = append(parsed, segments)
		}
	}
	return parsed
}
