package rt

import "unsafe"

// W3C tracestate. What it holds is checked once, where it comes in; from there on it travels as it is. The only member
// that is ever changed is OpenTelemetry's own, "ot", which says how a trace was sampled:
//
//	ot=th:c;rv:6e6d1a75832a2f
//
// th is the threshold that the trace's randomness has reached, rv that randomness where it is not in the trace id.

const (
	// Longer tracestates lose whole members, as the W3C text says.
	tracestateLimit  = 512
	stateMemberLimit = 32
	// Members larger than this go first.
	largeMember = 128
	// What a key or a value may have.
	stateTextLimit = 256
	// Digits of a threshold and of a randomness: 56 bits.
	otDigits = 14
)

// stateFacts is what a look at a tracestate tells.
type stateFacts struct {
	valid   bool   // false: it does not travel on
	clean   bool   // it can travel on as it is
	hasOT   bool   // there is a member of OpenTelemetry's, with this value:
	ot      string // (of several the first)
	size    int    // bytes without white space and empty members
	members int
}

// scanState looks at a tracestate that came in.
func scanState(text string) (facts stateFacts) {
	facts.clean = true
	for rest, more := text, true; more; {
		var raw string
		raw, rest, more = cutAt(rest, ',')
		member := trimBlanks(raw)
		if len(member) != len(raw) || member == "" {
			facts.clean = false
		}
		if member == "" {
			continue
		}
		key, value, found := cutAt(member, '=')
		if !found || !isStateKey(key) || !isStateValue(value) {
			return stateFacts{}
		}
		if facts.members++; facts.members > stateMemberLimit {
			return stateFacts{}
		}
		facts.size += len(member) + 1
		if key == "ot" && !facts.hasOT {
			facts.hasOT, facts.ot = true, value
		}
	}
	if facts.members == 0 {
		return stateFacts{}
	}
	facts.size-- // as many commas, less one
	facts.clean = facts.clean && facts.size <= tracestateLimit
	facts.valid = true
	return facts
}

// isStateKey checks a key by level 2 of the specification.
func isStateKey(key string) bool {
	if key == "" || len(key) > stateTextLimit || !isLowerOrDigit(key[0]) {
		return false
	}
	for index := 1; index < len(key); index++ {
		switch letter := key[index]; letter {
		case '_', '-', '*', '/', '@':
		default:
			if !isLowerOrDigit(letter) {
				return false
			}
		}
	}
	return true
}

func isLowerOrDigit(letter byte) bool {
	return 'a' <= letter && letter <= 'z' || '0' <= letter && letter <= '9'
}

// isStateValue checks a value, which trimBlanks has taken the end's spaces from.
func isStateValue(value string) bool {
	if value == "" || len(value) > stateTextLimit {
		return false
	}
	for index := 0; index < len(value); index++ {
		if letter := value[index]; letter < ' ' || letter > '~' || letter == '=' {
			return false
		}
	}
	return value[len(value)-1] != ' '
}

// otFacts is what OpenTelemetry's member says.
type otFacts struct {
	threshold, randomness       uint64
	hasThreshold, hasRandomness bool
	mentionsThreshold           bool // also by a value that is none
}

// scanOT reads the value of OpenTelemetry's member. Of a sub-key that is there twice the first counts.
func scanOT(value string) (facts otFacts) {
	for more := true; more; {
		var pair string
		pair, value, more = cutAt(value, ';')
		key, digits, _ := cutAt(pair, ':')
		switch {
		case key == "th" && !facts.mentionsThreshold:
			facts.mentionsThreshold = true
			facts.threshold, facts.hasThreshold = parseFraction(digits)
		case key == "rv" && !facts.hasRandomness && len(digits) == otDigits:
			facts.randomness, facts.hasRandomness = parseFraction(digits)
		}
	}
	return facts
}

// parseFraction reads 1 to 14 digits; those that are missing at the end are 0.
func parseFraction(digits string) (value uint64, valid bool) {
	if digits == "" || len(digits) > otDigits {
		return 0, false
	}
	for index := 0; index < len(digits); index++ {
		digit, bad := parseDigit(digits[index])
		if bad {
			return 0, false
		}
		value = value<<4 | uint64(digit)
	}
	return value << (4 * (otDigits - len(digits))), true
}

// appendThreshold writes a threshold's digits, without the zeros at the end.
func appendThreshold(to []byte, threshold uint64) []byte {
	const digits = "0123456789abcdef"
	for first := true; first || threshold != 0; first = false {
		to = append(to, digits[threshold>>52&15])
		threshold = threshold << 4 & (neverSample - 1)
	}
	return to
}

// thresholdState is the tracestate of a trace that begins with this threshold.
func thresholdState(threshold uint64) string {
	var room [6 + otDigits]byte
	return string(appendThreshold(append(room[:0], "ot=th:"...), threshold))
}

// What to do about the threshold that a tracestate mentions, where it is not replaced by another one.
const (
	keepThreshold  = neverSample + 1
	eraseThreshold = neverSample + 2
)

// renewState returns the tracestate to go on, with another threshold, or keepThreshold, or eraseThreshold. It is the same
// string whenever that can be.
func renewState(text string, facts *stateFacts, threshold uint64) string {
	if !facts.valid {
		if threshold < neverSample {
			return thresholdState(threshold)
		}
		return ""
	}
	if threshold == keepThreshold && facts.clean {
		return text
	}
	var ot [4 + stateTextLimit]byte
	var members [stateMemberLimit + 1]string
	count := 0
	if threshold != keepThreshold {
		if changed := changeOT(ot[:0], facts.ot, threshold); changed != nil {
			members[0] = unsafe.String(&changed[0], len(changed)) // copied before this returns
			count = 1
		}
	}
	for rest, more := text, true; more; {
		var member string
		member, rest, more = cutAt(rest, ',')
		member = trimBlanks(member)
		if key, _, _ := cutAt(member, '='); member == "" || threshold != keepThreshold && key == "ot" {
			continue
		}
		members[count] = member
		count++
	}
	return joinState(members[:count])
}

// changeOT appends OpenTelemetry's member with another threshold, or with none. nil: nothing is left of it.
func changeOT(to []byte, value string, threshold uint64) []byte {
	to = append(to, "ot="...)
	if threshold < neverSample {
		to = appendThreshold(append(to, "th:"...), threshold)
	}
	head := len(to)
	for more := true; more; {
		var pair string
		pair, value, more = cutAt(value, ';')
		if key, _, _ := cutAt(pair, ':'); key == "th" || pair == "" {
			continue
		}
		if len(to) > 3 {
			to = append(to, ';')
		}
		to = append(to, pair...)
	}
	switch {
	case len(to) == 3:
		return nil
	case len(to) > 3+stateTextLimit && threshold < neverSample: // what others need there goes before ours
		kept := append([]byte("ot="), to[head+1:]...)
		return kept
	}
	return to
}

// joinState puts members together, as many as there is room for.
func joinState(members []string) string {
	size := len(members) - 1
	for _, member := range members {
		size += len(member)
	}
	count := len(members)
	drop := func(index int) {
		size -= len(members[index]) + 1
		copy(members[index:count], members[index+1:count])
		count--
	}
	if count > stateMemberLimit {
		drop(count - 1)
	}
	for index := count - 1; index >= 0 && size > tracestateLimit; index-- {
		if len(members[index]) > largeMember {
			drop(index)
		}
	}
	for size > tracestateLimit {
		drop(count - 1)
	}
	if count == 0 {
		return ""
	}
	var room [tracestateLimit]byte
	text := append(room[:0], members[0]...)
	for _, member := range members[1:count] {
		text = append(append(text, ','), member...)
	}
	return string(text)
}

// cutAt splits text at the first separator; found: there is one.
func cutAt(text string, separator byte) (before, after string, found bool) {
	for index := 0; index < len(text); index++ {
		if text[index] == separator {
			return text[:index], text[index+1:], true
		}
	}
	return text, "", false
}

// trimBlanks takes spaces and tabs from both ends.
func trimBlanks(text string) string {
	for text != "" && (text[0] == ' ' || text[0] == '\t') {
		text = text[1:]
	}
	for text != "" && (text[len(text)-1] == ' ' || text[len(text)-1] == '\t') {
		text = text[:len(text)-1]
	}
	return text
}
