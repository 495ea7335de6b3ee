package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"sort"
	"strings"
)

// repeats is how often a test that differs is run again, alone, on each side.
const repeats = 3

// suite is what came of comparing tests.
type suite struct {
	Tests       int          `json:"tests"` // compared, with subtests and packages
	Passed      int          `json:"passed"`
	Skipped     int          `json:"skipped"` // by the tests themselves, on both sides
	FailedPlain []string     `json:"failed_plain,omitempty"`
	Flaky       []difference `json:"flaky,omitempty"`
	Different   []difference `json:"different,omitempty"`
	Intended    []explained  `json:"intended,omitempty"`
	LeftOut     []skip       `json:"left_out,omitempty"`
	Weave       weave        `json:"weave"`
	CPU         [2]float64   `json:"cpu"` // of the go command with its builds; only the tests' own once all is built
}

// difference is a test whose outcome was not the same on both sides.
type difference struct {
	Test   string      `json:"test"`
	First  [2]string   `json:"first"`            // plain, woven
	Again  [2][]string `json:"again"`            // the same, each time it was repeated
	Output string      `json:"output,omitempty"` // of the woven run that did not go well
}

// explained is a test that differs for a reason that programs.json gives.
type explained struct {
	Test   string `json:"test"`
	Reason string `json:"reason"`
}

// name is a test of a package; an empty test stands for the package.
type name struct{ pkg, test string }

func (n name) String() string {
	if n.test == "" {
		return n.pkg
	}
	return n.pkg + "." + n.test
}

// outcomes are pass, fail or skip, by name.
type outcomes map[name]string

func (w *workshop) suite() (*suite, error) {
	found := &suite{LeftOut: w.Skip}
	var seen [2]outcomes
	for _, s := range []side{plain, woven} {
		var used usage
		var err error
		if seen[s], used, err = w.test(s, w.testArguments("")); err != nil {
			return found, err
		}
		found.CPU[s] = used.CPU
		w.say("%s: %s: %d tests, %.0f CPU s", w.Name, s, len(seen[s]), used.CPU)
	}
	if err := w.compare(found, seen); err != nil {
		return found, err
	}
	var err error
	found.Weave, err = w.explain()
	return found, err
}

// testArguments are those of go test; only is an expression for -run.
func (w *workshop) testArguments(only string) []string {
	arguments := []string{"test", "-json", "-count=1"}
	if !w.Long {
		arguments = append(arguments, "-short")
	}
	if only != "" {
		arguments = append(arguments, "-run="+only)
	}
	var left []string
	for _, each := range w.Skip {
		left = append(left, each.Test)
	}
	if len(left) > 0 {
		arguments = append(arguments, "-skip="+strings.Join(left, "|"))
	}
	return append(arguments, w.Flags...)
}

// test runs tests and reads how each ended. That some fail is no error.
func (w *workshop) test(s side, arguments []string, packages ...string) (outcomes, usage, error) {
	seen, _, used, err := w.testIn(nil, s, arguments, packages...)
	return seen, used, err
}

// testIn is test in an environment with more variables; it also gives back what was printed.
func (w *workshop) testIn(variables []string, s side, arguments []string, packages ...string) (outcomes, string, usage, error) {
	if len(packages) == 0 {
		packages = w.Packages
	}
	command := w.goCommand(s, append(arguments, packages...)...)
	command.Env = append(command.Env, variables...)
	var messages bytes.Buffer
	command.Stderr = &messages
	output, err := command.StdoutPipe()
	if err != nil {
		return nil, "", usage{}, err
	}
	if err := command.Start(); err != nil {
		return nil, "", usage{}, err
	}
	seen, printed := w.readEvents(output)
	if err := command.Wait(); err != nil && len(seen) == 0 {
		return nil, "", usage{}, fmt.Errorf("%s: %w\n%s", strings.Join(command.Args, " "), err, lastLines(messages.String()))
	}
	return seen, printed, usageOf(command.ProcessState), w.ctx.Err()
}

// readEvents reads the lines of go test -json: outcomes, and all that was printed.
func (w *workshop) readEvents(from io.Reader) (outcomes, string) {
	seen := outcomes{}
	var printed strings.Builder
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadBytes('\n')
		var event struct{ Action, Package, Test, Output string }
		if json.Unmarshal(line, &event) == nil && event.Package != "" {
			switch event.Action {
			case "output":
				printed.WriteString(event.Output)
			case "pass", "fail", "skip":
				seen[name{event.Package, w.stable(event.Test)}] = event.Action
			}
		}
		if err != nil {
			return seen, printed.String()
		}
	}
}

// compare counts what is the same and repeats what is not.
func (w *workshop) compare(found *suite, seen [2]outcomes) error {
	all := map[name]bool{}
	for _, side := range seen {
		for each := range side {
			all[each] = true
		}
	}
	var differing []name
	for each := range all {
		switch first, second := seen[plain][each], seen[woven][each]; {
		case first != second:
			differing = append(differing, each)
		case first == "pass":
			found.Passed++
		case first == "skip":
			found.Skipped++
		default:
			found.FailedPlain = append(found.FailedPlain, each.String())
		}
	}
	found.Tests = len(all)
	sort.Strings(found.FailedPlain)
	sort.Slice(differing, func(i, j int) bool { return differing[i].String() < differing[j].String() })
	for _, each := range innermost(differing) {
		d, err := w.repeat(each, [2]string{seen[plain][each], seen[woven][each]})
		if err != nil {
			return err
		}
		if err := w.judge(found, each, d); err != nil {
			return err
		}
	}
	return nil
}

// judge says what a difference is: chance, what the weave is for, or what must not be.
func (w *workshop) judge(found *suite, test name, d difference) error {
	if d.isFlaky() {
		found.Flaky = append(found.Flaky, d)
		return nil
	}
	if reason := w.reasonFor(test); reason != "" {
		arguments := w.testArguments(runExpression(test.test))
		seen, _, _, err := w.testIn([]string{"OTEL_SDK_DISABLED=true"}, woven, arguments, test.pkg)
		if err != nil {
			return err
		}
		if seen[test] == "pass" {
			found.Intended = append(found.Intended, explained{test.String(), reason})
			return nil
		}
	}
	found.Different = append(found.Different, d)
	return nil
}

func (s *subject) reasonFor(test name) string {
	for _, each := range s.Intended {
		if each.expression.MatchString(test.String()) {
			return each.Reason
		}
	}
	return ""
}

// innermost leaves out packages and tests that differ because a test inside them does.
func innermost(names []name) []name {
	var kept []name
	for _, outer := range names {
		hasInner := false
		for _, inner := range names {
			isInside := outer.test == "" && inner.test != "" || strings.HasPrefix(inner.test, outer.test+"/")
			hasInner = hasInner || inner.pkg == outer.pkg && inner != outer && isInside
		}
		if !hasInner {
			kept = append(kept, outer)
		}
	}
	return kept
}

// repeat runs one test again, alone, on both sides in turn.
func (w *workshop) repeat(test name, first [2]string) (difference, error) {
	d := difference{Test: test.String(), First: orMissing(first)}
	for number := 0; number < repeats; number++ {
		var again [2]string
		for _, s := range []side{plain, woven} {
			seen, printed, _, err := w.testIn(nil, s, w.testArguments(runExpression(test.test)), test.pkg)
			if err != nil {
				return d, err
			}
			again[s] = seen[test]
			if s == woven && again[s] != first[plain] && d.Output == "" {
				d.Output = lastLines(printed)
			}
		}
		again = orMissing(again)
		d.Again[plain], d.Again[woven] = append(d.Again[plain], again[plain]), append(d.Again[woven], again[woven])
	}
	w.say("%s: %s: %v, again %v", w.Name, d.Test, d.First, d.Again)
	return d, nil
}

func orMissing(pair [2]string) [2]string {
	for index, each := range pair {
		if each == "" {
			pair[index] = "missing"
		}
	}
	return pair
}

// runExpression is the -run that finds one test or subtest.
func runExpression(test string) string {
	if test == "" {
		return ""
	}
	parts := strings.Split(test, "/")
	for index, part := range parts {
		parts[index] = "^" + regexp.QuoteMeta(part) + "$"
	}
	return strings.Join(parts, "/")
}

// isFlaky: alone it ends the same way on both sides, or not even plain always the same way.
func (d *difference) isFlaky() bool {
	plainVaries := d.First[plain] != d.Again[plain][0]
	same := true
	for number := range d.Again[plain] {
		plainVaries = plainVaries || d.Again[plain][number] != d.Again[plain][0]
		same = same && d.Again[plain][number] == d.Again[woven][number]
	}
	return same || plainVaries
}

// weave is what was woven into a subject.
type weave struct {
	Packages int      `json:"packages"` // that hooks or patches were woven into, with the runtime's
	Hooks    []string `json:"hooks"`    // rules that matched
	Places   int      `json:"places"`   // where they did
	Missed   []string `json:"missed,omitempty"`
}

// explain asks tandem what it weaves into the subject.
func (w *workshop) explain() (weave, error) {
	var found weave
	flags := w.Flags
	if w.Kind == kindSuite {
		flags = nil
	}
	arguments := append(append([]string{"explain", "--json"}, flags...), w.Packages...)
	command := exec.CommandContext(w.ctx, w.tandem, arguments...)
	of := w.goCommand(woven)
	command.Dir, command.Env = of.Dir, of.Env
	var messages bytes.Buffer
	command.Stderr = &messages
	output, err := command.Output()
	if err != nil {
		return found, fmt.Errorf("tandem explain: %w\n%s", err, lastLines(messages.String()))
	}
	packages := map[string]bool{}
	for _, line := range strings.Split(strings.TrimSpace(string(output)), "\n") {
		var rule struct {
			Kind, Rule, Target, Outcome, Reason string
			Places                              []string
		}
		if err := json.Unmarshal([]byte(line), &rule); err != nil || rule.Kind != "rule" {
			continue
		}
		switch rule.Outcome {
		case "matched":
			packages[rule.Target] = true
			found.Hooks = append(found.Hooks, rule.Rule)
			found.Places += len(rule.Places)
		case "not_found":
			found.Missed = append(found.Missed, rule.Rule+": "+rule.Reason)
		}
	}
	found.Packages = len(packages)
	return found, nil
}
