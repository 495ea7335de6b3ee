// Compares plain and woven Go files as Go's own parser reads them: frames come in on standard input (name, plain text,
// woven text, each after its length), a line goes out for each file that is not as it should be, and one with counts at the
// end. A woven text of no bytes stands for a file that the weave did not read: then the line says whether Go reads it.
package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
)

func main() {
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	good, unread := 0, 0
	for {
		name, err := frame(in)
		if err != nil {
			break
		}
		plain, err := frame(in)
		if err != nil {
			break
		}
		woven, err := frame(in)
		if err != nil {
			break
		}
		plainFile, plainSet, err := parse(plain)
		switch {
		case err != nil:
			unread++
		case len(woven) == 0:
			fmt.Fprintf(out, "unread %s\n", name)
		default:
			if problem := compare(plainFile, plainSet, woven); problem != "" {
				fmt.Fprintf(out, "wrong %s: %s\n", name, problem)
			} else {
				good++
			}
		}
	}
	fmt.Fprintf(out, "good %d, not Go %d\n", good, unread)
}

func frame(in io.Reader) ([]byte, error) {
	var size uint32
	if err := binary.Read(in, binary.LittleEndian, &size); err != nil {
		return nil, err
	}
	text := make([]byte, size)
	_, err := io.ReadFull(in, text)
	return text, err
}

func parse(text []byte) (*ast.File, *token.FileSet, error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "file.go", text, parser.ParseComments|parser.SkipObjectResolution)
	return file, set, err
}

func compare(plain *ast.File, plainSet *token.FileSet, wovenText []byte) string {
	woven, wovenSet, err := parse(wovenText)
	if err != nil {
		return err.Error()
	}
	before, after := lines(plain, plainSet), lines(woven, wovenSet)
	if len(before) != len(after) {
		return fmt.Sprintf("%d functions were %d", len(after), len(before))
	}
	for i := range before {
		if before[i] != after[i] {
			return fmt.Sprintf("%v was %v", after[i], before[i])
		}
	}
	return ""
}

type function struct {
	name           string
	first, last    int
	comments, body int
}

// lines says where each function lies, and how many comments are inside it: as they are attached, so are directives.
func lines(file *ast.File, set *token.FileSet) []function {
	line := func(at token.Pos) int { return set.PositionFor(at, false).Line }
	var found []function
	for _, declaration := range file.Decls {
		f, ok := declaration.(*ast.FuncDecl)
		if !ok || f.Body == nil {
			continue
		}
		comments := 0
		for _, group := range file.Comments {
			if group.Pos() > f.Pos() && group.End() < f.End() {
				comments += len(group.List)
			}
		}
		found = append(found, function{f.Name.Name, line(f.Pos()), line(f.Body.Rbrace), comments, line(f.Body.Lbrace)})
	}
	return found
}
