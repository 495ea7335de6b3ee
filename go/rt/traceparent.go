package rt

// W3C traceparent, eight digits at a time: "00-" 32 digits "-" 16 digits "-" 2 digits.

const (
	ones       = 0x0101010101010101
	lowNibbles = 0x0f0f0f0f0f0f0f0f
)

// TraceparentSize is the size of a traceparent header of version 0.
const TraceparentSize = 55

// Flags of W3C's.
const (
	sampledFlag = 1
	randomFlag  = 2 // the last 7 bytes of the trace id are random
)

// parent is what headers say of the span that a call belongs to.
type parent struct {
	trace [16]byte
	span  [8]byte
	flags uint8
	extra uint8 // of B3's
}

// parseTraceparent reads a header. Versions above 0 are read as far as version 0 goes, as W3C asks.
func parseTraceparent(text string, into *parent) bool {
	if len(text) < TraceparentSize || text[2] != '-' || text[35] != '-' || text[52] != '-' {
		return false
	}
	version, badVersion := parseByte(text[0], text[1])
	flags, badFlags := parseByte(text[53], text[54])
	if badVersion || badFlags || version == 0xff {
		return false
	}
	if len(text) > TraceparentSize && (version == 0 || text[TraceparentSize] != '-') {
		return false
	}
	trace0, bad0 := parse8(load8(text[3:11]))
	trace1, bad1 := parse8(load8(text[11:19]))
	trace2, bad2 := parse8(load8(text[19:27]))
	trace3, bad3 := parse8(load8(text[27:35]))
	span0, bad4 := parse8(load8(text[36:44]))
	span1, bad5 := parse8(load8(text[44:52]))
	if bad0|bad1|bad2|bad3|bad4|bad5 != 0 {
		return false
	}
	if trace0|trace1|trace2|trace3 == 0 || span0|span1 == 0 {
		return false
	}
	store4(into.trace[0:4], trace0)
	store4(into.trace[4:8], trace1)
	store4(into.trace[8:12], trace2)
	store4(into.trace[12:16], trace3)
	store4(into.span[0:4], span0)
	store4(into.span[4:8], span1)
	into.flags = flags
	return true
}

// parse8 turns eight lower-case digits, first digit lowest, into four bytes. bad is not 0 when one is not a digit.
func parse8(digits uint64) (value uint32, bad uint64) {
	letters := digits >> 6 & ones // 1 where a byte can be a letter
	nibbles := (digits&lowNibbles + letters*9) & lowNibbles
	bad = digitsOf(nibbles) ^ digits // turned back into text they must be the same
	nibbles = (nibbles<<4 | nibbles>>8) & 0x00ff00ff00ff00ff
	nibbles = (nibbles | nibbles>>8) & 0x0000ffff0000ffff
	return uint32(nibbles | nibbles>>16), bad
}

// format8 is parse8's inverse.
func format8(value uint32) uint64 {
	spread := (uint64(value) | uint64(value)<<16) & 0x0000ffff0000ffff
	spread = (spread | spread<<8) & 0x00ff00ff00ff00ff
	nibbles := spread>>4&0x000f000f000f000f | spread<<8&0x0f000f000f000f00
	return digitsOf(nibbles)
}

// digitsOf turns eight numbers below 16 into digits.
func digitsOf(nibbles uint64) uint64 {
	letters := (nibbles + 6*ones) >> 4 & ones
	return nibbles + '0'*ones + letters*('a'-'9'-1)
}

func parseByte(high, low byte) (value uint8, bad bool) {
	first, badFirst := parseDigit(high)
	second, badSecond := parseDigit(low)
	return first<<4 | second, badFirst || badSecond
}

func parseDigit(digit byte) (value uint8, bad bool) {
	switch {
	case '0' <= digit && digit <= '9':
		return digit - '0', false
	case 'a' <= digit && digit <= 'f':
		return digit - 'a' + 10, false
	}
	return 0, true
}

// appendTraceparent writes a header of version 0.
func appendTraceparent(to []byte, trace *[16]byte, span *[8]byte, flags uint8) []byte {
	var text [TraceparentSize]byte
	text[0], text[1], text[2], text[35], text[52] = '0', '0', '-', '-', '-'
	for index := 0; index < 4; index++ {
		store8(text[3+8*index:11+8*index], format8(load4(trace[4*index:4*index+4])))
	}
	store8(text[36:44], format8(load4(span[0:4])))
	store8(text[44:52], format8(load4(span[4:8])))
	const digits = "0123456789abcdef"
	text[53], text[54] = digits[flags>>4], digits[flags&15]
	return append(to, text[:]...)
}

// The compiler makes one load or store of each of these.

func load8(text string) uint64 {
	_ = text[7]
	return uint64(text[0]) | uint64(text[1])<<8 | uint64(text[2])<<16 | uint64(text[3])<<24 |
		uint64(text[4])<<32 | uint64(text[5])<<40 | uint64(text[6])<<48 | uint64(text[7])<<56
}

func load4(bytes []byte) uint32 {
	_ = bytes[3]
	return uint32(bytes[0]) | uint32(bytes[1])<<8 | uint32(bytes[2])<<16 | uint32(bytes[3])<<24
}

func store4(bytes []byte, value uint32) {
	_ = bytes[3]
	bytes[0], bytes[1], bytes[2], bytes[3] = byte(value), byte(value>>8), byte(value>>16), byte(value>>24)
}

func store8(bytes []byte, value uint64) {
	_ = bytes[7]
	bytes[0], bytes[1], bytes[2], bytes[3] = byte(value), byte(value>>8), byte(value>>16), byte(value>>24)
	bytes[4], bytes[5], bytes[6], bytes[7] = byte(value>>32), byte(value>>40), byte(value>>48), byte(value>>56)
}
