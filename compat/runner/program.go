package main

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

const (
	unchangedRounds = 5
	editedRounds    = 3
	portsGiven      = 3
)

// program is what came of a program: whether it behaves the same, and what its builds cost. CPU is in seconds.
type program struct {
	Answers   int            `json:"answers"` // compared
	Different []answerOfBoth `json:"different,omitempty"`
	Weave     weave          `json:"weave"`
	Clean     build          `json:"clean"`      // plain, the cache empty
	First     build          `json:"first"`      // woven, with the cache of Clean
	Warm      usage          `json:"warm"`       // tandem warm, with the cache of Clean
	AfterWarm build          `json:"after_warm"` // woven, with the cache of Warm
	Unchanged [2][]float64   `json:"unchanged"`
	Edited    [2][]float64   `json:"edited"`
	Cold      usage          `json:"cold"` // woven, nothing changed, but all that the weave itself keeps is gone
	Size      [2]int64       `json:"size"`
	Running   [2]int64       `json:"running"` // bytes, the most that the server used
}

// answerOfBoth is a step that went differently.
type answerOfBoth struct {
	Step  string `json:"step"`
	Plain string `json:"plain"`
	Woven string `json:"woven"`
}

// build is one build and what it had to compile.
type build struct {
	usage
	Packages int     `json:"packages"` // of the program
	Compiled int     `json:"compiled"` // of them
	Standard int     `json:"standard"` // of those, in the standard library
	InStd    float64 `json:"in_std"`   // CPU seconds spent on those
	InOthers float64 `json:"in_others"`
	InLink   float64 `json:"in_link"`

	// Of those compiled, packages that came out as in the clean plain build, bit for bit: what they import has changed inside.
	Alike   int     `json:"alike,omitempty"`
	InAlike float64 `json:"in_alike,omitempty"`

	content map[string]string // hash of what was compiled, by package
}

func (w *workshop) binary(s side) string { return filepath.Join(w.root, "bin-"+s.String()) }

// cache is the go command's build cache in one of the states that builds start from.
func (w *workshop) cache(state string) string { return filepath.Join(w.root, "cache-"+state) }

func (w *workshop) program() (*program, error) {
	found := &program{}
	stages := []func(*program) error{w.firstBuilds, w.behaviour, w.rebuilds, w.warmed}
	if w.withoutWarm {
		stages = stages[:3]
	}
	for _, stage := range stages {
		if err := stage(found); err != nil {
			return found, err
		}
	}
	var err error
	found.Weave, err = w.explain()
	return found, err
}

// firstBuilds builds plain from nothing, then woven with what that left in the cache.
func (w *workshop) firstBuilds(found *program) (err error) {
	if _, err := w.run(w.goCommand(plain, "mod", "download")); err != nil && !w.Vendor {
		return err
	}
	if found.Clean, err = w.build(plain, w.cache("plain"), "tandem", nil); err != nil {
		return err
	}
	w.say("%s: clean plain: %.1f CPU s, %d packages", w.Name, found.Clean.CPU, found.Clean.Packages)
	states := []string{"woven", "warm"}
	if w.withoutWarm {
		states = states[:1]
	}
	for _, state := range states {
		if err := copyState(w.cache("plain"), w.cache(state)); err != nil {
			return err
		}
	}
	if found.First, err = w.build(woven, w.cache("woven"), "tandem", &found.Clean); err != nil {
		return err
	}
	w.say("%s: first woven: %.1f CPU s, %d compiled, %d of them (%.1f CPU s) came out as before", w.Name, found.First.CPU,
		found.First.Compiled, found.First.Alike, found.First.InAlike)
	for _, s := range []side{plain, woven} {
		info, err := os.Stat(w.binary(s))
		if err != nil {
			return err
		}
		found.Size[s] = info.Size()
	}
	return nil
}

func (w *workshop) behaviour(found *program) error {
	ports, err := freePorts(portsGiven)
	if err != nil {
		return err
	}
	var answers [2][]answer
	for _, s := range []side{plain, woven} {
		if answers[s], found.Running[s], err = w.perform(w.binary(s), ports); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	found.Answers = len(answers[plain])
	for index, each := range answers[plain] {
		if other := answers[woven][index]; each.Text != other.Text {
			found.Different = append(found.Different, answerOfBoth{each.Step, lastLines(each.Text), lastLines(other.Text)})
		}
	}
	w.say("%s: %d answers, %d differ", w.Name, found.Answers, len(found.Different))
	return nil
}

// rebuilds builds in random order what has not changed, and what has changed in one file.
func (w *workshop) rebuilds(found *program) error {
	for round := 0; round < unchangedRounds; round++ {
		for _, s := range rand.Perm(2) {
			if err := w.rebuild(side(s), &found.Unchanged); err != nil {
				return err
			}
		}
	}
	path := filepath.Join(w.source, w.Edit)
	original, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for round := 0; round < 2*editedRounds; round++ {
		// Each build sees text that neither side has built before.
		text := fmt.Sprintf("%s\nvar compatEdit int\n\nfunc init() { compatEdit = %d }\n", original, round)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
		if err := w.rebuild(side(round%2), &found.Edited); err != nil {
			return err
		}
	}
	if err := os.WriteFile(path, original, 0o644); err != nil {
		return err
	}
	// The weave itself: everything it keeps is gone, and the go command has nothing to compile.
	if _, err := w.build(woven, w.cache("woven"), "tandem", nil); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(w.root, "tandem")); err != nil {
		return err
	}
	cold, err := w.build(woven, w.cache("woven"), "tandem", nil)
	found.Cold = cold.usage
	w.say("%s: unchanged %.2f and %.2f, edited %.2f and %.2f, weave cold %.2f (%d compiled)", w.Name, median(found.Unchanged[plain]),
		median(found.Unchanged[woven]), median(found.Edited[plain]), median(found.Edited[woven]), found.Cold.CPU, cold.Compiled)
	return err
}

func (w *workshop) rebuild(s side, into *[2][]float64) error {
	arguments := append([]string{"build", "-o", w.binary(s)}, append(w.Flags, w.Packages...)...)
	command := w.goCommand(s, arguments...)
	command.Env = append(command.Env, "GOCACHE="+w.cache(s.String()))
	used, err := w.run(command)
	into[s] = append(into[s], used.CPU)
	return err
}

// warmed measures tandem warm, and the first woven build after it, with a weave cache of their own.
func (w *workshop) warmed(found *program) (err error) {
	command := w.goCommand(woven)
	command.Args = append([]string{w.tandem, "warm"}, append(w.Flags, w.Packages...)...)
	command.Env = append(command.Env, "GOCACHE="+w.cache("warm"), "TANDEM_CACHE="+filepath.Join(w.root, "tandem-warm"))
	if found.Warm, err = w.run(command); err != nil {
		return err
	}
	found.AfterWarm, err = w.build(woven, w.cache("warm"), "tandem-warm", nil)
	w.say("%s: tandem warm %.1f CPU s, then first woven %.1f, %d compiled", w.Name, found.Warm.CPU, found.AfterWarm.CPU, found.AfterWarm.Compiled)
	return err
}

// build builds one side and looks at what was compiled, and which of it came out as in a build before.
func (w *workshop) build(s side, cache, weaveCache string, before *build) (build, error) {
	graph := filepath.Join(w.root, "actions.json")
	arguments := []string{"build", "-debug-actiongraph=" + graph, "-o", w.binary(s)}
	command := w.goCommand(s, append(arguments, append(w.Flags, w.Packages...)...)...)
	command.Env = append(command.Env, "GOCACHE="+cache, "TANDEM_CACHE="+filepath.Join(w.root, weaveCache))
	var found build
	var err error
	if found.usage, err = w.run(command); err != nil {
		return found, err
	}
	return found, found.readActions(graph, before)
}

// readActions reads what the go command did: an action that had nothing to do has no commands.
func (b *build) readActions(path string, before *build) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var actions []struct {
		Mode, Package   string
		BuildID         string // hash of all that went in / hash of what came out
		Cmd             []string
		CmdUser, CmdSys int64
	}
	if err := json.Unmarshal(text, &actions); err != nil {
		return fmt.Errorf("-debug-actiongraph: %w", err)
	}
	b.content = map[string]string{}
	for _, each := range actions {
		spent := float64(each.CmdUser+each.CmdSys) / 1e9
		isStandard := !strings.Contains(strings.Split(each.Package, "/")[0], ".")
		switch {
		case each.Mode == "link":
			b.InLink += spent
		case isStandard:
			b.InStd += spent
		default:
			b.InOthers += spent
		}
		if each.Mode != "build" {
			continue
		}
		b.Packages++
		_, b.content[each.Package], _ = strings.Cut(each.BuildID, "/")
		if len(each.Cmd) == 0 {
			continue
		}
		b.Compiled++
		if isStandard {
			b.Standard++
		}
		if before != nil && before.content[each.Package] == b.content[each.Package] {
			b.Alike++
			b.InAlike += spent
		}
	}
	return nil
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := append([]float64(nil), values...)
	sort.Float64s(sorted)
	return sorted[len(sorted)/2]
}
