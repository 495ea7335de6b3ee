package internal

import (
	"encoding/json"
	"strings"
	"unsafe"

	commonpb "go.temporal.io/api/common/v1"
	tandem_rt "tandem/rt"
)

// This file takes a span's context along in Temporal's headers, as the interceptors for OpenTelemetry of Temporal's SDKs do: a
// payload of JSON with a text for each header that the propagators have.

// tandemHeader is where they all keep it.
const tandemHeader = "_tracer-data"

const tandemJSON = "json/plain"

// tandemCarry adds the context of a span to a header, unless the program has done so itself. It does the same when a workflow is
// replayed: commands are not compared by their headers.
func tandemCarry(span *tandem_rt.Span, ctx interface{ Value(any) any }, result **commonpb.Header) {
	header := *result
	if span == nil || header == nil || header.Fields == nil {
		return
	}
	if _, has := header.Fields[tandemHeader]; has {
		return
	}
	var out tandem_rt.Outgoing
	out.Fill(span, ctx)
	data := make([]byte, 0, 96)
	for heads := out.Heads(); heads != 0; heads &= heads - 1 {
		if name, value := out.Header(heads); tandemIsPlain(value) {
			data = append(append(append(append(append(data, `,"`...), name.Lower...), `":"`...), value...), '"')
		}
	}
	if len(data) == 0 {
		return
	}
	data[0] = '{'
	header.Fields[tandemHeader] = &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte(tandemJSON)}, Data: append(data, '}')}
}

// tandemIsPlain says whether a text stands in JSON as it is. Headers do, but for strange tracestates.
func tandemIsPlain(text string) bool {
	for at := 0; at < len(text); at++ {
		if c := text[at]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// tandemCatch looks at the fields of a header. Its texts stay where they are: nobody changes a payload that has come in.
func tandemCatch(in *tandem_rt.Incoming, fields map[string]*commonpb.Payload) {
	payload := fields[tandemHeader]
	if payload == nil || string(payload.Metadata["encoding"]) != tandemJSON {
		return
	}
	rest, is := strings.CutPrefix(strings.TrimLeft(unsafe.String(unsafe.SliceData(payload.Data), len(payload.Data)), tandemBlanks), "{")
	for is {
		var name, value string
		if name, rest, is = tandemText(rest); !is {
			return
		}
		if rest, is = strings.CutPrefix(strings.TrimLeft(rest, tandemBlanks), ":"); !is {
			return
		}
		if value, rest, is = tandemText(rest); !is {
			return
		}
		if tandem_rt.MayCarry(name) {
			values := [1]string{value}
			in.Catch(name, values[:])
		}
		rest, is = strings.CutPrefix(strings.TrimLeft(rest, tandemBlanks), ",")
	}
}

const tandemBlanks = " \t\r\n"

// tandemText reads the text at the beginning of JSON.
func tandemText(from string) (text, rest string, is bool) {
	if from = strings.TrimLeft(from, tandemBlanks); from == "" || from[0] != '"' {
		return "", "", false
	}
	escaped := false
	for at := 1; at < len(from); at++ {
		switch from[at] {
		case '\\':
			escaped = true
			at++
		case '"':
			if escaped {
				text, is = tandemUnescaped(from[:at+1])
				return text, from[at+1:], is
			}
			return from[1:at], from[at+1:], true
		}
	}
	return "", "", false
}

// tandemUnescaped has the variable that only escaped texts pay for.
func tandemUnescaped(quoted string) (string, bool) {
	var text string
	err := json.Unmarshal([]byte(quoted), &text)
	return text, err == nil
}
