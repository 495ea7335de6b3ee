package forms

func Tagged(n int) int { return n }
