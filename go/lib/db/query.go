package db

import "strings"

// This file reads the text of a query: what may be shown of it, and what it does to which tables.
//
// It is a scanner, not a parser: it knows literals, comments, words and parentheses of all common dialects and guesses
// the rest. What holds always: it never panics, never allocates, never writes more than its limits, and what it is not
// sure about it treats as a literal. A literal is written as "?", whatever the dialect.

const (
	// textLimit bounds the text that is kept; a span's record has 1024 bytes for everything.
	textLimit = 448
	// summaryLimit is the limit that the semantic conventions give.
	summaryLimit = 255
	// readLimit bounds the time: what is behind it (but for the end of a token) is not looked at.
	readLimit = 8192
)

// Dialect says how a database reads the characters on which query languages differ.
type Dialect uint16

const (
	escapes      Dialect = 1 << iota // a backslash escapes a quote in '…'
	plain                            // it never does (but in E'…'); neither bit: not known
	doubleText                       // "…" is a string
	doubleName                       // "…" is a name; neither bit: a name, or a string where no name can be
	hashComment                      // # begins a comment
	brackets                         // […] is a name
	numbered                         // ?1 and :1 are placeholders
	triple                           // '''…''' and """…""" are strings
	slashComment                     // // begins a comment
	bareUUID                         // a UUID is written without quotes
)

// The dialects of systems; DialectOf finds them. The zero value is for those that are not known.
const (
	ANSI       = plain | doubleName
	PostgreSQL = plain | doubleName
	MySQL      = escapes | doubleText | hashComment
	SQLite     = plain | brackets | numbered
	SQLServer  = plain | doubleName | brackets
	Oracle     = plain | doubleName | numbered
	ClickHouse = escapes | doubleName
	Spanner    = escapes | doubleText | hashComment | triple
	Hive       = escapes | doubleText
	CQL        = plain | doubleName | slashComment | bareUUID
)

// token is the kind of the last token, as far as the next one's meaning depends on it.
type token uint8

const (
	tokenStart token = iota // nothing yet, or a semicolon
	tokenName
	tokenKeyword
	tokenLiteral
	tokenPlaceholder
	tokenOpen
	tokenClose
	tokenComma
	tokenDot
	tokenOperator
)

// reader is what a query's text tells. It is large and lives on the stack of the one who asks.
type reader struct {
	text        [textLimit]byte
	textSize    int
	summary     [summaryLimit]byte
	summarySize int

	operation  string // first operation, as written
	collection [2]int // the only table, a range of summary; empty when there is none or more than one
	procedure  [2]int // the stored procedure that is called, a range of summary

	dialect  Dialect
	textFull bool // something did not fit; nothing more is written, so that the text is a beginning
	nameFull bool // the same for summary

	last     token
	lastWord wordKind // keyword of the last token, if it was one
	target   bool     // the last token is a name that went to summary
	call     bool     // the last token is the ( of a call

	// The list after IN that is being collapsed: where it begins in the query and in text, and what was seen of it.
	list     listState
	listRead int
	listText int

	// Where the tables are.
	main     wordKind    // last operation
	object   wordKind    // kind of thing that CREATE, ALTER, DROP handle
	expect   expectation // what the next name would be
	targets  int         // tables found
	depth    uint        // open parentheses
	readable uint64      // bit by depth: a statement is open that has a FROM
	tables   uint64      // bit by depth: inside its list of tables
	values   uint64      // bit by depth: inside VALUES (…)
}

type listState uint8

const (
	listNone  listState = iota
	listAwait           // after IN
	listOpen            // after IN (
	listValue           // after its first value; the others are left out
)

type expectation uint8

const (
	expectNothing expectation = iota
	expectTable               // a table, or a function that makes one
	expectTarget              // a name that ( may follow
	expectObject              // a kind of object: TABLE, INDEX …
)

// read scans the query. It is called once, on the zero value.
func (q *reader) read(query string, dialect Dialect) {
	q.dialect = dialect
	for at := 0; at < len(query) && at < readLimit; {
		at = q.token(query, at)
	}
}

// token handles what begins at query[at] and returns where the next token begins.
func (q *reader) token(query string, at int) int {
	c := query[at]
	switch {
	case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v':
		end := at + 1
		for end < len(query) && (query[end] == ' ' || query[end] == '\t' || query[end] == '\n' || query[end] == '\r') {
			end++
		}
		if q.list < listOpen {
			q.put(query[at:end])
		}
		return end
	case q.dialect&bareUUID != 0 && isUUID(query, at):
		q.value("?", tokenLiteral)
		return at + uuidSize
	case startsWord[c]:
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
		if q.dialect&brackets != 0 {
			return q.readQuoted(query, at, ']')
		}
	case '-':
		if next == '-' {
			return q.comment(query, lineEnd(query, at))
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
			return q.comment(query, commentEnd(query, at))
		}
		if next == '/' && q.dialect&slashComment != 0 {
			return q.comment(query, lineEnd(query, at))
		}
	case '#':
		if q.dialect&hashComment != 0 {
			return q.comment(query, lineEnd(query, at))
		}
		if q.dialect&brackets != 0 && (startsWord[next] || next == '#') {
			return q.readWord(query, at)
		}
	case '.':
		if next >= '0' && next <= '9' && q.last != tokenName {
			return q.readNumber(query, at)
		}
		if q.list == listValue {
			return q.expand()
		}
		q.write(".", tokenDot)
		return at + 1
	case '$':
		return q.readDollar(query, at)
	case '?':
		end := at + 1
		for q.dialect&numbered != 0 && end < len(query) && query[end] >= '0' && query[end] <= '9' {
			end++
		}
		q.value(query[at:end], tokenPlaceholder)
		return end
	case ':':
		if next == ':' {
			if q.list == listValue {
				return q.expand()
			}
			q.write(query[at:at+2], tokenOperator)
			return at + 2
		}
		end := at + 1
		for q.dialect&numbered != 0 && end < len(query) && query[end] >= '0' && query[end] <= '9' {
			end++
		}
		if end == at+1 && startsWord[next] && next != '@' {
			for end < len(query) && continuesWord[query[end]] {
				end++
			}
		}
		if end > at+1 {
			q.value(query[at:end], tokenPlaceholder)
			return end
		}
	case '(':
		return q.open(query, at)
	case ')':
		q.close()
		return at + 1
	case ',':
		if q.list == listValue {
			q.last = tokenComma
			return at + 1
		}
		q.write(",", tokenComma)
		if q.tables&q.bit() != 0 {
			q.expect = expectTable
		}
		return at + 1
	case ';':
		if q.list == listValue {
			return q.expand()
		}
		q.write(";", tokenStart)
		q.depth, q.readable, q.tables, q.values = 0, 0, 0, 0
		return at + 1
	}
	if q.list == listValue {
		return q.expand()
	}
	q.write(query[at:at+1], tokenOperator)
	return at + 1
}

// put appends to the text what fits as a whole.
func (q *reader) put(text string) {
	if q.textFull || len(text) > textLimit-q.textSize {
		q.textFull = true
		return
	}
	q.textSize += copy(q.text[q.textSize:], text)
}

// write puts a token that is not a value: whatever was expected here is not coming.
func (q *reader) write(text string, kind token) {
	q.put(text)
	q.list = listNone
	q.last, q.lastWord, q.call = kind, 0, false
	q.target = false
	q.expect = expectNothing
}

// value puts a literal (as "?") or a placeholder; of a list after IN only the first.
func (q *reader) value(text string, kind token) {
	list := q.list
	if list == listOpen {
		text = "?"
	}
	if list != listValue {
		q.write(text, kind)
	}
	q.last = kind
	if list >= listOpen {
		q.list = listValue
	}
}

// expand takes back that a list was collapsed, since it holds more than values.
func (q *reader) expand() int {
	q.list = listNone
	q.textSize = q.listText
	q.textFull = false
	q.last, q.lastWord = tokenOpen, 0
	return q.listRead
}

// comment goes on behind a comment, which leaves a space where it parted two words.
func (q *reader) comment(query string, end int) int {
	if q.list < listOpen && q.textSize > 0 && q.text[q.textSize-1] > ' ' && end < len(query) && query[end] > ' ' {
		q.put(" ")
	}
	return end
}

func (q *reader) bit() uint64 { return 1 << (q.depth & 63) }

func (q *reader) open(query string, at int) int {
	if q.list == listValue {
		return q.expand()
	}
	inList := q.list == listAwait
	call := q.last == tokenName && !q.target
	values := q.lastWord == wordValues || (q.last == tokenComma && q.values>>1&q.bit() != 0)
	q.write("(", tokenOpen)
	q.call = call
	if inList && !q.textFull {
		q.list, q.listRead, q.listText = listOpen, at+1, q.textSize
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

func (q *reader) close() {
	q.write(")", tokenClose)
	if q.depth > 0 {
		q.depth--
	}
}

// signs reports whether the sign at query[at] belongs to a number.
func (q *reader) signs(query string, at int) bool {
	switch q.last {
	case tokenName, tokenClose, tokenPlaceholder:
		return false
	}
	if at+1 < len(query) && query[at+1] == '.' {
		at++
	}
	return at+1 < len(query) && query[at+1] >= '0' && query[at+1] <= '9'
}

// readNumber swallows a number, of whatever form: what follows its digits without a border belongs to it.
func (q *reader) readNumber(query string, at int) int {
	hex := query[at] == '0' && at+1 < len(query) && query[at+1]|0x20 == 'x'
	for at < len(query) && (continuesWord[query[at]] || query[at] == '.') {
		exponent := !hex && query[at]|0x20 == 'e'
		at++
		if exponent && at+1 < len(query) && (query[at] == '-' || query[at] == '+') && query[at+1] >= '0' && query[at+1] <= '9' {
			at++
		}
	}
	q.value("?", tokenLiteral)
	return at
}

// readText swallows the string whose quote is at query[at].
func (q *reader) readText(query string, at int, dialect Dialect) int {
	q.value("?", tokenLiteral)
	return textEnd(query, at, dialect)
}

// readQuoted copies a quoted name.
func (q *reader) readQuoted(query string, at int, closing byte) int {
	if q.list == listValue {
		return q.expand()
	}
	end := at + 1
	for {
		next := strings.IndexByte(query[end:], closing)
		if next < 0 {
			// Not closed, so nobody knows what it is.
			q.value("?", tokenLiteral)
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
func (q *reader) readDouble(query string, at int) int {
	if q.dialect&doubleText != 0 {
		return q.readText(query, at, q.dialect)
	}
	if q.dialect&doubleName == 0 {
		end := textEnd(query, at, q.dialect)
		if end-at < 2 || q.unlikelyName(query[at+1:end-1]) {
			q.value("?", tokenLiteral)
			return end
		}
	}
	return q.readQuoted(query, at, '"')
}

// unlikelyName reports whether "…" is rather a string than a name, in a dialect that knows both.
func (q *reader) unlikelyName(inside string) bool {
	if q.expect == expectTable || q.expect == expectTarget || q.last == tokenDot {
		return false
	}
	if q.last == tokenOperator || q.call || q.list >= listOpen || q.values&(q.bit()<<1-1) != 0 {
		return true
	}
	switch q.lastWord {
	case wordLike, wordThen, wordBetween:
		return true
	}
	for i := 0; i < len(inside); i++ {
		if !continuesWord[inside[i]] {
			return true
		}
	}
	return false
}

// readDollar handles $1, $name, and PostgreSQL's $tag$…$tag$.
func (q *reader) readDollar(query string, at int) int {
	end := at + 1
	for end < len(query) && continuesWord[query[end]] && query[end] != '$' {
		end++
	}
	digit := at+1 < len(query) && query[at+1] >= '0' && query[at+1] <= '9'
	if !digit && end < len(query) && query[end] == '$' {
		tag := query[at : end+1]
		q.value("?", tokenLiteral)
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
	q.value(query[at:end], tokenPlaceholder)
	return end
}

// readWord handles a word: a keyword, a name with its qualifiers, a boolean, or the prefix of a string.
func (q *reader) readWord(query string, at int) int {
	end := at + 1
	for end < len(query) {
		c := query[end]
		if continuesWord[c] {
			end++
		} else if c == '.' && end+1 < len(query) && startsWord[query[end+1]] && query[end+1] != '@' {
			end += 2
		} else if c == '#' && end == at+1 && query[at] == '#' {
			end++ // ##global temporary table
		} else {
			break
		}
	}
	word := query[at:end]
	if end < len(query) && query[end] == '\'' {
		switch prefixOf(word) {
		case prefixPlain:
			return q.readText(query, end, q.dialect)
		case prefixEscape:
			return q.readText(query, end, q.dialect&^plain|escapes)
		case prefixDelimited:
			q.value("?", tokenLiteral)
			return delimitedEnd(query, end)
		}
	}
	keyword := kindOfWord(word)
	if keyword == wordTrue {
		q.value("?", tokenLiteral)
		return end
	}
	if q.list == listValue {
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
	startsWord    = bytesThat(func(c byte) bool { return isLetter(c) || c == '@' })
	continuesWord = bytesThat(func(c byte) bool { return isLetter(c) || c == '$' || c >= '0' && c <= '9' })
)

func isLetter(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c >= 0x80
}

func bytesThat(has func(byte) bool) (table [256]bool) {
	for c := range table {
		table[c] = has(byte(c))
	}
	return table
}

type stringPrefix uint8

const (
	prefixNone stringPrefix = iota
	prefixPlain
	prefixEscape    // E'…'
	prefixDelimited // q'[…]'
)

// prefixOf says what a word directly before a quote means: N'…', E'…', X'…', _utf8'…', q'[…]'.
func prefixOf(word string) stringPrefix {
	if word[0] == '_' {
		return prefixPlain
	}
	last := word[len(word)-1] | 0x20
	switch {
	case len(word) == 2 && last == 'q' && word[0]|0x20 == 'n', len(word) == 1 && last == 'q':
		return prefixDelimited
	case len(word) == 1 && last == 'e':
		return prefixEscape
	case len(word) == 1 && (last == 'n' || last == 'b' || last == 'x' || last == 'r'):
		return prefixPlain
	case len(word) == 2 && (last == 'r' && word[0]|0x20 == 'b' || last == 'b' && word[0]|0x20 == 'r'):
		return prefixPlain
	}
	return prefixNone
}

// textEnd returns where the string ends that begins with the quote at query[at]: the query's end, too, when the
// dialect leaves open whether a quote is escaped.
func textEnd(query string, at int, dialect Dialect) int {
	quote := query[at]
	if dialect&triple != 0 && len(query)-at >= 3 && query[at+1] == quote && query[at+2] == quote {
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
		case slashes%2 == 1 && dialect&(plain|escapes) == 0:
			return len(query)
		case slashes%2 == 1 && dialect&escapes != 0:
			begin = end + 1
		case end+1 < len(query) && query[end+1] == quote:
			begin = end + 2
		default:
			return end + 1
		}
	}
}

// delimitedEnd returns where Oracle's '[…]' ends, whose quote is at query[at].
func delimitedEnd(query string, at int) int {
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

// lineEnd returns where the line of query[at] ends, before its newline.
func lineEnd(query string, at int) int {
	if end := strings.IndexByte(query[at:], '\n'); end >= 0 {
		return at + end
	}
	return len(query)
}

// commentEnd returns where the comment at query[at] ends. Comments nest in PostgreSQL and SQL Server; where they
// do not, this takes more than it must, never less.
func commentEnd(query string, at int) int {
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

const uuidSize = 36

// isUUID reports whether a UUID begins at query[at].
func isUUID(query string, at int) bool {
	if len(query)-at < uuidSize {
		return false
	}
	for i := 0; i < uuidSize; i++ {
		c := query[at+i]
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
				return false
			}
		}
	}
	return at+uuidSize == len(query) || !continuesWord[query[at+uuidSize]]
}
