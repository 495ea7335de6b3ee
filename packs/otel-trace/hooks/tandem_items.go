package trace

import (
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	tandem_rt "tandem/rt"
)

// What the API's values are in a record.

// tandemRoom is for items on the stack; more of them move to the heap.
const tandemRoom = 512

// tandemAttributes appends at most count attributes, and says how many it left out.
func tandemAttributes(items []byte, attributes []attribute.KeyValue, count int) (all []byte, dropped int) {
	for index := range attributes {
		if key := string(attributes[index].Key); key == "" || index >= count {
			dropped++
		} else {
			items = tandemAttribute(items, key, &attributes[index].Value)
		}
	}
	return items, dropped
}

func tandemAttribute(items []byte, key string, value *attribute.Value) []byte {
	switch value.Type() {
	case attribute.STRING:
		text := tandemCut(value.AsString())
		if items, done := tandem_rt.AppendShort(items, key, text); done {
			return items
		}
		items, start := tandem_rt.AppendAttribute(items, key)
		return tandem_rt.EndItem(tandem_rt.AppendString(items, text), start)
	case attribute.INT64:
		if items, done := tandem_rt.AppendShortInt(items, key, value.AsInt64()); done {
			return items
		}
	}
	items, start := tandem_rt.AppendAttribute(items, key)
	return tandem_rt.EndItem(tandemValue(items, value), start)
}

func tandemValue(items []byte, value *attribute.Value) []byte {
	if items, done := tandemPlain(items, value); done {
		return items
	}
	return append(items, tandemNested(value, 0)...)
}

// tandemPlain is for types that every version of the API has.
func tandemPlain(items []byte, value *attribute.Value) (all []byte, done bool) {
	start := 0
	switch value.Type() {
	case attribute.BOOL:
		return tandem_rt.AppendBool(items, value.AsBool()), true
	case attribute.INT64:
		return tandem_rt.AppendInt(items, value.AsInt64()), true
	case attribute.FLOAT64:
		return tandem_rt.AppendFloat(items, value.AsFloat64()), true
	case attribute.STRING:
		return tandem_rt.AppendString(items, tandemCut(value.AsString())), true
	case attribute.BOOLSLICE:
		items, start = tandem_rt.BeginList(items)
		for _, element := range value.AsBoolSlice() {
			items = tandem_rt.AppendBool(items, element)
		}
	case attribute.INT64SLICE:
		items, start = tandem_rt.BeginList(items)
		for _, element := range value.AsInt64Slice() {
			items = tandem_rt.AppendInt(items, element)
		}
	case attribute.FLOAT64SLICE:
		items, start = tandem_rt.BeginList(items)
		for _, element := range value.AsFloat64Slice() {
			items = tandem_rt.AppendFloat(items, element)
		}
	case attribute.STRINGSLICE:
		items, start = tandem_rt.BeginList(items)
		for _, element := range value.AsStringSlice() {
			items = tandem_rt.AppendString(items, tandemCut(element))
		}
	default:
		return items, false
	}
	return tandem_rt.EndList(items, start), true
}

// tandemDeepest is how deep lists may lie in each other.
const tandemDeepest = 15

// tandemNested is for the others, which may lie in each other. It has memory of its own:
// what a function that calls itself appends to could not be on the stack.
func tandemNested(value *attribute.Value, depth int) (items []byte) {
	if depth >= tandemDeepest {
		return tandem_rt.AppendString(nil, tandemCut(value.Emit()))
	}
	start := 0
	switch elements := value.AsInterface().(type) {
	case []byte:
		return tandem_rt.AppendBytes(nil, elements)
	case []attribute.Value:
		items, start = tandem_rt.BeginList(nil)
		for index := range elements {
			items = append(items, tandemElement(&elements[index], depth+1)...)
		}
	case []attribute.KeyValue:
		items, start = tandem_rt.BeginMap(nil)
		for index := range elements {
			items = tandem_rt.AppendKey(items, string(elements[index].Key))
			items = append(items, tandemElement(&elements[index].Value, depth+1)...)
		}
	default:
		return tandem_rt.AppendString(nil, tandemCut(value.Emit()))
	}
	return tandem_rt.EndList(items, start)
}

func tandemElement(value *attribute.Value, depth int) []byte {
	if items, done := tandemPlain(nil, value); done {
		return items
	}
	return tandemNested(value, depth)
}

func tandemLinks(items []byte, links []Link) []byte {
	for index := range links {
		link := &links[index]
		ids := link.SpanContext
		if !ids.IsValid() && len(link.Attributes) == 0 && ids.TraceState().Len() == 0 {
			continue
		}
		trace, id := ids.TraceID(), ids.SpanID()
		items = tandem_rt.AppendLink(items, (*[16]byte)(&trace), (*[8]byte)(&id), byte(ids.TraceFlags()), ids.IsRemote(), ids.TraceState().String())
		items, _ = tandemAttributes(items, link.Attributes, tandem_rt.LinkAttributes)
		items = tandem_rt.EndGroup(items)
	}
	return items
}

// tandemLongest is how much of a text is kept in any case.
const tandemLongest = 16 << 10

// tandemCut keeps text within the limit, which counts characters, and within what a record has room for.
func tandemCut(text string) string {
	limit := tandem_rt.AttributeTextLimit
	if len(text) > tandemLongest {
		tandem_rt.CountCut()
		end := tandemLongest
		for end > 0 && !utf8.RuneStart(text[end]) {
			end--
		}
		text = text[:end]
	}
	if limit < 0 || len(text) <= limit {
		return text
	}
	at := 0
	for ; limit > 0 && at < len(text); limit-- {
		_, size := utf8.DecodeRuneInString(text[at:])
		at += size
	}
	return text[:at]
}
