package calls

import str "strings"

func Renamed(text string) string { return str.ToUpper(text) }
