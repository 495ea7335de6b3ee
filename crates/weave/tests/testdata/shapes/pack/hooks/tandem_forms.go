package forms

var tandemInits = 0

func tandemInit() {
	println("init", string(rune('a'+tandemInits)))
	tandemInits++
}

func tandemMap[T any](items []T) { println("before Map", len(items)) }

func tandemMapped[U any](mapped *[]U) { println("after Map", len(*mapped)) }

func tandemPut[T any](_ *Box[T], value T) { println("before Put", tandemString(value)) }

func tandemHasPut[T any](old *T) {
	if text := tandemString(*old); text != "" {
		println("after Put", text)
		return
	}
	println("after Put")
}

func tandemString(value any) string {
	text, _ := value.(string)
	return text
}

func tandemSum(label string, numbers ...int) string {
	println("before Sum", label, len(numbers))
	return "Sum"
}

func tandemSummed(name string, total *int) { println("after", name, *total) }

func tandemBefore(name string, n int, text string) string {
	name = name[len("forms."):]
	println("before", name, n, text)
	return name
}

func tandemAfter(name string, n *int, err *error) {
	if *err != nil {
		println("after", name, *n, (*err).Error())
		return
	}
	println("after", name, *n, "none")
}

func tandemLeft(name string) { println("after", name) }

func tandemLiteral(name string, n int) { println("in", name, n) }

func tandemSee(name string, n int) { println(name, n) }

func tandemAdd(c *Counter, n int) { println("before Add", c.total, n) }

func tandemDirected(name, words string) { println("directive", name, words) }

func tandemInt(name string, n int) { println("before", name, n) }

func tandemText(text string) string {
	println("wrap", text)
	return text
}
