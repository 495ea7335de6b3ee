package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
)

// cargoBench runs a benchmark of a crate and reads what it says, an object a line.
func cargoBench[T any](b *bench, crate, name string, arguments ...string) (found []T, err error) {
	command := exec.CommandContext(b.ctx, "cargo", append([]string{"bench", "--quiet", "--package", crate, "--bench", name, "--", "--json"}, arguments...)...)
	command.Dir = filepath.Join(b.folder, "..")
	var complaints bytes.Buffer
	command.Stderr = &complaints
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, complaints.String())
	}
	for lines := json.NewDecoder(bytes.NewReader(output)); lines.More(); {
		var line T
		if err := lines.Decode(&line); err != nil {
			return nil, fmt.Errorf("what the bench says: %w", err)
		}
		found = append(found, line)
	}
	return found, nil
}
