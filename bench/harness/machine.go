package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// machine says on what kind of machine this runs, without naming it.
func machine() string {
	kind := "machine"
	cpu := runtime.GOARCH
	text, _ := os.ReadFile("/proc/cpuinfo")
	for _, line := range strings.Split(string(text), "\n") {
		key, value, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(key) {
		case "model name":
			cpu = strings.TrimSpace(value)
		case "flags":
			if strings.Contains(value, " hypervisor") {
				kind = "virtual machine"
			}
		}
	}
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	kernel, _, _ := strings.Cut(strings.TrimSpace(string(release)), "-")
	clock, _ := os.ReadFile("/sys/devices/system/clocksource/clocksource0/current_clocksource")
	version, _ := exec.Command("go", "env", "GOVERSION").Output()
	return fmt.Sprintf("%s with %d cores (%s), Linux %s, clock source %s, %s",
		kind, runtime.NumCPU(), cpu, kernel, strings.TrimSpace(string(clock)), strings.TrimSpace(string(version)))
}
