// The module as a user gets it: packed as the module proxy would pack it, fetched from a proxy of files, and used in a folder with nothing
// else in it.

package tests

import (
	"archive/zip"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	modulePath    = "softfuse.dev/softfuse"
	moduleVersion = "v0.1.0-test"
)

// nested says whether a folder is a module of its own, which isn't part of the one around it.
func nested(path string) bool {
	_, err := os.Stat(filepath.Join(path, "go.mod"))
	return err == nil
}

// pack writes a proxy of files that has this module: its list, its description, its go.mod, and its zip.
func pack(t *testing.T, source, proxy string) {
	t.Helper()
	folder := filepath.Join(proxy, filepath.FromSlash(modulePath), "@v")
	check(t, os.MkdirAll(folder, 0o755))
	info, err := json.Marshal(map[string]any{"Version": moduleVersion, "Time": time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)})
	check(t, err)
	check(t, os.WriteFile(filepath.Join(folder, "list"), []byte(moduleVersion+"\n"), 0o644))
	check(t, os.WriteFile(filepath.Join(folder, moduleVersion+".info"), info, 0o644))
	check(t, os.WriteFile(filepath.Join(folder, moduleVersion+".mod"), mustRead(t, filepath.Join(source, "go.mod")), 0o644))
	file, err := os.Create(filepath.Join(folder, moduleVersion+".zip"))
	check(t, err)
	archive := zip.NewWriter(file)
	check(t, filepath.WalkDir(source, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if path != source && nested(path) {
				return filepath.SkipDir
			}
			return nil
		}
		name, err := filepath.Rel(source, path)
		if err != nil {
			return err
		}
		to, err := archive.Create(fmt.Sprintf("%s@%s/%s", modulePath, moduleVersion, filepath.ToSlash(name)))
		if err != nil {
			return err
		}
		_, err = to.Write(mustRead(t, path))
		return err
	}))
	check(t, archive.Close())
	check(t, file.Close())
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// goTool runs the go command in a folder, as a user would who has this proxy.
func goTool(t *testing.T, folder, proxy string, args ...string) string {
	t.Helper()
	cache, err := exec.Command("go", "env", "GOMODCACHE").Output()
	check(t, err)
	command := exec.Command("go", args...)
	command.Dir = folder
	// What the module needs itself comes from where it was fetched for these tests.
	downloads := "file://" + filepath.ToSlash(filepath.Join(strings.TrimSpace(string(cache)), "cache", "download"))
	command.Env = append(os.Environ(), "GOPROXY=file://"+filepath.ToSlash(proxy)+","+downloads, "GONOSUMDB=*", "GOFLAGS=-mod=mod",
		"GONOPROXY=none", "GOPRIVATE=", "GOSUMDB=off", "GOWORK=off", "CGO_ENABLED=0", "GOMODCACHE="+filepath.Join(proxy, "cache"))
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, output)
	}
	return string(output)
}

func TestTheInstalledModuleRunsTheQuickstartAndTheVectors(t *testing.T) {
	proxy, user := t.TempDir(), t.TempDir()
	// The module cache is read-only: so that the folder can be removed.
	t.Cleanup(func() { goTool(t, user, proxy, "clean", "-modcache") })
	source, err := filepath.Abs(filepath.Join(repo(t), "host", "go"))
	check(t, err)
	pack(t, source, proxy)
	program := mustRead(t, filepath.Join(repo(t), "examples", "quickstart", "go", "main.go"))
	check(t, os.WriteFile(filepath.Join(user, "main.go"), program, 0o644))
	goTool(t, user, proxy, "mod", "init", "quickstart")
	goTool(t, user, proxy, "get", modulePath+"@"+moduleVersion)
	if modules := goTool(t, user, proxy, "list", "-m", "all"); strings.Count(modules, "\n") != 4 {
		t.Errorf("a user gets this module, wazero and golang.org/x/sys, not %s", modules)
	}
	goTool(t, user, proxy, "build", "-o", "quickstart", ".")
	policy, err := filepath.Abs(filepath.Join(repo(t), "examples", "policies", "quickstart.toml"))
	check(t, err)
	output, err := exec.Command(filepath.Join(user, "quickstart"), policy).CombinedOutput()
	check(t, err)
	expected := strings.ReplaceAll(string(mustRead(t, filepath.Join(repo(t), "examples", "quickstart", "expected.txt"))), "\r\n", "\n")
	if string(output) != expected {
		t.Errorf("expected\n%s\nfound\n%s", expected, output)
	}
	runVectorsInstalled(t, proxy)
}

// runVectorsInstalled runs the shared vectors with the module that was fetched, not the one that lies here.
func runVectorsInstalled(t *testing.T, proxy string) {
	t.Helper()
	folder := t.TempDir()
	for _, name := range []string{"vectors_test.go", "host_test.go", "contract_test.go", "lease_test.go"} {
		check(t, os.WriteFile(filepath.Join(folder, name), mustRead(t, name), 0o644))
	}
	var kept []string
	for line := range strings.Lines(string(mustRead(t, "go.mod"))) {
		// The vectors need no scorers.
		needed := !strings.Contains(line, "scorerlib") && !strings.Contains(line, "purego")
		if needed && !strings.HasPrefix(line, "replace ") {
			kept = append(kept, strings.Replace(line, modulePath+" v0.0.0", modulePath+" "+moduleVersion, 1))
		}
	}
	check(t, os.WriteFile(filepath.Join(folder, "go.mod"), []byte(strings.Join(kept, "")), 0o644))
	root, err := filepath.Abs(repo(t))
	check(t, err)
	t.Setenv("SOFTFUSE_REPO", root)
	t.Setenv("SOFTFUSE_COMPONENTS", absolute(t, componentsFolder(t)))
	output := goTool(t, folder, proxy, "test", "-v", "-run", "Vector", ".")
	if strings.Count(output, "--- PASS") != 3 {
		t.Error(output)
	}
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	found, err := filepath.Abs(path)
	check(t, err)
	return found
}
