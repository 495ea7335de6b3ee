package shop

func tandemSee(text string) {}

func tandemBegin(name string, n int) int { return n }

func tandemEnd(n int, err *error) {}

func tandemText(text string) string { return text }
