package db

import (
	"strings"
	"testing"
)

// Names stay in a message, data do not.
func TestRedact(t *testing.T) {
	for _, test := range []struct{ message, want string }{
		{"no such table: nowhere (1)", ""},
		{`relation "nowhere" does not exist (SQLSTATE 42P01)`, ""},
		{`duplicate key value violates unique constraint "users_email_key" (SQLSTATE 23505)`, ""},
		{`null value in column "id" of relation "users" violates not-null constraint`, ""},
		{"Table 'pack.nowhere' doesn't exist", ""},
		{"Unknown column 'a' in 'field list'", "Unknown column 'a' in '?'"},
		{`invalid input syntax for type integer: "secret" (SQLSTATE 22P02)`, `invalid input syntax for type integer: "?" (SQLSTATE 22P02)`},
		{`value "secret" is out of range for type integer`, `value "?" is out of range for type integer`},
		{`syntax error at or near "secret"`, `syntax error at or near "?"`},
		{"Duplicate entry 'secret' for key 'users.email'", "Duplicate entry '?'"},
		{"Duplicate entry 'secret' for key 'secret' for key 'email'", "Duplicate entry '?'"},
		{"syntax to use near ''secret' FROM t' at line 1", "syntax to use near '?' at line 1"},
		{"Incorrect integer value: 'secret' for column `pack`.`t`.`id` at row 1", "Incorrect integer value: '?' for column `pack`.`t`.`id` at row 1"},
		{`near "'secret'": syntax error (1)`, `near "?": syntax error (1)`},
		{`unrecognized token: "'secret`, `unrecognized token: "?"`},
		{"Key (email)=(secret (a)) already exists.", "Key (email)=(?) already exists."},
		{"The duplicate key value is (secret).", "The duplicate key value is (?)."},
		{"ERR unknown command 'FOO', with args beginning with: 'secret' 'x' ", "ERR unknown command 'FOO', with args beginning with: '?' "},
		{`E11000 duplicate key error collection: shop.users index: email_1 dup key: { email: "secret" }`, "E11000 duplicate key error collection: shop.users index: email_1 dup key: {?}"},
		{"for column 'a secret", "for column '?'"},
		{"", ""},
	} {
		if test.want == "" {
			test.want = test.message
		}
		if got := Redact(test.message); got != test.want {
			t.Errorf("%s\n got %s\nwant %s", test.message, got, test.want)
		}
	}
}

// Whatever comes in, it ends, and shows no quoted thing that follows none of the words.
func FuzzRedact(f *testing.F) {
	f.Add("Duplicate entry 'a' for key 'b'")
	f.Fuzz(func(t *testing.T, message string) {
		Redact(message)
		if marked := Redact("value '" + message + "s3cr3t'"); strings.Contains(marked, "s3cr3t") && !strings.Contains(message, "'") {
			t.Fatal(marked)
		}
	})
}
