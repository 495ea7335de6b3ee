package calls

func tandemUpper(upper func(string) string, text string) string {
	println("call ToUpper", text)
	return upper(text)
}

func tandemArgument(text string) string {
	println("argument", text)
	return text
}

func tandemResult(n int, err error) (int, error) {
	println("result g", err == nil)
	return n, err
}

func tandemOption(n int) Option {
	return func(*int) { println("option", n) }
}

func tandemWrite(write func([]byte) (int, error), text []byte) (int, error) {
	println("method", len(text))
	return write(text)
}

func tandemWritten(text string) string {
	println("written", text)
	return text
}

func tandemName(name string) string {
	println("name", name)
	return name
}

func tandemTwice[T int | float64](twice func(T) T, n T) T {
	println("call Twice", int(n))
	return twice(n)
}
