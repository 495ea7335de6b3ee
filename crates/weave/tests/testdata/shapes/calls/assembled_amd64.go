package calls

func add(a, b int) int

func Assembled(a, b int) int { return add(a, b) }
