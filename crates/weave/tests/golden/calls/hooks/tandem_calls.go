package shop

func tandemUpper(upper func(string) string, text string) string { return upper(text) }

func tandemSeen(text string) string { return text }

func tandemGet(response *http.Response, err error) (*http.Response, error) { return response, err }

func tandemNumber(n int) int { return n }

func tandemPair[T any](pair func(T, T) T, a, b T) T { return pair(a, b) }

func tandemSingle[T any](single func(T) T, a T) T { return single(a) }
