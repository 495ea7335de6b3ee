package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A program of so many functions: what its start costs more when all of them are woven dormant.
const (
	dormantPackages = 200
	dormantFiles    = 5  // of a package
	dormantInFile   = 20 // functions
)

// dormantRows compares the whole life of that program, woven without `functions:` and with it.
func (b *bench) dormantRows() ([]row, map[string]any, error) {
	packages := pick(b, dormantPackages, 3)
	dir := filepath.Join(b.work, "dormant")
	if err := writeDormant(dir, packages); err != nil {
		return nil, nil, err
	}
	lives := make([]life, 0, 2)
	for _, one := range []struct{ name, yaml string }{
		{"none", ""},
		{"dormant", "functions:\n  - packages: [./...]\n"},
	} {
		if err := os.WriteFile(filepath.Join(dir, "tandem.yaml"), []byte(one.yaml), 0o644); err != nil {
			return nil, nil, err
		}
		binary := filepath.Join(dir, one.name)
		build := exec.CommandContext(b.ctx, b.tandem, "go", "build", "-o", binary, ".")
		build.Dir = dir
		build.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
		if output, err := build.CombinedOutput(); err != nil {
			return nil, nil, fmt.Errorf("%s: %w\n%s", one.name, err, output)
		}
		lives = append(lives, life{name: one.name, binary: binary, environment: []string{b.noAgent()}})
	}
	wall, cpu := newFigures("ms"), newFigures("ms")
	if err := b.takeTurns(lives, pick(b, 300, 5), wall, cpu); err != nil {
		return nil, nil, err
	}
	functions := packages * dormantFiles * dormantInFile
	what := fmt.Sprintf("start to end with %d dormant functions", functions)
	rows := []row{
		wall.added(what, "dormant", "none", atMost(ofDifference, 1)),
		cpu.added("its CPU", "dormant", "none", nil),
	}
	return rows, map[string]any{"wall": wall, "cpu": cpu}, nil
}

func writeDormant(dir string, packages int) error {
	write := func(name, text string) error {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		return os.WriteFile(name, []byte(text), 0o644)
	}
	var imports, uses strings.Builder
	for p := 0; p < packages; p++ {
		fmt.Fprintf(&imports, "\t\"example.com/dormant/p%d\"\n", p)
		fmt.Fprintf(&uses, "\tp%d.All,\n", p)
		for f := 0; f < dormantFiles; f++ {
			var text strings.Builder
			fmt.Fprintf(&text, "package p%d\n\n", p)
			if f == 0 {
				text.WriteString("// All keeps the linker from leaving any out.\nvar All = []func(int) int{\n")
				for n := 0; n < dormantFiles*dormantInFile; n++ {
					fmt.Fprintf(&text, "\tComputeSomething%d,\n", n)
				}
				text.WriteString("}\n\n")
			}
			for n := f * dormantInFile; n < (f+1)*dormantInFile; n++ {
				fmt.Fprintf(&text, "func ComputeSomething%d(n int) int {\n\ttotal := %d\n\tfor i := 0; i < n; i++ {\n\t\ttotal += i\n\t}\n\treturn total\n}\n\n", n, n)
			}
			if err := write(fmt.Sprintf("p%d/file%d.go", p, f), text.String()); err != nil {
				return err
			}
		}
	}
	main := fmt.Sprintf("package main\n\nimport (\n%s)\n\nvar all = [][]func(int) int{\n%s}\n\nfunc main() {\n\tif all == nil {\n\t\tpanic(\"none\")\n\t}\n}\n", imports.String(), uses.String())
	if err := write("go.mod", "module example.com/dormant\n\ngo 1.21\n"); err != nil {
		return err
	}
	return write("main.go", main)
}
