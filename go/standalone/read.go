package standalone

import (
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"tandem/rt"
)

// A reader of JSON, for what libraries put into log records as JSON text. encoding/json would add itself to every program
// that is only a server. Objects are groups: their members are attributes with longer names; in lists they are maps.

// Deeper is nobody's log record.
const (
	deepestGroup = 32
	deepestList  = 100
)

type jsonReader struct {
	*request
	text   []byte
	found  []attribute
	values []byte // behind the attributes
	name   []byte
}

// read reads one value into attributes. It returns false at a mistake; what was found before stays.
func (r *jsonReader) read(text, name []byte) bool {
	r.text, r.found, r.name = text, r.found[:0], append(r.name[:0], name...)
	return r.group(0)
}

// next is the next byte that is not blank, or 0.
func (r *jsonReader) next() byte {
	for len(r.text) > 0 {
		switch r.text[0] {
		case ' ', '\t', '\n', '\r':
			r.text = r.text[1:]
		default:
			return r.text[0]
		}
	}
	return 0
}

func (r *jsonReader) skip(letter byte) bool {
	if r.next() != letter {
		return false
	}
	r.text = r.text[1:]
	return true
}

// each reads the elements of a list, or the members of an object.
func (r *jsonReader) each(end byte, one func(index int) bool) bool {
	r.text = r.text[1:]
	if r.skip(end) {
		return true
	}
	for index := 0; ; index++ {
		if !one(index) {
			return false
		}
		if !r.skip(',') {
			return r.skip(end)
		}
	}
}

// key reads a member's name.
func (r *jsonReader) key() (key []byte, found bool) {
	if r.next() != '"' {
		return nil, false
	}
	if key, found = r.quoted(); !found {
		return nil, false
	}
	return key, r.skip(':')
}

func (r *jsonReader) put(added attribute) { r.found = append(r.found, added) }

// group reads the value of the attribute whose name is in name.
func (r *jsonReader) group(depth int) bool {
	switch r.next() {
	case '{':
		if depth >= deepestGroup {
			return false
		}
		length := len(r.name)
		return r.each('}', func(int) bool {
			key, found := r.key()
			if !found {
				return false
			}
			if length > 0 {
				r.name = append(r.name, '.')
			}
			r.name = append(r.name, key...)
			found = r.group(depth + 1)
			r.name = r.name[:length]
			return found
		})
	case '[':
		start := len(r.values)
		whole, isSound := r.element(r.values, 0)
		if isSound {
			r.values = whole
			r.put(attribute{key: r.named(r.name), kind: rt.ItemExtended, text: whole[start:]})
		}
		return isSound
	}
	one, isSound := r.plain()
	if isSound && one.kind != 0 { // of nothing there is nothing to say
		one.key = r.named(r.name)
		r.put(one)
	}
	return isSound
}

// element encodes a value in a list.
func (r *jsonReader) element(to []byte, depth int) (out []byte, isSound bool) {
	first := r.next()
	if first != '{' && first != '[' {
		one, isSound := r.plain()
		switch one.kind {
		case rt.ItemInt:
			return r.appendInt(to, int64(one.word)), isSound
		case rt.ItemFloat:
			return r.appendFloat(to, math.Float64frombits(one.word)), isSound
		case rt.ItemBool:
			return r.appendBool(to, one.word != 0), isSound
		}
		return r.appendString(to, one.text), isSound
	}
	if depth >= deepestList {
		return to, false
	}
	isMap, end := first == '{', first+2
	to, mark := r.beginList(to, isMap)
	isSound = r.each(end, func(index int) bool {
		var key []byte
		if isMap {
			var found bool
			if key, found = r.key(); !found {
				return false
			}
		}
		var marks [2]int
		var found bool
		to, marks = r.beginValue(to, index, key, isMap)
		if to, found = r.element(to, depth+1); found {
			to = r.endValue(to, marks, isMap)
		}
		return found
	})
	return r.endList(to, mark), isSound
}

// plain reads a value that is no list and no object; null has no kind.
func (r *jsonReader) plain() (one attribute, isSound bool) {
	for _, word := range [...]struct {
		text string
		attribute
	}{
		{"null", attribute{}}, {"true", attribute{kind: rt.ItemBool, word: 1}}, {"false", attribute{kind: rt.ItemBool}},
	} {
		if len(r.text) >= len(word.text) && string(r.text[:len(word.text)]) == word.text {
			r.text = r.text[len(word.text):]
			return word.attribute, true
		}
	}
	if r.next() == '"' {
		text, found := r.quoted()
		return attribute{kind: rt.ItemString, text: text}, found
	}
	return r.number()
}

func isInNumber(letter byte) bool {
	return letter >= '0' && letter <= '9' || letter == '.' || letter == 'e' || letter == 'E' || letter == '+' || letter == '-'
}

// number reads a number. One that is too large for OTLP's integers is text.
func (r *jsonReader) number() (one attribute, isSound bool) {
	size, isInteger := 0, true
	for ; size < len(r.text) && isInNumber(r.text[size]); size++ {
		isInteger = isInteger && (r.text[size] >= '0' && r.text[size] <= '9' || size == 0)
	}
	text := r.text[:size]
	r.text = r.text[size:]
	if isInteger && string(text) != "-0" {
		if number, failure := strconv.ParseInt(string(text), 10, 64); failure == nil {
			return attribute{kind: rt.ItemInt, word: uint64(number)}, true
		}
		if _, failure := strconv.ParseUint(string(text), 10, 64); failure == nil {
			return attribute{kind: rt.ItemString, text: append([]byte(nil), text...)}, true
		}
	}
	number, failure := strconv.ParseFloat(string(text), 64)
	return attribute{kind: rt.ItemFloat, word: math.Float64bits(number)}, failure == nil
}

// quoted reads a string. It stays good until the record is encoded.
func (r *jsonReader) quoted() (text []byte, found bool) {
	rest := r.text[1:]
	for size, letter := range rest {
		if letter == '"' {
			r.text = rest[size+1:]
			return validBytes(rest[:size]), true
		}
		if letter == '\\' {
			break
		}
	}
	for len(rest) > 0 {
		letter := rest[0]
		rest = rest[1:]
		if letter == '"' {
			r.text = rest
			return validBytes(text), true
		}
		if letter != '\\' {
			text = append(text, letter)
			continue
		}
		if len(rest) == 0 {
			break
		}
		letter, rest = rest[0], rest[1:]
		switch letter {
		case '"', '\\', '/':
			text = append(text, letter)
		case 'b':
			text = append(text, '\b')
		case 'f':
			text = append(text, '\f')
		case 'n':
			text = append(text, '\n')
		case 'r':
			text = append(text, '\r')
		case 't':
			text = append(text, '\t')
		case 'u':
			character, valid := hexadecimal(rest)
			if !valid {
				return nil, false
			}
			rest = rest[4:]
			if utf16.IsSurrogate(character) && len(rest) >= 6 && rest[0] == '\\' && rest[1] == 'u' {
				if second, valid := hexadecimal(rest[2:]); valid {
					if both := utf16.DecodeRune(character, second); both != utf8.RuneError {
						character, rest = both, rest[6:]
					}
				}
			}
			text = utf8.AppendRune(text, character) // half a pair becomes U+FFFD
		default:
			return nil, false
		}
	}
	return nil, false
}

func hexadecimal(digits []byte) (character rune, valid bool) {
	if len(digits) < 4 {
		return 0, false
	}
	number, failure := strconv.ParseUint(string(digits[:4]), 16, 16)
	return rune(number), failure == nil
}
