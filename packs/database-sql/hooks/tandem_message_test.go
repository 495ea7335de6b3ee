package sql

import "testing"

// Values are gone, names stay.
func TestTandemWithoutValues(t *testing.T) {
	for message, want := range map[string]string{
		`relation "nowhere" does not exist`:                   `relation "nowhere" does not exist`,
		`invalid input syntax for type integer: "4111"`:       `invalid input syntax for type integer: "?"`,
		`syntax error at or near "hunter2"`:                   `syntax error at or near "?"`,
		`Duplicate entry 'a@b.example' for key 'users.email'`: `Duplicate entry '?' for key '?'`,
		`Table 'shop.nowhere' doesn't exist`:                  `Table '?' doesn't exist`,
		`SQL logic error: unrecognized token: "'hunter2" (1)`: `SQL logic error: unrecognized token: "?" (1)`,
		`unterminated quoted string at 'hunter2`:              `unterminated quoted string at '?`,
		`UNIQUE constraint failed: users.name`:                `UNIQUE constraint failed: users.name`,
		``:                                                    ``,
	} {
		if got := tandemWithoutValues(message); got != want {
			t.Errorf("%s: %s", message, got)
		}
	}
}
