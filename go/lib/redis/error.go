package redis

import (
	"internal/reflectlite"

	"tandem/failure"
	"tandem/rt"
)

// End ends a span whose operation ended with err. A reply is an error that the server answered with: it begins with what
// kind of error it is.
func End(span *rt.Span, err error, reply bool) {
	if span == nil {
		return
	}
	if err != nil {
		fail(span, err, reply)
	}
	span.End()
}

// fail describes an error. It may allocate. Error is code of others, which may panic.
func fail(span *rt.Span, err error, reply bool) {
	kind, text := "_OTHER", ""
	defer func() {
		_ = recover()
		span.SetError(kind, text)
	}()
	text = err.Error()
	if reply {
		if code := prefix(text); code != "" {
			span.Str(rt.KeyDBResponseStatusCode, code)
			kind, text = code, described(text[len(code):])
			return
		}
	}
	kind = Kind(err)
}

// described is the text of an error reply: what stands between quotes may be data.
func described(text string) string {
	clean := make([]byte, 0, len(text))
	var quote byte
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case len(clean) == 0 && c == ' ':
			continue
		case quote == 0 && c != '\'' && c != '"' && c != '`':
			clean = append(clean, c)
		case quote == 0 && i > 0 && text[i-1] != ' ' && text[i-1] != ':':
			clean = append(clean, c) // an apostrophe
		case quote == 0:
			clean, quote = append(clean, c, '?', c), c
		case c == quote:
			quote = 0
		}
	}
	return string(clean)
}

// prefix is the word in capitals that an error reply begins with.
func prefix(text string) string {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c >= 'A' && c <= 'Z', c == '_', c >= '0' && c <= '9' && i > 0:
			if i > 32 {
				return ""
			}
		case c == ' ' && i > 1:
			return text[:i]
		default:
			return ""
		}
	}
	return text
}

// Kind names an error of which only its Go value is known, by the innermost one: that is the reason, those around it say
// where.
func Kind(err error) string {
	err = failure.Innermost(err)
	kind := reflectlite.TypeOf(err).String()
	switch text := err.Error(); {
	case kind == "context.deadlineExceededError":
		return "context.DeadlineExceeded"
	case kind == "*errors.errorString" && text == "context canceled":
		return "context.Canceled"
	case kind == "*errors.errorString" && text == "EOF":
		return "io.EOF"
	}
	return kind
}
