package rt

// W3C baggage. It is checked once, where it comes in, and travels as the text that it came as: without what is not
// baggage, and without what is beyond the limits. Whoever wants a value reads it from there.

const (
	baggageLimit       = 8192
	baggageMemberLimit = 64
)

// cleanBaggage returns the baggage to go on: the same string whenever that can be.
func cleanBaggage(text string) string {
	members, clean := 0, len(text) <= baggageLimit
	for rest, more := text, true; more && clean; {
		var member string
		member, rest, more = cutAt(rest, ',')
		members++
		clean = members <= baggageMemberLimit && isBaggageMember(member)
	}
	if clean {
		return text
	}
	return string(appendBaggage(nil, text))
}

// appendBaggage appends those members that are sound and find room.
func appendBaggage(to []byte, text string) []byte {
	members := 0
	for more := true; more && members < baggageMemberLimit; {
		var member string
		member, text, more = cutAt(text, ',')
		sound := isBaggageMember(member)
		member = trimBlanks(member)
		if !sound || len(to)+1+len(member) > baggageLimit && (len(to) != 0 || len(member) > baggageLimit) {
			continue
		}
		if members++; members > 1 {
			to = append(to, ',')
		}
		to = append(to, member...)
	}
	return to
}

// isBaggageMember checks "key=value;property;property=value", with blanks around each part. As the reference does it lets an
// empty property pass, which harms nobody.
func isBaggageMember(member string) bool {
	pair, properties, more := cutAt(member, ';')
	key, value, found := cutAt(pair, '=')
	if !found || !isToken(trimBlanks(key)) || !isBaggageValue(trimBlanks(value)) {
		return false
	}
	for more {
		pair, properties, more = cutAt(properties, ';')
		key, value, found = cutAt(pair, '=')
		if pair == "" {
			continue
		}
		if !isToken(trimBlanks(key)) || found && !isBaggageValue(trimBlanks(value)) {
			return false
		}
	}
	return true
}

// isToken says whether text is a token of HTTP.
func isToken(text string) bool {
	for index := 0; index < len(text); index++ {
		switch letter := text[index]; {
		case isLowerOrDigit(letter) || 'A' <= letter && letter <= 'Z':
		case letter == '!' || '#' <= letter && letter <= '\'' || letter == '*' || letter == '+' || letter == '-' || letter == '.':
		case letter == '^' || letter == '_' || letter == '`' || letter == '|' || letter == '~':
		default:
			return false
		}
	}
	return text != ""
}

// isBaggageValue says whether text is a value, which may be empty.
func isBaggageValue(text string) bool {
	for index := 0; index < len(text); index++ {
		switch letter := text[index]; {
		case letter == '%':
			if index+2 >= len(text) || !isHex(text[index+1]) || !isHex(text[index+2]) {
				return false
			}
		case letter <= ' ' || letter > '~' || letter == '"' || letter == ',' || letter == ';' || letter == '\\':
			return false
		}
	}
	return true
}

func isHex(letter byte) bool {
	return '0' <= letter && letter <= '9' || 'a' <= letter && letter <= 'f' || 'A' <= letter && letter <= 'F'
}

// NextBaggage takes the first member off a baggage that a span carries. The value is decoded, and what is not UTF-8 in it
// replaced. Properties are left out. key is empty at the end.
func NextBaggage(baggage string) (key, value, rest string) {
	if baggage == "" {
		return "", "", ""
	}
	member, rest, _ := cutAt(baggage, ',')
	pair, _, _ := cutAt(member, ';')
	key, value, _ = cutAt(pair, '=')
	return trimBlanks(key), decodeBaggage(trimBlanks(value)), rest
}

// decodeBaggage undoes percent-encoding. It allocates only where there is some.
func decodeBaggage(text string) string {
	if _, _, encoded := cutAt(text, '%'); !encoded {
		return text
	}
	decoded := make([]byte, 0, len(text))
	for index := 0; index < len(text); index++ {
		if text[index] == '%' && index+2 < len(text) {
			decoded = append(decoded, hexValue(text[index+1])<<4|hexValue(text[index+2]))
			index += 2
			continue
		}
		decoded = append(decoded, text[index])
	}
	valid := make([]byte, 0, len(decoded))
	for _, letter := range string(decoded) { // gives U+FFFD for what is not UTF-8
		valid = append(valid, string(letter)...)
	}
	return string(valid)
}

func hexValue(letter byte) byte {
	switch {
	case letter <= '9':
		return letter - '0'
	case letter <= 'F':
		return letter - 'A' + 10
	}
	return letter - 'a' + 10
}
