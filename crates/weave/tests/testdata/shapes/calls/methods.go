package calls

import (
	"bytes"
	"fmt"
	"strings"
)

type text struct{ strings.Builder }

type named struct{ name string }

func (n named) Name() string { return n.name }

type shop struct {
	named
	owner *named
}

// Methods calls methods of one name that are of several types.
func Methods() string {
	var builder strings.Builder
	builder.WriteString("a")
	pointer := &builder
	pointer.WriteString("b")
	var embeds text
	embeds.WriteString("c")
	var buffer bytes.Buffer
	buffer.WriteString("not a Builder")
	write := builder.WriteString
	write("d")
	func(builder *bytes.Buffer) { builder.WriteString(" either") }(&buffer)
	generic(&buffer)
	s := shop{named{"e"}, &named{"f"}}
	return fmt.Sprint(builder.String(), embeds.String(), buffer.Len(), s.Name(), s.owner.Name())
}

// generic is called with a Buffer here, and might be with a Builder.
func generic[W interface{ WriteString(string) (int, error) }](w W) { w.WriteString(" unknown") }
