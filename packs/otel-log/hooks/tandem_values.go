package log

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
)

// What the API's values are in a log record. What the package's version calls them is declared beside Record.

// tandemDeepest is where values in values end.
const tandemDeepest = 16

// attribute writes one: maps are groups, lists are read from JSON by the agent.
func (w *tandemWriter) attribute(key string, value *tandemValue, depth int) {
	switch kind := tandemKind(value); kind {
	case tandemEmpty:
	case tandemString:
		if text := value.AsString(); !w.isID(key, text) {
			w.log.Str(key, text)
		}
	case tandemInt:
		w.log.Int(key, value.AsInt64())
	case tandemFloat:
		w.log.Float(key, value.AsFloat64())
	case tandemBool:
		w.log.Bool(key, value.AsBool())
	case tandemBytes:
		w.log.Str(key, tandemText(value))
	case tandemMap:
		if depth >= tandemDeepest {
			return
		}
		before := w.log.Open(key)
		members := value.AsMap()
		for index := range members {
			w.attribute(string(members[index].Key), &members[index].Value, depth+1)
		}
		w.log.Shut(before)
	default:
		var room [512]byte
		w.log.Value(key, tandemJSON(room[:0], value, depth))
	}
}

// tandemText is a value as a text: of lists and maps the JSON.
func tandemText(value *tandemValue) string {
	switch kind := tandemKind(value); kind {
	case tandemString:
		return value.AsString()
	case tandemBytes:
		return base64.StdEncoding.EncodeToString(tandemBytesOf(value))
	case tandemFloat:
		return strconv.FormatFloat(value.AsFloat64(), 'g', -1, 64)
	}
	return string(tandemJSON(nil, value, 0))
}

func tandemJSON(text []byte, value *tandemValue, depth int) []byte {
	if depth > tandemDeepest {
		return append(text, "null"...)
	}
	switch kind := tandemKind(value); kind {
	case tandemEmpty:
		return append(text, "null"...)
	case tandemInt:
		return strconv.AppendInt(text, value.AsInt64(), 10)
	case tandemBool:
		return strconv.AppendBool(text, value.AsBool())
	case tandemFloat:
		return tandemNumber(text, value.AsFloat64())
	case tandemString, tandemBytes:
		return tandemQuote(text, tandemText(value))
	case tandemSlice:
		text = append(text, '[')
		elements := value.AsSlice()
		for index := range elements {
			text = tandemJSON(tandemComma(text, index), &elements[index], depth+1)
		}
		return append(text, ']')
	case tandemMap:
		text = append(text, '{')
		members := value.AsMap()
		for index := range members {
			text = append(tandemQuote(tandemComma(text, index), string(members[index].Key)), ':')
			text = tandemJSON(text, &members[index].Value, depth+1)
		}
		return append(text, '}')
	}
	// Lists of one kind.
	text = append(text, '[')
	switch list := tandemListOf(value).(type) {
	case []bool:
		for index, element := range list {
			text = strconv.AppendBool(tandemComma(text, index), element)
		}
	case []int64:
		for index, element := range list {
			text = strconv.AppendInt(tandemComma(text, index), element, 10)
		}
	case []float64:
		for index, element := range list {
			text = tandemNumber(tandemComma(text, index), element)
		}
	case []string:
		for index, element := range list {
			text = tandemQuote(tandemComma(text, index), element)
		}
	}
	return append(text, ']')
}

func tandemComma(text []byte, index int) []byte {
	if index == 0 {
		return text
	}
	return append(text, ',')
}

// tandemNumber writes a number so that it stays one with a fraction; JSON has none that are infinite.
func tandemNumber(text []byte, number float64) []byte {
	if math.IsNaN(number) || math.IsInf(number, 0) {
		return strconv.AppendQuote(text, strconv.FormatFloat(number, 'g', -1, 64))
	}
	if number == math.Trunc(number) && math.Abs(number) < 1e15 {
		return strconv.AppendFloat(text, number, 'f', 1, 64)
	}
	return strconv.AppendFloat(text, number, 'g', -1, 64)
}

func tandemQuote(text []byte, value string) []byte {
	quoted, _ := json.Marshal(value)
	return append(text, quoted...)
}
