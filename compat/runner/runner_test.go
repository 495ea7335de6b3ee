package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestTheListIsRight(t *testing.T) {
	subjects, err := readSubjects("../programs.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(subjects) < 20 {
		t.Errorf("%d subjects", len(subjects))
	}
}

func TestAWrongListSaysWhere(t *testing.T) {
	for text, want := range map[string]string{
		`[{"name": "a", "kind": "sweet"}]`:                                                                   "a: kind is",
		`[{"name": "a", "kind": "suite"}]`:                                                                   "where does it come from",
		`[{"name": "a", "kind": "suite", "module": "example.com/a", "packages": ["."]}]`:                     "has no version",
		`[{"name": "a", "kind": "suite", "standard": true}]`:                                                 "packages: is empty",
		`[{"name": "a", "kind": "program", "folder": "a", "packages": ["."]}]`:                               "needs edit:",
		`[{"name": "a", "kind": "suite", "standard": true, "packages": ["."], "intended": [{"test": "("}]}]`: "intended",
		`[{"name": "a", "sort": "suite"}]`:                                                                   "unknown field",
		`[{"name": "a", "kind": "suite", "standard": true, "packages": ["."]},
		  {"name": "a", "kind": "suite", "standard": true, "packages": ["."]}]`: "there twice",
	} {
		path := filepath.Join(t.TempDir(), "programs.json")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := readSubjects(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, not %q", text, err, want)
		}
	}
}

func TestOutcomesAreReadByName(t *testing.T) {
	s := &subject{Name: "a", Kind: kindSuite, Standard: true, Packages: []string{"p"}, Unstable: []filter{{`:\d+`, ":PORT"}}}
	if err := s.check(); err != nil {
		t.Fatal(err)
	}
	w := &workshop{subject: s}
	seen, printed := w.readEvents(strings.NewReader(`{"Action":"run","Package":"p","Test":"TestA"}
not JSON
{"Action":"output","Package":"p","Test":"TestA","Output":"said\n"}
{"Action":"pass","Package":"p","Test":"TestA/127.0.0.1:80"}
{"Action":"fail","Package":"p"}`))
	want := outcomes{{"p", "TestA/127.0.0.1:PORT"}: "pass", {"p", ""}: "fail"}
	if !reflect.DeepEqual(seen, want) || printed != "said\n" {
		t.Errorf("%v, %q", seen, printed)
	}
}

func TestOnlyTheInnermostIsRepeated(t *testing.T) {
	names := []name{{"p", ""}, {"p", "TestA"}, {"p", "TestA/b"}, {"p", "TestAb"}, {"q", ""}}
	want := []name{{"p", "TestA/b"}, {"p", "TestAb"}, {"q", ""}}
	if got := innermost(names); !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
	if got := runExpression("TestA/b.c"); got != `^TestA$/^b\.c$` {
		t.Error(got)
	}
}

func TestChanceIsToldFromDifference(t *testing.T) {
	for _, each := range []struct {
		first        [2]string
		plain, woven string
		flaky        bool
	}{
		{[2]string{"pass", "fail"}, "pass pass pass", "fail fail fail", false},
		{[2]string{"pass", "fail"}, "pass pass pass", "pass fail pass", false},
		{[2]string{"pass", "fail"}, "pass pass pass", "pass pass pass", true},
		{[2]string{"fail", "pass"}, "pass pass pass", "pass pass pass", true},
		{[2]string{"pass", "fail"}, "pass fail pass", "fail fail fail", true},
		{[2]string{"pass", "missing"}, "pass pass pass", "missing missing missing", false},
	} {
		d := difference{First: each.first, Again: [2][]string{strings.Fields(each.plain), strings.Fields(each.woven)}}
		if d.isFlaky() != each.flaky {
			t.Errorf("%+v", each)
		}
	}
}

func TestActionsAreCounted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "actions.json")
	text := `[
		{"Mode": "build", "Package": "net/http", "BuildID": "in/new", "Cmd": ["compile"], "CmdUser": 1000000000, "CmdSys": 500000000},
		{"Mode": "build", "Package": "fmt", "Cmd": null},
		{"Mode": "build", "Package": "example.com/a", "BuildID": "in/old", "Cmd": ["compile"], "CmdUser": 250000000},
		{"Mode": "link", "Package": "example.com/a", "Cmd": ["link"], "CmdUser": 2000000000},
		{"Mode": "nop", "Package": ""}]`
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	var found build
	before := &build{content: map[string]string{"net/http": "old", "example.com/a": "old"}}
	if err := found.readActions(path, before); err != nil {
		t.Fatal(err)
	}
	want := build{Packages: 3, Compiled: 2, Standard: 1, InStd: 1.5, InOthers: 0.25, InLink: 2, Alike: 1, InAlike: 0.25}
	if found.content = nil; !reflect.DeepEqual(found, want) {
		t.Errorf("%+v", found)
	}
}
