package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
)

const (
	kindSuite   = "suite"   // tests of packages, compared by name
	kindProgram = "program" // a program, started and asked; its builds are measured
)

// subject is one thing that is looked at, as programs.json says it.
type subject struct {
	Name string `json:"name"`
	What string `json:"what"`
	Kind string `json:"kind"`

	// Where its source comes from; exactly one of these.
	Module   string   `json:"module"`   // path@version: a copy of that module is the main module
	Requires []string `json:"requires"` // path@version each: a module that requires them, with what Folder has
	Folder   string   `json:"folder"`   // below programs/: that folder
	Standard bool     `json:"standard"` // the standard library, seen from an empty module

	Go     string   `json:"go"`     // a toolchain newer than the one that is installed (go1.27.4)
	Vendor bool     `json:"vendor"` // go mod vendor first
	Env    []string `json:"env"`    // variables for all of its commands, on both sides
	Flags  []string `json:"flags"`  // of go build or go test
	Long   bool     `json:"long"`   // tests without -short

	Packages []string  `json:"packages"` // what is tested, or built
	Skip     []skip    `json:"skip"`     // tests that are not run, on neither side
	Intended []purpose `json:"intended"` // tests that see what the weave is for: with spans off they must pass
	Unstable []filter  `json:"unstable"` // parts of test names and of answers that differ from run to run

	Edit   string            `json:"edit"`   // the file that is edited for the rebuild, below the source
	Files  map[string]string `json:"files"`  // for the program's own folder
	Script []step            `json:"script"` // what it is asked

	filters []*regexp.Regexp // of Unstable
}

// skip is a test that cannot be compared.
type skip struct {
	Test   string `json:"test"` // an expression, as for go test -skip
	Reason string `json:"reason"`
}

// purpose says why tests differ on purpose: they see what the weave is for. With spans off they must pass.
type purpose struct {
	Test   string `json:"test"` // an expression for package.Test
	Reason string `json:"reason"`

	expression *regexp.Regexp
}

// filter replaces what an expression matches.
type filter struct {
	Match string `json:"match"`
	With  string `json:"with"`
}

// step is one thing that is done with a program. Exactly one of Run, Start, HTTP, TCP, Tree and Stop.
type step struct {
	Run   []string `json:"run"`   // arguments of a run that ends: exit code and output are compared
	Start []string `json:"start"` // arguments of a server
	HTTP  string   `json:"http"`  // method and URL; asked until there is an answer: status and body are compared
	TCP   string   `json:"tcp"`   // address; Send is sent
	Tree  string   `json:"tree"`  // folder whose files are compared
	Stop  bool     `json:"stop"`  // end the server by SIGTERM: its exit code is compared

	Send  string `json:"send"`  // body of the request, or text for the connection
	Until string `json:"until"` // text that the answer must contain; it is asked again until it does
}

func readSubjects(path string) ([]*subject, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var subjects []*subject
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&subjects); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	names := map[string]bool{}
	for _, s := range subjects {
		if err := s.check(); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", path, s.Name, err)
		}
		if names[s.Name] {
			return nil, fmt.Errorf("%s: %s is there twice", path, s.Name)
		}
		names[s.Name] = true
	}
	return subjects, nil
}

func (s *subject) check() (err error) {
	if s.Kind != kindSuite && s.Kind != kindProgram {
		return fmt.Errorf("kind is %q, not %s or %s", s.Kind, kindSuite, kindProgram)
	}
	if s.Module == "" && len(s.Requires) == 0 && s.Folder == "" && !s.Standard {
		return fmt.Errorf("where does it come from? module, requires, folder or standard")
	}
	for _, module := range append([]string{s.Module}, s.Requires...) {
		if module != "" && !strings.Contains(module, "@v") {
			return fmt.Errorf("%s has no version; write path@version", module)
		}
	}
	if len(s.Packages) == 0 {
		return fmt.Errorf("packages: is empty")
	}
	if s.Kind == kindProgram && (s.Edit == "" || len(s.Script) == 0) {
		return fmt.Errorf("a program needs edit: and script:")
	}
	for _, each := range s.Unstable {
		expression, err := regexp.Compile(each.Match)
		if err != nil {
			return fmt.Errorf("unstable: %w", err)
		}
		s.filters = append(s.filters, expression)
	}
	for index := range s.Intended {
		each := &s.Intended[index]
		if each.expression, err = regexp.Compile("^(?:" + each.Test + ")$"); err != nil {
			return fmt.Errorf("intended: %w", err)
		}
	}
	return nil
}

// stable is the text without the parts that differ from run to run.
func (s *subject) stable(text string) string {
	for index, expression := range s.filters {
		text = expression.ReplaceAllString(text, s.Unstable[index].With)
	}
	return text
}

func choose(subjects []*subject, only []string) ([]*subject, error) {
	if len(only) == 0 {
		return subjects, nil
	}
	var chosen []*subject
	for _, name := range only {
		before := len(chosen)
		for _, s := range subjects {
			if s.Name == name {
				chosen = append(chosen, s)
			}
		}
		if len(chosen) == before {
			return nil, fmt.Errorf("nothing is called %q in programs.json", name)
		}
	}
	return chosen, nil
}
