package forms

import "fmt"

var double = func(n int) int { return 2 * n }

// Literals gives one function literal to another.
func Literals(n int) string {
	text := ""
	each(n, func(n int) {
		say := func(word string) { text += word }
		say(fmt.Sprint(double(n)))
	})
	func() { text += "!" }()
	return text
}

func each(n int, f func(int)) { f(n) }
