package standalone

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Programs for other systems can be built; for another processor of this system, they are run.
func TestOtherPlatforms(t *testing.T) {
	if os.Getenv("TANDEM_TEST_PLATFORMS") == "" {
		t.Skip("a long test with a make target of its own")
	}
	for _, platform := range []string{"darwin/arm64", "darwin/amd64", "windows/amd64", "linux/arm64", "linux/riscv64"} {
		system, processor, _ := strings.Cut(platform, "/")
		t.Run(platform, func(t *testing.T) {
			program := filepath.Join(programs, system+"-"+processor)
			build := weave("programs", "-o", program, "./program")
			build.Env = append(os.Environ(), "GOOS="+system, "GOARCH="+processor, "CGO_ENABLED=0")
			if output, failure := build.CombinedOutput(); failure != nil || len(output) > 0 {
				t.Fatalf("%v\n%s", failure, output)
			}
			emulator := "qemu-" + map[string]string{"arm64": "aarch64", "riscv64": "riscv64"}[processor]
			if system != runtime.GOOS {
				return
			}
			if _, failure := exec.LookPath(emulator); failure != nil {
				t.Skip("it is built, but not run: there is no ", emulator)
			}
			s := newSink(t).start()
			run := exec.Command(emulator, program, "exit", "3")
			run.Env = append(os.Environ(), "TANDEM_SOCKET=/nonexistent/agent.sock", to(s))
			output, _ := run.CombinedOutput()
			if run.ProcessState.ExitCode() != 7 || len(output) > 0 {
				t.Errorf("exit code %d\n%s", run.ProcessState.ExitCode(), output)
			}
			s.expect(t, map[string]int{"finished": 3})
		})
	}
}
