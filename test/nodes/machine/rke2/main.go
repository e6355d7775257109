// Command rke2 takes the place of RKE2's binary on a test node: the service manager keeps it alive, it runs containerd and the kubelet as its
// children, and the node reports this file's version. It has no dependencies, so that a release is linked in a moment.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Set by the linker. A fault is what is wrong with a release: `crash` ends at once, `touch` ends as soon as it has rewritten the manifests of etcd
// and the API server, `hang` starts nothing, empty is a good one.
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
	case "etcd-snapshot":
		if err := snapshot(os.Args[2:]); err != nil {
			say("level=fatal", fmt.Sprintf("msg=%q", "Error: "+err.Error()))
			os.Exit(1)
		}
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
	if role == "server" {
		if err := manifests(); err != nil {
			return err
		}
	}
	if fault == "touch" {
		return errors.New("this release crashes after it took over the datastore")
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

// manifests leaves what a server leaves of its datastore: a folder, and the manifests of its static pods, which no kubelet here looks at.
func manifests() error {
	if err := os.MkdirAll(data+"server/db/etcd/member", 0o700); err != nil {
		return err
	}
	folder := data + "agent/pod-manifests/"
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	images := map[string]string{"etcd": "hardened-etcd:v3.6.7-k3s1", "kube-apiserver": "hardened-kubernetes:" + strings.ReplaceAll(version, "+", "-")}
	for name, image := range images {
		manifest := fmt.Sprintf("kind: Pod\nmetadata:\n  name: %s\nspec:\n  containers:\n  - name: %s\n    image: index.docker.io/rancher/%s\n", name, name, image)
		if err := os.WriteFile(folder+name+".yaml", []byte(manifest), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// snapshot is `etcd-snapshot save --name NAME`: a file called after the name, the node and the time, and a line that says so.
func snapshot(args []string) error {
	if len(args) != 3 || args[0] != "save" || args[1] != "--name" {
		return fmt.Errorf("only `save --name NAME` is known here, not %q", args)
	}
	node, err := os.Hostname()
	if err != nil {
		return err
	}
	folder := data + "server/db/snapshots"
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	name := fmt.Sprintf("%s-%s-%d", args[2], node, time.Now().Unix())
	if err := os.WriteFile(folder+"/"+name, []byte("etcd\n"), 0o600); err != nil {
		return err
	}
	say("level=info", fmt.Sprintf("msg=%q", "Snapshot "+name+" saved."))
	return nil
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

// answers waits until containerd serves the kubelet's interface, as the real program does: its socket accepts connections before that, and a
// kubelet that is refused ends. A gRPC call without the library: a POST over HTTP/2, an empty message (five bytes of frame), and the outcome in a
// trailer.
func answers() error {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		Protocols: protocols,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	defer client.CloseIdleConnections()
	for end := time.Now().Add(patient); ; time.Sleep(50 * time.Millisecond) {
		err := serves(&client)
		if err == nil || time.Now().After(end) {
			return err
		}
	}
}

func serves(client *http.Client) error {
	request, err := http.NewRequest(http.MethodPost, "http://containerd/runtime.v1.RuntimeService/Version", bytes.NewReader(make([]byte, 5)))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/grpc")
	request.Header.Set("TE", "trailers")
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return err
	}
	// Where there is no message, the trailer comes as a header.
	if status := answer.Trailer.Get("Grpc-Status") + answer.Header.Get("Grpc-Status"); status != "0" {
		return fmt.Errorf("containerd answers %q %s", status, answer.Header.Get("Grpc-Message"))
	}
	return nil
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
