package db

import "strings"

// This file takes data out of the messages of databases, which like to quote what they do not like:
//
//	Duplicate entry 'ann@example.com' for key 'users.email'
//	invalid input syntax for type integer: "ann"
//
// What is quoted stays where the word before it says that it is a name. Anything else goes, up to the last such quote of the
// message, since what is quoted may hold quotes.

// Redact returns the message without data.
func Redact(message string) string {
	if strings.IndexAny(message, `'"{(`) < 0 {
		return message
	}
	var shown strings.Builder
	for at := 0; at < len(message); {
		next := strings.IndexAny(message[at:], `'"{(`)
		if next < 0 {
			shown.WriteString(message[at:])
			break
		}
		shown.WriteString(message[at : at+next])
		at += next
		end := at + 1
		switch open := message[at]; open {
		case '{': // a document
			end = lastOf(message, at, '}')
			shown.WriteString("{?}")
		case '(': // Key (email)=(ann@example.com) already exists; The duplicate key value is (ann@example.com)
			before := strings.TrimSuffix(message[:at], " ")
			if !strings.HasSuffix(before, "=") && !strings.HasSuffix(before, " is") && !strings.HasSuffix(before, " value") {
				shown.WriteByte(open)
				break
			}
			end = lastOf(message, at, ')')
			shown.WriteString("(?)")
		default:
			if isApostrophe(message, at) {
				shown.WriteByte(open)
				break
			}
			if size := quotedName(message, at); size > 0 {
				end = at + size
				shown.WriteString(message[at:end])
				break
			}
			end = lastOf(message, at, open)
			shown.WriteByte(open)
			shown.WriteByte('?')
			shown.WriteByte(open)
		}
		at = end
	}
	return shown.String()
}

// lastOf returns where the last of what closes ends, behind message[at]: the message's end, if there is none.
func lastOf(message string, at int, closing byte) int {
	if last := strings.LastIndexByte(message[at+1:], closing); last >= 0 {
		return at + 1 + last + 1
	}
	return len(message)
}

// isApostrophe reports whether the quote at message[at] is that of "doesn't".
func isApostrophe(message string, at int) bool {
	return at > 0 && message[at-1] == 'n' && strings.HasPrefix(message[at:], "'t ")
}

func isASCIILetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// quotedName returns the size of what is quoted at message[at], with its quotes, if it is a name; else 0.
func quotedName(message string, at int) int {
	before := strings.TrimRight(message[:at], " ")
	word := before[strings.LastIndexAny(before, " \t\n:(,.;")+1:]
	switch strings.ToLower(word) {
	case "table", "relation", "column", "constraint", "key", "database", "schema", "role", "user", "function", "procedure", "type",
		"index", "sequence", "trigger", "view", "keyspace", "collection", "engine", "variable", "parameter", "cursor", "extension",
		"language", "collation", "domain", "field", "object", "command", "aggregate", "attribute", "namespace":
	default:
		return 0
	}
	size := strings.IndexByte(message[at+1:], message[at])
	if size < 1 || size > 64 {
		return 0
	}
	for i := at + 1; i < at+1+size; i++ {
		if c := message[i]; !isASCIILetter(c) && (c < '0' || c > '9') && c != '_' && c != '.' && c != '-' && c != '$' {
			return 0
		}
	}
	return size + 2
}
