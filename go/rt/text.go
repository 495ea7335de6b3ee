package rt

// What strings and strconv would do, which this package may not import.

// hasPrefix says whether text begins with prefix.
func hasPrefix(text, prefix string) bool {
	return len(text) >= len(prefix) && text[:len(prefix)] == prefix
}

// appendNumber appends a number in decimal form.
func appendNumber(to []byte, number int) []byte {
	if number < 0 {
		to = append(to, '-')
		number = -number
	}
	if number >= 10 {
		to = appendNumber(to, number/10)
	}
	return append(to, byte('0'+number%10))
}
