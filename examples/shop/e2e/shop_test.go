// Package e2e builds the whole shop, runs it and plays customers. Set SHOP_BIN_DIR
// to test programs that were built otherwise, say by another build command.
package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

var binDir string

func TestMain(m *testing.M) {
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	if binDir = os.Getenv("SHOP_BIN_DIR"); binDir != "" {
		return m.Run()
	}
	var err error
	if binDir, err = os.MkdirTemp("", "shop-bin-"); err != nil {
		panic(err)
	}
	defer os.RemoveAll(binDir)
	build := exec.Command("go", "build", "-o", binDir, "../cmd/...")
	build.Stdout, build.Stderr = os.Stdout, os.Stderr
	if err := build.Run(); err != nil {
		panic(err)
	}
	return m.Run()
}

// outcome is what requests are counted by.
type outcome struct {
	Route  string
	Status int
}

func TestLoadIsCountedTheSameByAllWhoSawIt(t *testing.T) {
	dataDir, logDir := t.TempDir(), t.TempDir()
	var stdout bytes.Buffer
	shop := exec.Command(filepath.Join(binDir, "shop"), "--json", "--data-dir", dataDir, "--log-dir", logDir, "--",
		filepath.Join(binDir, "loadgen"), "--json", "--requests", "400", "--rate", "200", "--seed", "3")
	shop.Stdout, shop.Stderr = &stdout, os.Stderr
	if err := shop.Run(); err != nil {
		t.Fatalf("%v\n%s", err, stdout.Bytes())
	}
	_, report, _ := bytes.Cut(stdout.Bytes(), []byte("\n"))
	customers := fromReport(t, report)
	gateway := fromLog(t, filepath.Join(logDir, "gateway.log"))
	if !maps.Equal(customers, gateway) {
		t.Errorf("counts differ:\nload generator %v\ngateway        %v", customers, gateway)
	}
	invoices, err := filepath.Glob(filepath.Join(dataDir, "invoices", "*"))
	if paid := customers[outcome{"POST /checkout", 201}]; err != nil || paid == 0 || len(invoices) != paid {
		t.Errorf("%d invoices for %d paid orders, %v", len(invoices), paid, err)
	}
	if customers[outcome{"POST /checkout", 402}] == 0 {
		t.Error("no card was declined")
	}
}

func fromReport(t *testing.T, line []byte) map[outcome]int {
	t.Helper()
	var report struct {
		Requests, Unexpected int
		Counts               []struct {
			outcome
			Count int
		}
	}
	if err := json.Unmarshal(line, &report); err != nil {
		t.Fatalf("%v in %q", err, line)
	}
	if report.Requests != 400 || report.Unexpected != 0 {
		t.Errorf("%d requests, %d unexpected; want 400 and 0", report.Requests, report.Unexpected)
	}
	counts := map[outcome]int{}
	for _, c := range report.Counts {
		counts[c.outcome] = c.Count
	}
	return counts
}

// fromLog counts the gateway's log of requests, but for the launcher's own.
func fromLog(t *testing.T, path string) map[outcome]int {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	counts := map[outcome]int{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var line struct {
			Msg, Method, Route string
			Status             int
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("%v in %q", err, lines.Text())
		}
		if line.Msg == "request" && line.Route != "/healthz" {
			counts[outcome{line.Method + " " + line.Route, line.Status}]++
		}
	}
	return counts
}

// running is what the launcher says of the shop it started.
type running struct {
	Addresses map[string]string
	Pids      map[string]int
	DataDir   string `json:"data_dir"`
}

func start(t *testing.T) (*exec.Cmd, running) {
	t.Helper()
	shop := exec.Command(filepath.Join(binDir, "shop"), "--json", "--log-dir", t.TempDir())
	shop.Stderr = os.Stderr
	stdout, err := shop.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := shop.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shop.Process.Kill() })
	var announced running
	if err := json.NewDecoder(stdout).Decode(&announced); err != nil {
		t.Fatal(err)
	}
	return shop, announced
}

// awaitEnd fails when a service is still there after some seconds.
func awaitEnd(t *testing.T, pids map[string]int) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for service, pid := range pids {
		for alive(pid) {
			if time.Now().After(deadline) {
				t.Fatalf("%s (pid %d) outlived the launcher", service, pid)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// alive does not count a process that has ended and only waits to be noticed by
// its parent, which can be long when that is a container's first process.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || !bytes.Contains(stat, []byte(") Z "))
}

func TestSignalStopsEverything(t *testing.T) {
	shop, announced := start(t)
	response, err := http.Get("http://" + announced.Addresses["gateway"] + "/products")
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("GET /products: %v, %v", response, err)
	}
	response.Body.Close()
	if err := shop.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := shop.Wait(); err != nil {
		t.Errorf("stopped with %v", err)
	}
	awaitEnd(t, announced.Pids)
	if _, err := os.Stat(announced.DataDir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is left: %v", announced.DataDir, err)
	}
}

func TestDeathOfOneServiceStopsEverything(t *testing.T) {
	shop, announced := start(t)
	if err := syscall.Kill(announced.Pids["orders"], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := shop.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("the launcher ended with %v, want exit code 1", err)
	}
	awaitEnd(t, announced.Pids)
}

func TestAddressInUseIsNamed(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	shop := exec.Command(filepath.Join(binDir, "shop"), "--addr-worker", taken.Addr().String())
	output, err := shop.CombinedOutput()
	if err == nil || !strings.Contains(string(output), "worker") || !strings.Contains(string(output), "in use") {
		t.Errorf("ended with %v and said %q", err, output)
	}
}

func TestExitCodeIsTheCommands(t *testing.T) {
	shop := exec.Command(filepath.Join(binDir, "shop"), "--log-dir", t.TempDir(), "--", "sh", "-c", "exit 7")
	var exit *exec.ExitError
	if err := shop.Run(); !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("ended with %v, want exit code 7", err)
	}
}
