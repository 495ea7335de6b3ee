package calls

import . "strings"

func Dotted(text string) string { return ToUpper(text) }
