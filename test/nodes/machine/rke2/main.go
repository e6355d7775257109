// Command rke2 takes the place of RKE2's binary on a test node: the service manager keeps it alive, it runs containerd and the kubelet as its
// children, and the node reports this file's version. It has no dependencies, so that a release is linked in a moment.
package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Set by the linker. A fault is what is wrong with a release: `crash` ends at once, `hang` starts nothing, “ is a good one.
var (
	version = "v0.0.0+rke2r0"
	fault   = ""
)

const (
	config  = "/etc/rancher/rke2/"
	data    = "/var/lib/rancher/rke2/"
	socket  = "/run/k3s/containerd/containerd.sock"
	patient = 60 * time.Second
)

// A child's wish to die with its parent is bound to the thread that started it, so that thread is kept.
func init() { runtime.LockOSThread() }

func say(words ...any) {
	fmt.Fprintln(os.Stderr, append([]any{time.Now().UTC().Format(time.RFC3339Nano)}, words...)...)
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: rke2 --version|server|agent")
		os.Exit(2)
	}
	switch os.Args[1] {
	case "--version", "-v":
		fmt.Printf("rke2 version %s (0000000000000000000000000000000000000000)\ngo version %s\n", version, runtime.Version())
	case "server", "agent":
		if err := run(os.Args[1]); err != nil {
			say("level=fatal", err)
			os.Exit(1)
		}
	default:
		fmt.Fprintln(os.Stderr, "rke2: no help topic for", os.Args[1])
		os.Exit(3)
	}
}

func run(role string) error {
	say("starting rke2", role, version)
	switch fault {
	case "crash":
		return errors.New("this release crashes at start")
	case "hang":
		time.Sleep(1000 * time.Hour)
	}
	ended := make(chan error, 2)
	containerd := program("containerd", "--config", config+"containerd.toml")
	if err := start(containerd, ended); err != nil {
		return err
	}
	if err := answers(); err != nil {
		return err
	}
	importImages()
	args, err := os.ReadFile(config + "kubelet.args")
	if err != nil {
		return err
	}
	kubelet := program("kubelet", strings.Fields(string(args))...)
	kubelet.Env = append(kubelet.Env, "KUBE_REPORTED_VERSION="+version)
	if err := start(kubelet, ended); err != nil {
		return err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	select {
	case got := <-stop:
		say("ends on", got)
		return nil
	case err := <-ended:
		return err
	}
}

// program is a child that dies with this process; what it writes is kept in a file of its name.
func program(name string, args ...string) *exec.Cmd {
	child := exec.Command(data+"bin/"+name, args...)
	child.Env = append(os.Environ(), "PATH="+data+"bin:"+os.Getenv("PATH"))
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := os.OpenFile("/var/log/"+name+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		say(name, "writes nowhere:", err)
		return child
	}
	child.Stdout, child.Stderr = log, log
	return child
}

func start(child *exec.Cmd, ended chan<- error) error {
	if err := child.Start(); err != nil {
		return err
	}
	go func() {
		ended <- fmt.Errorf("%s ended: %v", filepath.Base(child.Path), child.Wait())
	}()
	return nil
}

// answers waits until containerd does.
func answers() error {
	for end := time.Now().Add(patient); ; time.Sleep(50 * time.Millisecond) {
		connection, err := net.Dial("unix", socket)
		if err == nil {
			return connection.Close()
		}
		if time.Now().After(end) {
			return err
		}
	}
}

// importImages hands every new archive of the air-gap folder to containerd.
func importImages() {
	archives, _ := filepath.Glob(data + "agent/images/*.tar")
	for _, archive := range archives {
		mark := "/var/lib/rancher/imported-" + filepath.Base(archive)
		if _, err := os.Stat(mark); err == nil {
			continue
		}
		if err := program("ctr", "--address", socket, "--namespace", "k8s.io", "images", "import", archive).Run(); err != nil {
			say("import of", archive, "failed:", err)
			continue
		}
		if err := os.WriteFile(mark, nil, 0o644); err != nil {
			say(err)
		}
	}
}
