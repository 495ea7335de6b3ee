package sql

import "strings"

// This file reads the text of a query: what may be shown of it, and what it does to which tables.
//
// It is a scanner, not a parser: it knows literals, comments, words and parentheses of all common dialects and guesses
// the rest. What holds always: it never panics, never allocates, never writes more than its limits, and what it is not
// sure about it treats as a literal. A literal is written as "?", whatever the dialect.

const (
	// tandemTextLimit bounds the text that is kept; a span's record has 1024 bytes for everything.
	tandemTextLimit = 448
	// tandemSummaryLimit is the limit that the semantic conventions give.
	tandemSummaryLimit = 255
	// tandemReadLimit bounds the time: what is behind it (but for the end of a token) is not looked at.
	tandemReadLimit = 8192
)

// tandemDialect says how a database reads the characters on which SQL dialects differ.
type tandemDialect uint8

const (
	tandemEscapes     tandemDialect = 1 << iota // a backslash escapes a quote in '…'
	tandemPlain                                 // it never does (but in E'…'); neither bit: not known
	tandemDoubleText                            // "…" is a string
	tandemDoubleName                            // "…" is a name; neither bit: a name, or a string where no name can be
	tandemHashComment                           // # begins a comment
	tandemBrackets                              // […] is a name
	tandemNumbered                              // ?1 and :1 are placeholders
	tandemTriple                                // '''…''' and """…""" are strings
)

// tandemToken is the kind of the last token, as far as the next one's meaning depends on it.
type tandemToken uint8

const (
	tandemTokenStart tandemToken = iota // nothing yet, or a semicolon
	tandemTokenName
	tandemTokenKeyword
	tandemTokenLiteral
	tandemTokenPlaceholder
	tandemTokenOpen
	tandemTokenClose
	tandemTokenComma
	tandemTokenDot
	tandemTokenOperator
)

// tandemQuery is what a query's text tells. It is large and lives on the stack of the one who asks.
type tandemQuery struct {
	text        [tandemTextLimit]byte
	textSize    int
	summary     [tandemSummaryLimit]byte
	summarySize int

	operation  string // first operation, as written
	collection [2]int // the only table, a range of summary; empty when there is none or more than one
	procedure  [2]int // the stored procedure that is called, a range of summary

	dialect  tandemDialect
	textFull bool // something did not fit; nothing more is written, so that the text is a beginning
	nameFull bool // the same for summary

	last     tandemToken
	lastWord tandemWord // keyword of the last token, if it was one
	target   bool       // the last token is a name that went to summary
	call     bool       // the last token is the ( of a call

	// The list after IN that is being collapsed: where it begins in the query and in text, and what was seen of it.
	list     tandemList
	listRead int
	listText int

	// Where the tables are.
	main     tandemWord   // last operation
	object   tandemWord   // kind of thing that CREATE, ALTER, DROP handle
	expect   tandemExpect // what the next name would be
	targets  int          // tables found
	depth    uint         // open parentheses
	readable uint64       // bit by depth: a statement is open that has a FROM
	tables   uint64       // bit by depth: inside its list of tables
	values   uint64       // bit by depth: inside VALUES (…)
}

type tandemList uint8

const (
	tandemListNone  tandemList = iota
	tandemListAwait            // after IN
	tandemListOpen             // after IN (
	tandemListValue            // after its first value; the others are left out
)

type tandemExpect uint8

const (
	tandemExpectNothing tandemExpect = iota
	tandemExpectTable                // a table, or a function that makes one
	tandemExpectTarget               // a name that ( may follow
	tandemExpectObject               // a kind of object: TABLE, INDEX …
)

// read scans the query. It is called once, on the zero value.
func (q *tandemQuery) read(query string, dialect tandemDialect) {
	q.dialect = dialect
	for at := 0; at < len(query) && at < tandemReadLimit; {
		at = q.token(query, at)
	}
}

// token handles what begins at query[at] and returns where the next token begins.
func (q *tandemQuery) token(query string, at int) int {
	c := query[at]
	switch {
	case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v':
		end := at + 1
		for end < len(query) && (query[end] == ' ' || query[end] == '\t' || query[end] == '\n' || query[end] == '\r') {
			end++
		}
		if q.list < tandemListOpen {
			q.put(query[at:end])
		}
		return end
	case tandemWordStart[c]:
		return q.readWord(query, at)
	case c >= '0' && c <= '9':
		return q.readNumber(query, at)
	}
	next := byte(0)
	if at+1 < len(query) {
		next = query[at+1]
	}
	switch c {
	case '\'':
		return q.readText(query, at, q.dialect)
	case '"':
		return q.readDouble(query, at)
	case '`':
		return q.readQuoted(query, at, '`')
	case '[':
		if q.dialect&tandemBrackets != 0 {
			return q.readQuoted(query, at, ']')
		}
	case '-':
		if next == '-' {
			return q.comment(query, tandemLineEnd(query, at))
		}
		if q.signs(query, at) {
			return q.readNumber(query, at+1)
		}
	case '+':
		if q.signs(query, at) {
			return q.readNumber(query, at+1)
		}
	case '/':
		if next == '*' {
			return q.comment(query, tandemCommentEnd(query, at))
		}
	case '#':
		if q.dialect&tandemHashComment != 0 {
			return q.comment(query, tandemLineEnd(query, at))
		}
		if q.dialect&tandemBrackets != 0 && (tandemWordStart[next] || next == '#') {
			return q.readWord(query, at)
		}
	case '.':
		if next >= '0' && next <= '9' && q.last != tandemTokenName {
			return q.readNumber(query, at)
		}
		if q.list == tandemListValue {
			return q.expand()
		}
		q.write(".", tandemTokenDot)
		return at + 1
	case '$':
		return q.readDollar(query, at)
	case '?':
		end := at + 1
		for q.dialect&tandemNumbered != 0 && end < len(query) && query[end] >= '0' && query[end] <= '9' {
			end++
		}
		q.value(query[at:end], tandemTokenPlaceholder)
		return end
	case ':':
		if next == ':' {
			if q.list == tandemListValue {
				return q.expand()
			}
			q.write(query[at:at+2], tandemTokenOperator)
			return at + 2
		}
		end := at + 1
		for q.dialect&tandemNumbered != 0 && end < len(query) && query[end] >= '0' && query[end] <= '9' {
			end++
		}
		if end == at+1 && tandemWordStart[next] && next != '@' {
			for end < len(query) && tandemWordPart[query[end]] {
				end++
			}
		}
		if end > at+1 {
			q.value(query[at:end], tandemTokenPlaceholder)
			return end
		}
	case '(':
		return q.open(query, at)
	case ')':
		q.close()
		return at + 1
	case ',':
		if q.list == tandemListValue {
			q.last = tandemTokenComma
			return at + 1
		}
		q.write(",", tandemTokenComma)
		if q.tables&q.bit() != 0 {
			q.expect = tandemExpectTable
		}
		return at + 1
	case ';':
		if q.list == tandemListValue {
			return q.expand()
		}
		q.write(";", tandemTokenStart)
		q.depth, q.readable, q.tables, q.values = 0, 0, 0, 0
		return at + 1
	}
	if q.list == tandemListValue {
		return q.expand()
	}
	q.write(query[at:at+1], tandemTokenOperator)
	return at + 1
}

// put appends to the text what fits as a whole.
func (q *tandemQuery) put(text string) {
	if q.textFull || len(text) > tandemTextLimit-q.textSize {
		q.textFull = true
		return
	}
	q.textSize += copy(q.text[q.textSize:], text)
}

// write puts a token that is not a value: whatever was expected here is not coming.
func (q *tandemQuery) write(text string, kind tandemToken) {
	q.put(text)
	q.list = tandemListNone
	q.last, q.lastWord, q.call = kind, 0, false
	q.target = false
	q.expect = tandemExpectNothing
}

// value puts a literal (as "?") or a placeholder; of a list after IN only the first.
func (q *tandemQuery) value(text string, kind tandemToken) {
	list := q.list
	if list == tandemListOpen {
		text = "?"
	}
	if list != tandemListValue {
		q.write(text, kind)
	}
	q.last = kind
	if list >= tandemListOpen {
		q.list = tandemListValue
	}
}

// expand takes back that a list was collapsed, since it holds more than values.
func (q *tandemQuery) expand() int {
	q.list = tandemListNone
	q.textSize = q.listText
	q.textFull = false
	q.last, q.lastWord = tandemTokenOpen, 0
	return q.listRead
}

// comment goes on behind a comment, which leaves a space where it parted two words.
func (q *tandemQuery) comment(query string, end int) int {
	if q.list < tandemListOpen && q.textSize > 0 && q.text[q.textSize-1] > ' ' && end < len(query) && query[end] > ' ' {
		q.put(" ")
	}
	return end
}

func (q *tandemQuery) bit() uint64 { return 1 << (q.depth & 63) }

func (q *tandemQuery) open(query string, at int) int {
	if q.list == tandemListValue {
		return q.expand()
	}
	inList := q.list == tandemListAwait
	call := q.last == tandemTokenName && !q.target
	values := q.lastWord == tandemValues || (q.last == tandemTokenComma && q.values>>1&q.bit() != 0)
	q.write("(", tandemTokenOpen)
	q.call = call
	if inList && !q.textFull {
		q.list, q.listRead, q.listText = tandemListOpen, at+1, q.textSize
	}
	q.depth++
	q.readable &^= q.bit()
	q.tables &^= q.bit()
	q.values &^= q.bit()
	if values {
		q.values |= q.bit()
	}
	return at + 1
}

func (q *tandemQuery) close() {
	q.write(")", tandemTokenClose)
	if q.depth > 0 {
		q.depth--
	}
}

// signs reports whether the sign at query[at] belongs to a number.
func (q *tandemQuery) signs(query string, at int) bool {
	switch q.last {
	case tandemTokenName, tandemTokenClose, tandemTokenPlaceholder:
		return false
	}
	if at+1 < len(query) && query[at+1] == '.' {
		at++
	}
	return at+1 < len(query) && query[at+1] >= '0' && query[at+1] <= '9'
}

// readNumber swallows a number, of whatever form: what follows its digits without a border belongs to it.
func (q *tandemQuery) readNumber(query string, at int) int {
	hex := query[at] == '0' && at+1 < len(query) && query[at+1]|0x20 == 'x'
	for at < len(query) && (tandemWordPart[query[at]] || query[at] == '.') {
		exponent := !hex && query[at]|0x20 == 'e'
		at++
		if exponent && at+1 < len(query) && (query[at] == '-' || query[at] == '+') && query[at+1] >= '0' && query[at+1] <= '9' {
			at++
		}
	}
	q.value("?", tandemTokenLiteral)
	return at
}

// readText swallows the string whose quote is at query[at].
func (q *tandemQuery) readText(query string, at int, dialect tandemDialect) int {
	q.value("?", tandemTokenLiteral)
	return tandemTextEnd(query, at, dialect)
}

// readQuoted copies a quoted name.
func (q *tandemQuery) readQuoted(query string, at int, closing byte) int {
	if q.list == tandemListValue {
		return q.expand()
	}
	end := at + 1
	for {
		next := strings.IndexByte(query[end:], closing)
		if next < 0 {
			// Not closed, so nobody knows what it is.
			q.value("?", tandemTokenLiteral)
			return len(query)
		}
		end += next + 1
		if end == len(query) || query[end] != closing {
			break
		}
		end++
	}
	q.name(query[at:end], query[at+1:end-1], query, end)
	return end
}

// readDouble handles "…", which is a name in the standard and a string in some databases.
func (q *tandemQuery) readDouble(query string, at int) int {
	if q.dialect&tandemDoubleText != 0 {
		return q.readText(query, at, q.dialect)
	}
	if q.dialect&tandemDoubleName == 0 {
		end := tandemTextEnd(query, at, q.dialect)
		if end-at < 2 || q.unlikelyName(query[at+1:end-1]) {
			q.value("?", tandemTokenLiteral)
			return end
		}
	}
	return q.readQuoted(query, at, '"')
}

// unlikelyName reports whether "…" is rather a string than a name, in a dialect that knows both.
func (q *tandemQuery) unlikelyName(inside string) bool {
	if q.expect == tandemExpectTable || q.expect == tandemExpectTarget || q.last == tandemTokenDot {
		return false
	}
	if q.last == tandemTokenOperator || q.call || q.list >= tandemListOpen || q.values&(q.bit()<<1-1) != 0 {
		return true
	}
	switch q.lastWord {
	case tandemLike, tandemThen, tandemBetween:
		return true
	}
	for i := 0; i < len(inside); i++ {
		if !tandemWordPart[inside[i]] {
			return true
		}
	}
	return false
}

// readDollar handles $1, $name, and PostgreSQL's $tag$…$tag$.
func (q *tandemQuery) readDollar(query string, at int) int {
	end := at + 1
	for end < len(query) && tandemWordPart[query[end]] && query[end] != '$' {
		end++
	}
	digit := at+1 < len(query) && query[at+1] >= '0' && query[at+1] <= '9'
	if !digit && end < len(query) && query[end] == '$' {
		tag := query[at : end+1]
		q.value("?", tandemTokenLiteral)
		closing := strings.Index(query[end+1:], tag)
		if closing < 0 {
			return len(query)
		}
		return end + 1 + closing + len(tag)
	}
	if digit {
		for end = at + 1; end < len(query) && query[end] >= '0' && query[end] <= '9'; {
			end++
		}
	}
	q.value(query[at:end], tandemTokenPlaceholder)
	return end
}

// readWord handles a word: a keyword, a name with its qualifiers, a boolean, or the prefix of a string.
func (q *tandemQuery) readWord(query string, at int) int {
	end := at + 1
	for end < len(query) {
		c := query[end]
		if tandemWordPart[c] {
			end++
		} else if c == '.' && end+1 < len(query) && tandemWordStart[query[end+1]] && query[end+1] != '@' {
			end += 2
		} else if c == '#' && end == at+1 && query[at] == '#' {
			end++ // ##global temporary table
		} else {
			break
		}
	}
	word := query[at:end]
	if end < len(query) && query[end] == '\'' {
		switch tandemPrefix(word) {
		case tandemPrefixPlain:
			return q.readText(query, end, q.dialect)
		case tandemPrefixEscape:
			return q.readText(query, end, q.dialect&^tandemPlain|tandemEscapes)
		case tandemPrefixDelimited:
			q.value("?", tandemTokenLiteral)
			return tandemDelimitedEnd(query, end)
		}
	}
	keyword := tandemKeyword(word)
	if keyword == tandemTrue {
		q.value("?", tandemTokenLiteral)
		return end
	}
	if q.list == tandemListValue {
		return q.expand()
	}
	if keyword == 0 {
		q.name(word, word, query, end)
	} else {
		q.keyword(word, keyword, query, end)
	}
	return end
}

var (
	tandemWordStart = tandemBytes(func(c byte) bool { return tandemLetter(c) || c == '@' })
	tandemWordPart  = tandemBytes(func(c byte) bool { return tandemLetter(c) || c == '$' || c >= '0' && c <= '9' })
)

func tandemLetter(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c >= 0x80
}

func tandemBytes(has func(byte) bool) (table [256]bool) {
	for c := range table {
		table[c] = has(byte(c))
	}
	return table
}

type tandemStringPrefix uint8

const (
	tandemPrefixNone tandemStringPrefix = iota
	tandemPrefixPlain
	tandemPrefixEscape    // E'…'
	tandemPrefixDelimited // q'[…]'
)

// tandemPrefix says what a word directly before a quote means: N'…', E'…', X'…', _utf8'…', q'[…]'.
func tandemPrefix(word string) tandemStringPrefix {
	if word[0] == '_' {
		return tandemPrefixPlain
	}
	last := word[len(word)-1] | 0x20
	switch {
	case len(word) == 2 && last == 'q' && word[0]|0x20 == 'n', len(word) == 1 && last == 'q':
		return tandemPrefixDelimited
	case len(word) == 1 && last == 'e':
		return tandemPrefixEscape
	case len(word) == 1 && (last == 'n' || last == 'b' || last == 'x' || last == 'r'):
		return tandemPrefixPlain
	case len(word) == 2 && (last == 'r' && word[0]|0x20 == 'b' || last == 'b' && word[0]|0x20 == 'r'):
		return tandemPrefixPlain
	}
	return tandemPrefixNone
}

// tandemTextEnd returns where the string ends that begins with the quote at query[at]: the query's end, too, when the
// dialect leaves open whether a quote is escaped.
func tandemTextEnd(query string, at int, dialect tandemDialect) int {
	quote := query[at]
	if dialect&tandemTriple != 0 && len(query)-at >= 3 && query[at+1] == quote && query[at+2] == quote {
		closing := strings.Index(query[at+3:], query[at:at+3])
		if closing < 0 || strings.IndexByte(query[at+3:at+3+closing], '\\') >= 0 {
			return len(query)
		}
		return at + 3 + closing + 3
	}
	for begin := at + 1; ; {
		next := strings.IndexByte(query[begin:], quote)
		if next < 0 {
			return len(query)
		}
		end := begin + next
		slashes := 0
		for slashes < next && query[end-1-slashes] == '\\' {
			slashes++
		}
		switch {
		case slashes%2 == 1 && dialect&(tandemPlain|tandemEscapes) == 0:
			return len(query)
		case slashes%2 == 1 && dialect&tandemEscapes != 0:
			begin = end + 1
		case end+1 < len(query) && query[end+1] == quote:
			begin = end + 2
		default:
			return end + 1
		}
	}
}

// tandemDelimitedEnd returns where Oracle's '[…]' ends, whose quote is at query[at].
func tandemDelimitedEnd(query string, at int) int {
	if at+1 >= len(query) {
		return len(query)
	}
	delimiter := query[at+1]
	switch delimiter {
	case '[':
		delimiter = ']'
	case '(':
		delimiter = ')'
	case '{':
		delimiter = '}'
	case '<':
		delimiter = '>'
	}
	for i := at + 2; i+1 < len(query); i++ {
		if query[i] == delimiter && query[i+1] == '\'' {
			return i + 2
		}
	}
	return len(query)
}

// tandemLineEnd returns where the line of query[at] ends, before its newline.
func tandemLineEnd(query string, at int) int {
	if end := strings.IndexByte(query[at:], '\n'); end >= 0 {
		return at + end
	}
	return len(query)
}

// tandemCommentEnd returns where the comment at query[at] ends. Comments nest in PostgreSQL and SQL Server; where they
// do not, this takes more than it must, never less.
func tandemCommentEnd(query string, at int) int {
	depth := 0
	for i := at; i+1 < len(query); {
		switch {
		case query[i] == '/' && query[i+1] == '*':
			depth++
			i += 2
		case query[i] == '*' && query[i+1] == '/':
			depth--
			i += 2
			if depth == 0 {
				return i
			}
		default:
			i++
		}
	}
	return len(query)
}
