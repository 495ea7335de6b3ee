package standalone

import (
	"encoding/binary"
	"math"
	"strconv"

	"tandem/rt"
)

// Values that are more than text, a number, or a truth: lists and what is in them. They are encoded where they are read, as
// an AnyValue: its fields in protobuf, its members in JSON.

func (r *request) appendString(to, text []byte) []byte {
	if r.json {
		return appendQuoted(append(to, `"stringValue":`...), validBytes(text))
	}
	return appendField(to, 1, validBytes(text))
}

func (r *request) appendBool(to []byte, flag bool) []byte {
	if r.json {
		return strconv.AppendBool(append(to, `"boolValue":`...), flag)
	}
	if flag {
		return append(to, 2<<3|wireVarint, 1)
	}
	return append(to, 2<<3|wireVarint, 0)
}

func (r *request) appendInt(to []byte, number int64) []byte {
	if r.json {
		return append(strconv.AppendInt(append(to, `"intValue":"`...), number, 10), '"')
	}
	return appendVarint(append(to, 3<<3|wireVarint), uint64(number))
}

func (r *request) appendFloat(to []byte, number float64) []byte {
	if r.json {
		return appendDouble(append(to, `"doubleValue":`...), number)
	}
	return appendFixed64(to, 4, math.Float64bits(number))
}

func (r *request) appendBytes(to, data []byte) []byte {
	if r.json {
		return append(append(append(to, `"bytesValue":"`...), base64(string(data))...), '"')
	}
	return appendField(to, 7, data)
}

// beginList and endList enclose the values of a list, or the pairs of a map; mark is for endList.
func (r *request) beginList(to []byte, isMap bool) (out []byte, mark int) {
	switch {
	case r.json && isMap:
		to = append(to, `"kvlistValue":{"values":[`...)
	case r.json:
		to = append(to, `"arrayValue":{"values":[`...)
	case isMap:
		to = append(to, 6<<3|wireBytes)
	default:
		to = append(to, 5<<3|wireBytes)
	}
	return to, len(to)
}

func (r *request) endList(to []byte, mark int) []byte {
	if r.json {
		return append(to, "]}"...)
	}
	return insertLength(to, mark)
}

// beginValue and endValue enclose a value of a list, or with a key a pair of a map, which are the index-th.
func (r *request) beginValue(to []byte, index int, key []byte, isMap bool) (out []byte, marks [2]int) {
	if r.json {
		if index > 0 {
			to = append(to, ',')
		}
		to = append(to, '{')
		if isMap {
			to = append(appendQuoted(append(to, `"key":`...), validBytes(key)), `,"value":{`...)
		}
		return to, marks
	}
	to = append(to, 1<<3|wireBytes)
	marks[0] = len(to)
	if isMap {
		to = append(appendField(to, 1, validBytes(key)), 2<<3|wireBytes)
		marks[1] = len(to)
	}
	return to, marks
}

func (r *request) endValue(to []byte, marks [2]int, isMap bool) []byte {
	switch {
	case r.json && isMap:
		return append(to, "}}"...)
	case r.json:
		return append(to, '}')
	case isMap:
		to = insertLength(to, marks[1])
	}
	return insertLength(to, marks[0])
}

// insertLength puts the length of what begins at mark before it.
func insertLength(to []byte, mark int) []byte {
	length := len(to) - mark
	size := varintSize(uint64(length))
	to = append(to, make([]byte, size)...)
	copy(to[mark+size:], to[mark:mark+length])
	appendVarint(to[:mark], uint64(length))
	return to
}

// takeSized reads bytes after their own length.
func takeSized(data []byte) (taken, rest []byte, found bool) {
	if len(data) < 4 {
		return nil, nil, false
	}
	size := binary.LittleEndian.Uint32(data)
	if data = data[4:]; uint64(size) > uint64(len(data)) {
		return nil, nil, false
	}
	return data[:size], data[size:], true
}

// appendValue encodes the value that extended items have, and returns what comes after it.
func (r *request) appendValue(to, data []byte, depth int) (out, rest []byte, isSound bool) {
	if len(data) == 0 {
		return to, nil, false
	}
	form, data := data[0], data[1:]
	switch form {
	case rt.ValueInt, rt.ValueFloat:
		if len(data) < 8 {
			return to, nil, false
		}
		word := binary.LittleEndian.Uint64(data)
		if form == rt.ValueInt {
			return r.appendInt(to, int64(word)), data[8:], true
		}
		return r.appendFloat(to, math.Float64frombits(word)), data[8:], true
	case rt.ValueBool:
		if len(data) < 1 {
			return to, nil, false
		}
		return r.appendBool(to, data[0] != 0), data[1:], true
	}
	inside, rest, found := takeSized(data)
	switch {
	case !found:
		return to, nil, false
	case form == rt.ValueString:
		return r.appendString(to, inside), rest, true
	case form == rt.ValueBytes:
		return r.appendBytes(to, inside), rest, true
	case form != rt.ValueList && form != rt.ValueMap || depth > rt.ValueDepthLimit:
		return to, nil, false
	}
	isMap := form == rt.ValueMap
	to, mark := r.beginList(to, isMap)
	for index := 0; len(inside) > 0; index++ {
		var key []byte
		if isMap {
			if key, inside, found = takeSized(inside); !found {
				return to, nil, false
			}
		}
		var marks [2]int
		to, marks = r.beginValue(to, index, key, isMap)
		if to, inside, isSound = r.appendValue(to, inside, depth+1); !isSound {
			return to, nil, false
		}
		to = r.endValue(to, marks, isMap)
	}
	return r.endList(to, mark), rest, true
}

// extended reads an attribute in its extended form. One with a value that plain attributes have, too, becomes one of those.
func (e *Encoder) extended(data []byte, known *operation) (made attribute, found bool) {
	if len(data) < 4 {
		return made, false
	}
	number, size := rt.Key(binary.LittleEndian.Uint16(data)), int(binary.LittleEndian.Uint16(data[2:]))
	if data = data[4:]; size >= len(data) {
		return made, false
	}
	name, value := data[:size], data[size:]
	if made.key = e.key(number, known); number == 0 {
		made.key = e.named(name)
	}
	if made.key == nil {
		return made, false
	}
	switch {
	case value[0] == rt.ValueInt && len(value) == 9:
		made.kind, made.word = rt.ItemInt, binary.LittleEndian.Uint64(value[1:])
	case value[0] == rt.ValueFloat && len(value) == 9:
		made.kind, made.word = rt.ItemFloat, binary.LittleEndian.Uint64(value[1:])
	case value[0] == rt.ValueBool && len(value) == 2:
		made.kind, made.word = rt.ItemBool, uint64(value[1])
	case value[0] == rt.ValueString:
		text, rest, found := takeSized(value[1:])
		if !found || len(rest) > 0 {
			return made, false
		}
		made.kind, made.text = rt.ItemString, cut(validBytes(text), e.limits.valueLength)
	default:
		start := len(e.values)
		encoded, rest, isSound := e.appendValue(e.values, value, 1)
		if !isSound || len(rest) > 0 {
			return made, false
		}
		e.values = encoded
		made.kind, made.text = rt.ItemExtended, encoded[start:]
	}
	return made, true
}
