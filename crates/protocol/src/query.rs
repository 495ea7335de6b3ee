//! Reads the text of a query: what may be shown of it, and what it does to which table.
//!
//! The same as the woven packs of databases do (`go/lib/db`), for the dialects that are parsed here; the tests of both read
//! the same queries. A scanner, not a parser: it knows literals, comments, words and parentheses, and what it is not sure
//! about it treats as a literal. A literal is written as "?".

/// Bytes of the text that are kept.
const TEXT_LIMIT: usize = 448;
/// Bytes of a summary: the limit of the conventions.
const SUMMARY_LIMIT: usize = 255;
/// What is behind so many bytes is not looked at, but for the end of a token.
const READ_LIMIT: usize = 8192;

/// How a database reads the characters on which query languages differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// `"…"` is a name, a backslash is one, but in `E'…'`.
    #[default]
    Postgresql,
    /// `"…"` is a string, a backslash escapes, `#` begins a comment.
    Mysql,
}

/// What a query's text tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statement {
    /// Without literals and comments.
    pub text: String,
    /// Operations and what they are done to.
    pub summary: String,
    /// The first operation, as written.
    pub operation: String,
    /// The only table; empty where there is none or more than one.
    pub table: String,
    /// The stored procedure that is called.
    pub procedure: String,
}

/// Reads a query.
pub fn read(query: &str, dialect: Dialect) -> Statement {
    let mut reader = Reader { query: query.as_bytes(), dialect, ..Reader::default() };
    let mut at = 0;
    while at < query.len().min(READ_LIMIT) {
        at = reader.token(at); // once a list, this may be before `at`
    }
    reader.statement()
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Token {
    #[default]
    Start,
    Name,
    Keyword,
    Literal,
    Placeholder,
    Open,
    Close,
    Comma,
    Dot,
    Operator,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum List {
    #[default]
    None,
    /// After IN.
    Await,
    /// After IN (.
    Open,
    /// After its first value; the others are left out.
    Value,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Expect {
    #[default]
    Nothing,
    /// A table, or a function that makes one.
    Table,
    /// A name that ( may follow.
    Target,
    /// A kind of object: TABLE, INDEX …
    Object,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Word {
    #[default]
    Name,
    Other,
    Select,
    Insert,
    Update,
    Delete,
    Merge,
    Replace,
    Create,
    Truncate,
    Call,
    Use,
    Copy,
    Explain,
    From,
    Join,
    Into,
    Using,
    As,
    Distinct,
    Table,
    Object,
    Procedure,
    /// Stands between an operation and its target.
    Skip,
    /// Ends a list of tables.
    Clause,
    Values,
    In,
    True,
    /// What follows is a value, or needs no care.
    Before,
}

#[derive(Default)]
struct Reader<'a> {
    query: &'a [u8],
    dialect: Dialect,
    text: Vec<u8>,
    text_full: bool,
    summary: Vec<u8>,
    summary_full: bool,
    operation: Vec<u8>,
    /// Ranges of the summary.
    table: (usize, usize),
    procedure: (usize, usize),
    last: Token,
    last_word: Word,
    /// The last token is a name that went to the summary.
    target: bool,
    list: List,
    /// Where the list that is being collapsed begins, in the query and in the text.
    list_read: usize,
    list_text: usize,
    main: Word,
    object: Word,
    expect: Expect,
    targets: usize,
    depth: u32,
    /// Bits by depth: a statement is open that has a FROM; inside its list of tables.
    readable: u64,
    tables: u64,
}

fn starts_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80 || byte == b'@'
}

fn continues_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80 || byte == b'$'
}

impl Reader<'_> {
    fn at(&self, at: usize) -> u8 {
        self.query.get(at).copied().unwrap_or_default()
    }

    fn mysql(&self) -> bool {
        self.dialect == Dialect::Mysql
    }

    /// Handles what begins there; where the next token begins.
    fn token(&mut self, at: usize) -> usize {
        let byte = self.at(at);
        if byte.is_ascii_whitespace() || byte == 0x0b {
            let end = self.end_of(at, |byte| byte.is_ascii_whitespace() || byte == 0x0b);
            if !matches!(self.list, List::Open | List::Value) {
                self.put(at, end);
            }
            return end;
        }
        if starts_word(byte) {
            return self.word(at);
        }
        if byte.is_ascii_digit() {
            return self.number(at);
        }
        let next = self.at(at + 1);
        match byte {
            b'\'' => self.string(at, self.mysql()),
            b'"' if self.mysql() => self.string(at, true),
            b'"' | b'`' => self.quoted(at, byte),
            b'-' if next == b'-' => self.comment(self.line_end(at)),
            b'-' | b'+' if self.signs(at) => self.number(at + 1),
            b'/' if next == b'*' => self.comment(self.comment_end(at)),
            b'#' if self.mysql() => self.comment(self.line_end(at)),
            b'.' if next.is_ascii_digit() && self.last != Token::Name => self.number(at),
            b'$' => self.dollar(at),
            b'?' => {
                self.value(b"?", Token::Placeholder);
                at + 1
            }
            b':' if next != b':' && starts_word(next) && next != b'@' => {
                let end = self.end_of(at + 1, continues_word);
                let name = self.query[at..end].to_vec();
                self.value(&name, Token::Placeholder);
                end
            }
            b'(' => self.open(at),
            b')' => {
                self.write(at, at + 1, Token::Close);
                self.depth = self.depth.saturating_sub(1);
                at + 1
            }
            b',' if self.list == List::Value => {
                self.last = Token::Comma;
                at + 1
            }
            b',' => {
                self.write(at, at + 1, Token::Comma);
                if self.tables & self.bit() != 0 {
                    self.expect = Expect::Table;
                }
                at + 1
            }
            _ if self.list == List::Value => self.expand(),
            b';' => {
                self.write(at, at + 1, Token::Start);
                (self.depth, self.readable, self.tables) = (0, 0, 0);
                at + 1
            }
            b'.' => {
                self.write(at, at + 1, Token::Dot);
                at + 1
            }
            b':' if next == b':' => {
                self.write(at, at + 2, Token::Operator);
                at + 2
            }
            _ => {
                self.write(at, at + 1, Token::Operator);
                at + 1
            }
        }
    }

    fn end_of(&self, at: usize, belongs: impl Fn(u8) -> bool) -> usize {
        let rest = self.query.get(at..).unwrap_or_default();
        at + rest.iter().position(|&byte| !belongs(byte)).unwrap_or(rest.len())
    }

    fn put(&mut self, from: usize, to: usize) {
        let piece = self.query[from..to].to_vec();
        self.put_bytes(&piece);
    }

    fn put_bytes(&mut self, piece: &[u8]) {
        if self.text_full || piece.len() > TEXT_LIMIT - self.text.len() {
            self.text_full = true;
            return;
        }
        self.text.extend_from_slice(piece);
    }

    /// Puts a token that is no value: whatever was expected here is not coming.
    fn write(&mut self, from: usize, to: usize, kind: Token) {
        self.put(from, to);
        self.wrote(kind);
    }

    fn wrote(&mut self, kind: Token) {
        self.list = List::None;
        (self.last, self.last_word, self.target) = (kind, Word::Name, false);
        self.expect = Expect::Nothing;
    }

    /// Puts a literal or a placeholder; of a list after IN only the first.
    fn value(&mut self, text: &[u8], kind: Token) {
        let list = self.list;
        if list != List::Value {
            self.put_bytes(if list == List::Open { b"?" } else { text });
            self.wrote(kind);
        }
        self.last = kind;
        if matches!(list, List::Open | List::Value) {
            self.list = List::Value;
        }
    }

    /// Takes back that a list was collapsed, since it holds more than values: goes back to its beginning.
    fn expand(&mut self) -> usize {
        self.list = List::None;
        self.text.truncate(self.list_text);
        self.text_full = false;
        (self.last, self.last_word) = (Token::Open, Word::Name);
        self.list_read
    }

    fn comment(&mut self, end: usize) -> usize {
        let parted = self.text.last().is_some_and(|&byte| byte > b' ') && self.at(end) > b' ';
        if parted && !matches!(self.list, List::Open | List::Value) {
            self.put_bytes(b" ");
        }
        end
    }

    fn bit(&self) -> u64 {
        1 << (self.depth & 63)
    }

    fn open(&mut self, at: usize) -> usize {
        if self.list == List::Value {
            return self.expand();
        }
        let in_list = self.list == List::Await;
        self.write(at, at + 1, Token::Open);
        if in_list && !self.text_full {
            (self.list, self.list_read, self.list_text) = (List::Open, at + 1, self.text.len());
        }
        self.depth += 1;
        self.readable &= !self.bit();
        self.tables &= !self.bit();
        at + 1
    }

    /// Whether the sign belongs to a number.
    fn signs(&self, at: usize) -> bool {
        if matches!(self.last, Token::Name | Token::Close | Token::Placeholder) {
            return false;
        }
        let digit = if self.at(at + 1) == b'.' { at + 2 } else { at + 1 };
        self.at(digit).is_ascii_digit()
    }

    /// Swallows a number of whatever form.
    fn number(&mut self, at: usize) -> usize {
        let hex = self.at(at) == b'0' && self.at(at + 1) | 0x20 == b'x';
        let mut at = at;
        while continues_word(self.at(at)) || self.at(at) == b'.' {
            let exponent = !hex && self.at(at) | 0x20 == b'e';
            at += 1;
            if exponent && matches!(self.at(at), b'-' | b'+') && self.at(at + 1).is_ascii_digit() {
                at += 1;
            }
        }
        self.value(b"?", Token::Literal);
        at
    }

    fn string(&mut self, at: usize, escapes: bool) -> usize {
        self.value(b"?", Token::Literal);
        let quote = self.at(at);
        let mut here = at + 1;
        while here < self.query.len() {
            match self.at(here) {
                b'\\' if escapes => here += 2,
                byte if byte == quote && self.at(here + 1) == quote => here += 2,
                byte if byte == quote => return here + 1,
                _ => here += 1,
            }
        }
        self.query.len()
    }

    /// Copies a quoted name.
    fn quoted(&mut self, at: usize, quote: u8) -> usize {
        if self.list == List::Value {
            return self.expand();
        }
        let mut end = at + 1;
        loop {
            let Some(next) = self.query[end..].iter().position(|&byte| byte == quote) else {
                self.value(b"?", Token::Literal); // not closed, so nobody knows what it is
                return self.query.len();
            };
            end += next + 1;
            if self.at(end) != quote {
                break;
            }
            end += 1;
        }
        self.name(at, end, (at + 1, end - 1));
        end
    }

    /// $1, and PostgreSQL's $tag$…$tag$.
    fn dollar(&mut self, at: usize) -> usize {
        let end = self.end_of(at + 1, |byte| continues_word(byte) && byte != b'$');
        if self.at(at + 1).is_ascii_digit() {
            let end = self.end_of(at + 1, |byte| byte.is_ascii_digit());
            let name = self.query[at..end].to_vec();
            self.value(&name, Token::Placeholder);
            return end;
        }
        if self.at(end) == b'$' {
            let tag = self.query[at..=end].to_vec();
            self.value(b"?", Token::Literal);
            let rest = &self.query[end + 1..];
            let closing = rest.windows(tag.len()).position(|window| window == tag);
            return closing.map_or(self.query.len(), |closing| end + 1 + closing + tag.len());
        }
        let name = self.query[at..end].to_vec();
        self.value(&name, Token::Placeholder);
        end
    }

    fn word(&mut self, at: usize) -> usize {
        let mut end = at + 1;
        loop {
            if continues_word(self.at(end)) {
                end += 1;
            } else if self.at(end) == b'.' && starts_word(self.at(end + 1)) && self.at(end + 1) != b'@' {
                end += 2;
            } else {
                break;
            }
        }
        let word = self.query[at..end].to_ascii_uppercase();
        if self.at(end) == b'\'' {
            match word.as_slice() {
                b"E" => return self.string(end, true),
                b"N" | b"B" | b"X" => return self.string(end, self.mysql()),
                [b'_', ..] => return self.string(end, self.mysql()),
                _ => {}
            }
        }
        let kind = kind_of(&word);
        if kind == Word::True {
            self.value(b"?", Token::Literal);
            return end;
        }
        if self.list == List::Value {
            return self.expand();
        }
        match kind {
            Word::Name => self.name(at, end, (at, end)),
            keyword => self.keyword(at, end, keyword),
        }
        end
    }

    /// A word that is no keyword, or a quoted name; `inside` is what the quotes hold.
    fn name(&mut self, at: usize, end: usize, inside: (usize, usize)) {
        let (last, expect) = (self.last, self.expect);
        self.write(at, end, Token::Name);
        if expect == Expect::Object {
            self.expect = expect; // CREATE UNLOGGED TABLE
        } else if expect != Expect::Nothing {
            self.add_target(inside, end, expect);
        } else if last == Token::Start && is_plain(&self.query[at..end]) {
            self.operate(at, end, Word::Other);
        }
    }

    fn keyword(&mut self, at: usize, end: usize, keyword: Word) {
        let first = self.last == Token::Start;
        let begins = first
            || matches!(self.last, Token::Open | Token::Close)
            || matches!(self.last_word, Word::As | Word::Explain);
        let distinct = self.last_word == Word::Distinct;
        let expect = self.expect;
        self.write(at, end, Token::Keyword);
        self.last_word = keyword;
        if expect == Expect::Object {
            match keyword {
                Word::Table | Word::Object | Word::Procedure => {
                    self.object = keyword;
                    self.add(at, end);
                    self.expect = Expect::Target;
                }
                _ => self.expect = expect, // CREATE OR REPLACE VIEW
            }
            return;
        }
        if expect != Expect::Nothing {
            match keyword {
                Word::Skip => {
                    self.expect = expect;
                    return;
                }
                Word::Table if expect == Expect::Target => {
                    self.expect = expect;
                    return;
                }
                Word::Table | Word::Object | Word::Procedure => {
                    return self.add_target((at, end), end, expect); // a table called user
                }
                _ => {}
            }
        }
        let bit = self.bit();
        match keyword {
            Word::Select => {
                self.operate(at, end, keyword);
                self.readable |= bit;
                self.tables &= !bit;
            }
            Word::Update | Word::Delete | Word::Merge if begins => {
                self.operate(at, end, keyword);
                self.readable |= bit;
                self.expect = Expect::Table;
                if keyword == Word::Update {
                    self.tables |= bit;
                }
            }
            Word::Insert if begins => self.operate(at, end, keyword),
            Word::Replace if first => self.operate(at, end, Word::Insert),
            Word::Create if first => {
                self.operate(at, end, keyword);
                self.expect = Expect::Object;
            }
            Word::Truncate | Word::Call | Word::Use | Word::Copy if first => {
                self.operate(at, end, keyword);
                self.expect = Expect::Target;
            }
            Word::Explain if first => self.operate(at, end, keyword),
            Word::From if self.readable & bit != 0 && !distinct => {
                self.tables |= bit;
                self.expect = Expect::Table;
            }
            Word::Join if self.readable & bit != 0 => self.expect = Expect::Table,
            Word::Using if self.readable & bit != 0 && matches!(self.main, Word::Merge | Word::Delete) => {
                self.expect = Expect::Table;
            }
            Word::Into if matches!(self.main, Word::Insert | Word::Select | Word::Merge) => {
                self.expect = Expect::Target;
            }
            Word::Clause => {
                self.tables &= !bit;
                if first {
                    self.operate(at, end, Word::Other);
                }
            }
            Word::In => self.list = List::Await,
            Word::Other | Word::Table | Word::Object | Word::Procedure | Word::Skip if first => {
                self.operate(at, end, Word::Other);
            }
            _ => {}
        }
    }

    fn operate(&mut self, at: usize, end: usize, keyword: Word) {
        (self.main, self.object) = (keyword, Word::Name);
        self.add(at, end);
        if self.operation.is_empty() {
            self.operation = self.query[at..end].to_vec();
        }
    }

    /// Notes the name that begins with a part and goes on at `end`.
    fn add_target(&mut self, part: (usize, usize), end: usize, expect: Expect) {
        if part.0 >= part.1 || self.at(part.0) == b'@' {
            return; // a variable
        }
        let (begin, known) = (self.summary.len(), self.summary_full);
        self.add(part.0, part.1);
        let mut end = end;
        while !self.summary_full && self.at(end) == b'.' {
            let (from, to, next) = self.name_part(end + 1);
            if from >= to {
                break;
            }
            end = next;
            if 1 + to - from > SUMMARY_LIMIT - self.summary.len() {
                self.summary_full = true;
            } else {
                self.summary.push(b'.');
                self.summary.extend_from_slice(&self.query[from..to]);
            }
        }
        if self.summary_full {
            if !known {
                self.summary.truncate(begin);
            }
            self.table = (0, 0);
            self.targets += 1;
            return;
        }
        if expect == Expect::Table && self.is_called(end) {
            self.summary.truncate(begin); // a function that makes a table
            return;
        }
        self.target = true;
        let here = (begin + usize::from(begin > 0), self.summary.len());
        if self.main == Word::Call || self.object == Word::Procedure {
            self.procedure = here;
        } else if self.object == Word::Object || self.main == Word::Use {
            // Neither a table nor a procedure.
        } else if self.targets == 0 {
            self.table = here;
            self.targets += 1;
        } else if self.summary[self.table.0..self.table.1] != self.summary[here.0..here.1] {
            self.table = (0, 0);
            self.targets += 1;
        }
    }

    /// Appends a word to the summary, all of it or nothing.
    fn add(&mut self, at: usize, end: usize) {
        let space = usize::from(!self.summary.is_empty());
        if self.summary_full || space + end - at > SUMMARY_LIMIT - self.summary.len() {
            self.summary_full = true;
            return;
        }
        if space == 1 {
            self.summary.push(b' ');
        }
        self.summary.extend_from_slice(&self.query[at..end]);
    }

    /// A plain or quoted part of a name: from, to, and where it ends with its quotes.
    fn name_part(&self, at: usize) -> (usize, usize, usize) {
        match self.at(at) {
            quote @ (b'"' | b'`') => match self.query[at + 1..].iter().position(|&byte| byte == quote) {
                Some(size) => (at + 1, at + 1 + size, at + size + 2),
                None => (at, at, at),
            },
            _ => {
                let end = self.end_of(at, continues_word);
                (at, end, end)
            }
        }
    }

    fn is_called(&self, end: usize) -> bool {
        self.query[end.min(self.query.len())..].iter().find(|&&byte| byte > b' ') == Some(&b'(')
    }

    fn line_end(&self, at: usize) -> usize {
        self.end_of(at, |byte| byte != b'\n')
    }

    /// Comments nest in PostgreSQL; where they do not, this takes more than it must, never less.
    fn comment_end(&self, at: usize) -> usize {
        let (mut depth, mut at) = (0, at);
        while at + 1 < self.query.len() {
            match (self.at(at), self.at(at + 1)) {
                (b'/', b'*') => {
                    depth += 1;
                    at += 2;
                }
                (b'*', b'/') => {
                    depth -= 1;
                    at += 2;
                    if depth == 0 {
                        return at;
                    }
                }
                _ => at += 1,
            }
        }
        self.query.len()
    }

    fn statement(self) -> Statement {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Statement {
            table: text(&self.summary[self.table.0..self.table.1]),
            procedure: text(&self.summary[self.procedure.0..self.procedure.1]),
            operation: text(&self.operation),
            text: text(&self.text),
            summary: text(&self.summary),
        }
    }
}

/// Whether a word may be the name of an operation: it must not be data.
fn is_plain(word: &[u8]) -> bool {
    word.len() <= 16 && word.iter().all(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
}

fn kind_of(upper: &[u8]) -> Word {
    match upper {
        b"SELECT" => Word::Select,
        b"INSERT" => Word::Insert,
        b"UPDATE" => Word::Update,
        b"DELETE" => Word::Delete,
        b"MERGE" => Word::Merge,
        b"REPLACE" => Word::Replace,
        b"CREATE" | b"ALTER" | b"DROP" => Word::Create,
        b"TRUNCATE" => Word::Truncate,
        b"CALL" | b"EXEC" | b"EXECUTE" => Word::Call,
        b"USE" => Word::Use,
        b"COPY" => Word::Copy,
        b"EXPLAIN" | b"ANALYZE" => Word::Explain,
        b"FROM" => Word::From,
        b"JOIN" => Word::Join,
        b"INTO" => Word::Into,
        b"USING" => Word::Using,
        b"AS" => Word::As,
        b"DISTINCT" => Word::Distinct,
        b"TABLE" | b"VIEW" => Word::Table,
        b"INDEX" | b"DATABASE" | b"SCHEMA" | b"KEYSPACE" | b"SEQUENCE" | b"TRIGGER" | b"TYPE" | b"USER" | b"ROLE"
        | b"EXTENSION" | b"DOMAIN" => Word::Object,
        b"PROCEDURE" | b"FUNCTION" => Word::Procedure,
        b"IF" | b"NOT" | b"EXISTS" | b"ONLY" | b"LATERAL" | b"CONCURRENTLY" | b"IMMEDIATE" | b"IGNORE" | b"OR"
        | b"ABORT" | b"FAIL" | b"ROLLBACK" | b"LOW_PRIORITY" => Word::Skip,
        b"WHERE" | b"ON" | b"SET" | b"GROUP" | b"ORDER" | b"HAVING" | b"LIMIT" | b"OFFSET" | b"UNION" | b"EXCEPT"
        | b"INTERSECT" | b"RETURNING" | b"WINDOW" | b"FETCH" | b"FOR" => Word::Clause,
        b"VALUES" | b"VALUE" => Word::Values,
        b"IN" => Word::In,
        b"TRUE" | b"FALSE" => Word::True,
        b"WITH" | b"LIKE" | b"ILIKE" | b"RLIKE" | b"GLOB" | b"REGEXP" | b"MATCH" | b"ESCAPE" | b"THEN" | b"ELSE"
        | b"DEFAULT" | b"BETWEEN" | b"OUTFILE" | b"DUMPFILE" => Word::Before,
        _ => Word::Name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(query: &str) -> (String, String, String) {
        let statement = read(query, Dialect::Postgresql);
        (statement.text, statement.summary, statement.table)
    }

    /// Literals and comments are gone, names stay; summary and table are those that the woven packs tell.
    #[test]
    fn queries_are_shown_without_data() {
        let expected = |text: &str, summary: &str, table: &str| (text.to_owned(), summary.to_owned(), table.to_owned());
        assert_eq!(
            shown("SELECT id, name FROM products WHERE price > 10.5 AND name = 'it''s' -- a comment\nORDER BY id"),
            expected(
                "SELECT id, name FROM products WHERE price > ? AND name = ? \nORDER BY id",
                "SELECT products",
                "products"
            )
        );
        assert_eq!(
            shown("INSERT INTO products (id, name) VALUES (1, E'a\\'b'), (-2, $tag$x$tag$)"),
            expected("INSERT INTO products (id, name) VALUES (?, ?), (?, ?)", "INSERT products", "products")
        );
        assert_eq!(
            shown("SELECT id FROM products WHERE id IN (1, 2, 3) AND x = $1"),
            expected("SELECT id FROM products WHERE id IN (?) AND x = $1", "SELECT products", "products")
        );
        assert_eq!(
            shown("SELECT * FROM a JOIN \"b c\" USING (x)"),
            expected("SELECT * FROM a JOIN \"b c\" USING (x)", "SELECT a b c", "")
        );
        assert_eq!(shown("SELECT 'open"), expected("SELECT ?", "SELECT", ""));
        assert_eq!(
            shown("SELECT a FROM t WHERE b IN (SELECT c FROM u WHERE d = 5)"),
            expected("SELECT a FROM t WHERE b IN (SELECT c FROM u WHERE d = ?)", "SELECT t SELECT u", "")
        );
        assert_eq!(shown("SELECT f(1) IN (1, g(2), 3)").0, "SELECT f(?) IN (?, g(?), ?)");
        assert_eq!(read("SELECT \"secret\" # and so on\n, 'a\\'b'", Dialect::Mysql).text, "SELECT ? \n, ?");
        assert_eq!(read("CALL refresh('x')", Dialect::Mysql).procedure, "refresh");
    }
}
