package sql

// This file tells from the words of a query which operations it holds and what they are done to:
// "INSERT INTO a (x) SELECT b FROM c" is summed up as "INSERT a SELECT c".

// tandemWord is a keyword that means something here; 0 is any other word.
type tandemWord uint8

const (
	_           tandemWord = iota
	tandemOther            // an operation that needs no care

	tandemSelect
	tandemInsert
	tandemUpdate
	tandemDelete
	tandemMerge
	tandemReplace
	tandemCreate
	tandemTruncate
	tandemCall
	tandemUse
	tandemCopy
	tandemWith
	tandemExplain

	tandemFrom
	tandemJoin
	tandemInto
	tandemUsing
	tandemAs
	tandemDistinct
	tandemTable
	tandemObject    // INDEX, DATABASE …
	tandemProcedure // PROCEDURE, FUNCTION
	tandemSkip      // stands between an operation and its target: IF EXISTS, ONLY …
	tandemClause    // ends a list of tables
	tandemValues
	tandemIn
	tandemTrue // TRUE and FALSE
	tandemLike
	tandemThen
	tandemBetween
	tandemOutfile
)

// tandemKeyword classifies a word.
func tandemKeyword(word string) tandemWord {
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
		return tandemSelect
	case "INSERT":
		return tandemInsert
	case "UPDATE":
		return tandemUpdate
	case "DELETE":
		return tandemDelete
	case "MERGE":
		return tandemMerge
	case "REPLACE":
		return tandemReplace
	case "CREATE", "ALTER", "DROP":
		return tandemCreate
	case "TRUNCATE":
		return tandemTruncate
	case "CALL", "EXEC", "EXECUTE":
		return tandemCall
	case "USE":
		return tandemUse
	case "COPY":
		return tandemCopy
	case "WITH":
		return tandemWith
	case "EXPLAIN", "ANALYZE":
		return tandemExplain
	case "FROM":
		return tandemFrom
	case "JOIN":
		return tandemJoin
	case "INTO":
		return tandemInto
	case "USING":
		return tandemUsing
	case "AS":
		return tandemAs
	case "DISTINCT":
		return tandemDistinct
	case "TABLE", "VIEW":
		return tandemTable
	case "INDEX", "DATABASE", "SCHEMA", "SEQUENCE", "TRIGGER", "TYPE", "USER", "ROLE", "EXTENSION", "DOMAIN":
		return tandemObject
	case "PROCEDURE", "FUNCTION":
		return tandemProcedure
	case "IF", "NOT", "EXISTS", "ONLY", "LATERAL", "CONCURRENTLY", "IMMEDIATE", "IGNORE", "OR", "ABORT", "FAIL", "ROLLBACK", "LOW_PRIORITY":
		return tandemSkip
	case "WHERE", "ON", "SET", "GROUP", "ORDER", "HAVING", "LIMIT", "OFFSET", "UNION", "EXCEPT", "INTERSECT", "RETURNING", "WINDOW", "FETCH", "FOR":
		return tandemClause
	case "VALUES", "VALUE":
		return tandemValues
	case "IN":
		return tandemIn
	case "TRUE", "FALSE":
		return tandemTrue
	case "LIKE", "ILIKE", "RLIKE", "GLOB", "REGEXP", "MATCH", "ESCAPE":
		return tandemLike
	case "THEN", "ELSE", "DEFAULT":
		return tandemThen
	case "BETWEEN":
		return tandemBetween
	case "OUTFILE", "DUMPFILE":
		return tandemOutfile
	}
	return 0
}

// name handles a word that is no keyword, or a quoted name; inside is what the quotes hold. It ends at query[end].
func (q *tandemQuery) name(text, inside, query string, end int) {
	last, expect := q.last, q.expect
	q.write(text, tandemTokenName)
	switch {
	case expect == tandemExpectObject:
		q.expect = expect // CREATE UNLOGGED TABLE
	case expect != tandemExpectNothing:
		q.addTarget(inside, query, end, expect)
	case last == tandemTokenStart && tandemPlainWord(text):
		q.operate(text, tandemOther)
	}
}

// keyword handles a keyword that ends at query[end].
func (q *tandemQuery) keyword(word string, keyword tandemWord, query string, end int) {
	first := q.last == tandemTokenStart
	begins := first || q.last == tandemTokenOpen || q.last == tandemTokenClose || q.lastWord == tandemAs || q.lastWord == tandemExplain
	distinct := q.lastWord == tandemDistinct
	expect := q.expect
	q.write(word, tandemTokenKeyword)
	q.lastWord = keyword

	if expect == tandemExpectObject {
		switch keyword {
		case tandemTable, tandemObject, tandemProcedure:
			q.object = keyword
			q.add(word)
			q.expect = tandemExpectTarget
		default:
			q.expect = expect // CREATE OR REPLACE VIEW
		}
		return
	}
	if expect != tandemExpectNothing {
		switch {
		case keyword == tandemSkip, keyword == tandemTable && expect == tandemExpectTarget:
			q.expect = expect
			return
		case keyword == tandemTable, keyword == tandemObject, keyword == tandemProcedure:
			q.addTarget(word, query, end, expect) // a table called user
			return
		}
	}

	bit := q.bit()
	switch keyword {
	case tandemSelect:
		q.operate(word, keyword)
		q.readable |= bit
		q.tables &^= bit
	case tandemUpdate, tandemDelete, tandemMerge:
		if begins {
			q.operate(word, keyword)
			q.readable |= bit
			q.expect = tandemExpectTable
			if keyword == tandemUpdate {
				q.tables |= bit
			}
		}
	case tandemInsert:
		if begins {
			q.operate(word, keyword)
		}
	case tandemReplace:
		if first {
			q.operate(word, tandemInsert)
		}
	case tandemCreate:
		if first {
			q.operate(word, keyword)
			q.expect = tandemExpectObject
		}
	case tandemTruncate, tandemCall, tandemUse, tandemCopy, tandemExplain:
		if first {
			q.operate(word, keyword)
			if keyword != tandemExplain {
				q.expect = tandemExpectTarget
			}
		}
	case tandemFrom:
		if q.readable&bit != 0 && !distinct {
			q.tables |= bit
			q.expect = tandemExpectTable
		}
	case tandemJoin:
		if q.readable&bit != 0 {
			q.expect = tandemExpectTable
		}
	case tandemUsing:
		if q.readable&bit != 0 && (q.main == tandemMerge || q.main == tandemDelete) {
			q.expect = tandemExpectTable
		}
	case tandemInto:
		switch q.main {
		case tandemInsert, tandemSelect, tandemMerge:
			q.expect = tandemExpectTarget
		}
	case tandemClause:
		q.tables &^= bit
		if first {
			q.operate(word, tandemOther)
		}
	case tandemIn:
		q.list = tandemListAwait
	case tandemWith, tandemAs, tandemDistinct, tandemValues, tandemLike, tandemThen, tandemBetween, tandemOutfile:
		// What follows looks at lastWord.
	default:
		if first {
			q.operate(word, tandemOther)
		}
	}
}

// operate notes an operation.
func (q *tandemQuery) operate(word string, keyword tandemWord) {
	q.main, q.object = keyword, 0
	q.add(word)
	if q.operation == "" {
		q.operation = word
	}
}

// addTarget notes the name that begins with part and goes on at query[end].
func (q *tandemQuery) addTarget(part, query string, end int, expect tandemExpect) {
	if part == "" || part[0] == '@' {
		return // a variable
	}
	begin, known := q.summarySize, q.nameFull
	q.add(part)
	for !q.nameFull && end < len(query) && query[end] == '.' {
		if part, end = tandemNamePart(query, end+1); part == "" {
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
	if expect == tandemExpectTable && tandemCalled(query, end) {
		q.summarySize = begin // a function that makes a table
		return
	}
	q.target = true
	here := [2]int{begin, q.summarySize}
	if begin > 0 {
		here[0]++ // the space
	}
	switch {
	case q.main == tandemCall || q.object == tandemProcedure:
		q.procedure = here
	case q.object == tandemObject || q.main == tandemUse:
	case q.targets == 0:
		q.collection = here
		q.targets++
	case string(q.summary[q.collection[0]:q.collection[1]]) != string(q.summary[here[0]:here[1]]):
		q.collection = [2]int{}
		q.targets++
	}
}

// add appends a word to the summary, all of it or nothing.
func (q *tandemQuery) add(word string) {
	space := 0
	if q.summarySize > 0 {
		space = 1
	}
	if q.nameFull || space+len(word) > tandemSummaryLimit-q.summarySize {
		q.nameFull = true
		return
	}
	if space == 1 {
		q.summary[q.summarySize] = ' '
	}
	q.summarySize += space + copy(q.summary[q.summarySize+space:], word)
}

// extend appends a further part to the last name.
func (q *tandemQuery) extend(part string) {
	if 1+len(part) > tandemSummaryLimit-q.summarySize {
		q.nameFull = true
		return
	}
	q.summary[q.summarySize] = '.'
	q.summarySize += 1 + copy(q.summary[q.summarySize+1:], part)
}

// tandemNamePart reads a plain or quoted part of a name at query[at].
func tandemNamePart(query string, at int) (part string, end int) {
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
		for end < len(query) && tandemWordPart[query[end]] {
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

// tandemCalled reports whether the next token after query[end] is an opening parenthesis.
func tandemCalled(query string, end int) bool {
	for ; end < len(query); end++ {
		if query[end] > ' ' {
			return query[end] == '('
		}
	}
	return false
}

// tandemPlainWord reports whether a word may be the name of an operation: it must not be data.
func tandemPlainWord(word string) bool {
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
