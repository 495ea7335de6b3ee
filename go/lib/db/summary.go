package db

// This file tells from the words of a query which operations it holds and what they are done to:
// "INSERT INTO a (x) SELECT b FROM c" is summed up as "INSERT a SELECT c".

// wordKind is a keyword that means something here; 0 is any other word.
type wordKind uint8

const (
	_         wordKind = iota
	wordOther          // an operation that needs no care

	wordSelect
	wordInsert
	wordUpdate
	wordDelete
	wordMerge
	wordReplace
	wordCreate
	wordTruncate
	wordCall
	wordUse
	wordCopy
	wordWith
	wordExplain

	wordFrom
	wordJoin
	wordInto
	wordUsing
	wordAs
	wordDistinct
	wordTable
	wordObject    // INDEX, DATABASE …
	wordProcedure // PROCEDURE, FUNCTION
	wordSkip      // stands between an operation and its target: IF EXISTS, ONLY …
	wordClause    // ends a list of tables
	wordValues
	wordIn
	wordTrue // TRUE and FALSE
	wordLike
	wordThen
	wordBetween
	wordOutfile
)

// kindOfWord classifies a word.
func kindOfWord(word string) wordKind {
	var upper [12]byte
	if len(word) < 2 || len(word) > len(upper) {
		return 0
	}
	for i := 0; i < len(word); i++ {
		c := word[i]
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		upper[i] = c
	}
	switch string(upper[:len(word)]) {
	case "SELECT":
		return wordSelect
	case "INSERT":
		return wordInsert
	case "UPDATE":
		return wordUpdate
	case "DELETE":
		return wordDelete
	case "MERGE":
		return wordMerge
	case "REPLACE":
		return wordReplace
	case "CREATE", "ALTER", "DROP":
		return wordCreate
	case "TRUNCATE":
		return wordTruncate
	case "CALL", "EXEC", "EXECUTE":
		return wordCall
	case "USE":
		return wordUse
	case "COPY":
		return wordCopy
	case "WITH":
		return wordWith
	case "EXPLAIN", "ANALYZE":
		return wordExplain
	case "FROM":
		return wordFrom
	case "JOIN":
		return wordJoin
	case "INTO":
		return wordInto
	case "USING":
		return wordUsing
	case "AS":
		return wordAs
	case "DISTINCT":
		return wordDistinct
	case "TABLE", "VIEW":
		return wordTable
	case "INDEX", "DATABASE", "SCHEMA", "KEYSPACE", "SEQUENCE", "TRIGGER", "TYPE", "USER", "ROLE", "EXTENSION", "DOMAIN":
		return wordObject
	case "PROCEDURE", "FUNCTION":
		return wordProcedure
	case "IF", "NOT", "EXISTS", "ONLY", "LATERAL", "CONCURRENTLY", "IMMEDIATE", "IGNORE", "OR", "ABORT", "FAIL", "ROLLBACK", "LOW_PRIORITY":
		return wordSkip
	case "WHERE", "ON", "SET", "GROUP", "ORDER", "HAVING", "LIMIT", "OFFSET", "UNION", "EXCEPT", "INTERSECT", "RETURNING", "WINDOW", "FETCH", "FOR":
		return wordClause
	case "VALUES", "VALUE":
		return wordValues
	case "IN":
		return wordIn
	case "TRUE", "FALSE":
		return wordTrue
	case "LIKE", "ILIKE", "RLIKE", "GLOB", "REGEXP", "MATCH", "ESCAPE":
		return wordLike
	case "THEN", "ELSE", "DEFAULT":
		return wordThen
	case "BETWEEN":
		return wordBetween
	case "OUTFILE", "DUMPFILE":
		return wordOutfile
	}
	return 0
}

// name handles a word that is no keyword, or a quoted name; inside is what the quotes hold. It ends at query[end].
func (q *reader) name(text, inside, query string, end int) {
	last, expect := q.last, q.expect
	q.write(text, tokenName)
	switch {
	case expect == expectObject:
		q.expect = expect // CREATE UNLOGGED TABLE
	case expect != expectNothing:
		q.addTarget(inside, query, end, expect)
	case last == tokenStart && isPlainWord(text):
		q.operate(text, wordOther)
	}
}

// keyword handles a keyword that ends at query[end].
func (q *reader) keyword(word string, keyword wordKind, query string, end int) {
	first := q.last == tokenStart
	begins := first || q.last == tokenOpen || q.last == tokenClose || q.lastWord == wordAs || q.lastWord == wordExplain
	distinct := q.lastWord == wordDistinct
	expect := q.expect
	q.write(word, tokenKeyword)
	q.lastWord = keyword

	if expect == expectObject {
		switch keyword {
		case wordTable, wordObject, wordProcedure:
			q.object = keyword
			q.add(word)
			q.expect = expectTarget
		default:
			q.expect = expect // CREATE OR REPLACE VIEW
		}
		return
	}
	if expect != expectNothing {
		switch {
		case keyword == wordSkip, keyword == wordTable && expect == expectTarget:
			q.expect = expect
			return
		case keyword == wordTable, keyword == wordObject, keyword == wordProcedure:
			q.addTarget(word, query, end, expect) // a table called user
			return
		}
	}

	bit := q.bit()
	switch keyword {
	case wordSelect:
		q.operate(word, keyword)
		q.readable |= bit
		q.tables &^= bit
	case wordUpdate, wordDelete, wordMerge:
		if begins {
			q.operate(word, keyword)
			q.readable |= bit
			q.expect = expectTable
			if keyword == wordUpdate {
				q.tables |= bit
			}
		}
	case wordInsert:
		if begins {
			q.operate(word, keyword)
		}
	case wordReplace:
		if first {
			q.operate(word, wordInsert)
		}
	case wordCreate:
		if first {
			q.operate(word, keyword)
			q.expect = expectObject
		}
	case wordTruncate, wordCall, wordUse, wordCopy, wordExplain:
		if first {
			q.operate(word, keyword)
			if keyword != wordExplain {
				q.expect = expectTarget
			}
		}
	case wordFrom:
		if q.readable&bit != 0 && !distinct {
			q.tables |= bit
			q.expect = expectTable
		}
	case wordJoin:
		if q.readable&bit != 0 {
			q.expect = expectTable
		}
	case wordUsing:
		if q.readable&bit != 0 && (q.main == wordMerge || q.main == wordDelete) && q.dialect&bareUUID == 0 {
			q.expect = expectTable // of CQL it says only TTL and TIMESTAMP
		}
	case wordInto:
		switch q.main {
		case wordInsert, wordSelect, wordMerge:
			q.expect = expectTarget
		}
	case wordClause:
		q.tables &^= bit
		if first {
			q.operate(word, wordOther)
		}
	case wordIn:
		q.list = listAwait
	case wordWith, wordAs, wordDistinct, wordValues, wordLike, wordThen, wordBetween, wordOutfile:
		// What follows looks at lastWord.
	default:
		if first {
			q.operate(word, wordOther)
		}
	}
}

// operate notes an operation.
func (q *reader) operate(word string, keyword wordKind) {
	q.main, q.object = keyword, 0
	q.add(word)
	if q.operation == "" {
		q.operation = word
	}
}

// addTarget notes the name that begins with part and goes on at query[end].
func (q *reader) addTarget(part, query string, end int, expect expectation) {
	if part == "" || part[0] == '@' {
		return // a variable
	}
	begin, known := q.summarySize, q.nameFull
	q.add(part)
	for !q.nameFull && end < len(query) && query[end] == '.' {
		if part, end = namePart(query, end+1); part == "" {
			break
		}
		q.extend(part)
	}
	if q.nameFull {
		if !known {
			q.summarySize = begin
		}
		q.collection = [2]int{}
		q.targets++
		return
	}
	if expect == expectTable && isCalled(query, end) {
		q.summarySize = begin // a function that makes a table
		return
	}
	q.target = true
	here := [2]int{begin, q.summarySize}
	if begin > 0 {
		here[0]++ // the space
	}
	switch {
	case q.main == wordCall || q.object == wordProcedure:
		q.procedure = here
	case q.object == wordObject || q.main == wordUse:
	case q.targets == 0:
		q.collection = here
		q.targets++
	case string(q.summary[q.collection[0]:q.collection[1]]) != string(q.summary[here[0]:here[1]]):
		q.collection = [2]int{}
		q.targets++
	}
}

// add appends a word to the summary, all of it or nothing.
func (q *reader) add(word string) {
	space := 0
	if q.summarySize > 0 {
		space = 1
	}
	if q.nameFull || space+len(word) > summaryLimit-q.summarySize {
		q.nameFull = true
		return
	}
	if space == 1 {
		q.summary[q.summarySize] = ' '
	}
	q.summarySize += space + copy(q.summary[q.summarySize+space:], word)
}

// extend appends a further part to the last name.
func (q *reader) extend(part string) {
	if 1+len(part) > summaryLimit-q.summarySize {
		q.nameFull = true
		return
	}
	q.summary[q.summarySize] = '.'
	q.summarySize += 1 + copy(q.summary[q.summarySize+1:], part)
}

// namePart reads a plain or quoted part of a name at query[at].
func namePart(query string, at int) (part string, end int) {
	if at >= len(query) {
		return "", at
	}
	closing := byte(0)
	switch query[at] {
	case '"', '`':
		closing = query[at]
	case '[':
		closing = ']'
	}
	end = at
	if closing == 0 {
		for end < len(query) && continuesWord[query[end]] {
			end++
		}
		return query[at:end], end
	}
	for end = at + 1; end < len(query); end++ {
		if query[end] == closing {
			return query[at+1 : end], end + 1
		}
	}
	return "", at
}

// isCalled reports whether the next token after query[end] is an opening parenthesis.
func isCalled(query string, end int) bool {
	for ; end < len(query); end++ {
		if query[end] > ' ' {
			return query[end] == '('
		}
	}
	return false
}

// isPlainWord reports whether a word may be the name of an operation: it must not be data.
func isPlainWord(word string) bool {
	if len(word) > 16 {
		return false
	}
	for i := 0; i < len(word); i++ {
		if c := word[i] | 0x20; (c < 'a' || c > 'z') && word[i] != '_' {
			return false
		}
	}
	return true
}
