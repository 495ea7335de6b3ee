package sql

// What servers say of errors has values in it: of literals, and of arguments that they could not use.

// tandemWithoutValues is a message with a question mark for each quoted text that may be a value: in single quotes, and in double
// ones after a colon or "near ", where PostgreSQL has values and not names. Without its closing quote a text goes on to the end.
// It allocates only where there is one; errors are rare.
func tandemWithoutValues(message string) string {
	var safe []byte
	kept := 0
	for at := 0; at < len(message); at++ {
		quote := message[at]
		if quote != '\'' && quote != '"' || !tandemQuotesValue(message, at) {
			continue
		}
		end := at + 1
		for end < len(message) && message[end] != quote {
			end++
		}
		safe = append(append(safe, message[kept:at+1]...), '?')
		kept, at = end, end
	}
	if safe == nil {
		return message
	}
	return string(append(safe, message[kept:]...))
}

// tandemQuotesValue says whether the quote at this place begins what may be a value. An apostrophe stands between letters.
func tandemQuotesValue(message string, at int) bool {
	if message[at] == '"' {
		before := message[:at]
		return len(before) >= 2 && before[len(before)-2:] == ": " || len(before) >= 5 && before[len(before)-5:] == "near "
	}
	isLetter := func(index int) bool {
		return index >= 0 && index < len(message) && (message[index]|0x20 >= 'a' && message[index]|0x20 <= 'z')
	}
	return !isLetter(at-1) || !isLetter(at+1)
}
