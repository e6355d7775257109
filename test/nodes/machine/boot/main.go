// Command boot makes a machine out of a folder: a set of namespaces with an address on the bridge, in which the folder is all there is to see,
// and in them, as process 1, what systemd is on a real machine: it keeps one service alive.
//
//	boot NAME ADDRESS/BITS GATEWAY CGROUP ROOT SERVER|AGENT
//
// BOOT_PROGRAMS is the folder of containerd and the kubelet, BOOT_RESTART_SECONDS the pause before a service that ended is started again.
// It prints the process id of the machine's process 1 and stays until that ends. When boot is killed, so is the machine.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const cgroups = "/sys/fs/cgroup/"

type machine struct{ name, address, gateway, cgroup, root, role string }

// Pdeathsig counts from the thread that asked for it, and namespaces belong to threads: there is one that matters.
func init() { runtime.LockOSThread() }

func check(err error, what ...string) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "boot:", strings.Join(what, " "), err)
		os.Exit(1)
	}
}

func command(name string, args ...string) {
	output, err := exec.Command(name, args...).CombinedOutput()
	check(err, append(append([]string{name}, args...), string(output))...)
}

func main() {
	if len(os.Args) != 7 && len(os.Args) != 8 {
		fmt.Fprintln(os.Stderr, "usage: boot NAME ADDRESS/BITS GATEWAY CGROUP ROOT server|agent")
		os.Exit(2)
	}
	m := machine{os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5], os.Args[6]}
	if len(os.Args) == 8 {
		m.inside()
		return
	}
	m.outside()
}

// hierarchies are the cgroup v1 trees of this host.
func hierarchies() (names []string) {
	for _, name := range []string{"cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "systemd"} {
		if _, err := os.Stat(cgroups + name + "/cgroup.procs"); err == nil {
			names = append(names, name)
		}
	}
	return names
}

func (m machine) outside() {
	for _, name := range hierarchies() {
		tree := cgroups + name + "/"
		check(os.MkdirAll(tree+m.cgroup, 0o755))
		if name == "cpuset" {
			// A new folder has neither processors nor memory, and takes no process before it has.
			for folder, parts := tree, strings.Split(m.cgroup, "/"); len(parts) > 0; parts = parts[1:] {
				folder += parts[0] + "/"
				for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
					value, err := os.ReadFile(tree + file)
					check(err)
					check(os.WriteFile(folder+file, value, 0o644))
				}
			}
		}
		check(os.WriteFile(tree+m.cgroup+"/cgroup.procs", []byte("0"), 0o644), "enter", tree+m.cgroup)
	}
	ready, tell, err := os.Pipe()
	check(err)
	self, err := os.Executable()
	check(err)
	child := exec.Command(self, append(os.Args[1:], "inside")...)
	child.Stderr, child.ExtraFiles = os.Stderr, []*os.File{ready}
	child.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig: syscall.SIGKILL,
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC |
			syscall.CLONE_NEWCGROUP,
	}
	check(child.Start())
	cable := "v-" + m.name
	command("ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", strconv.Itoa(child.Process.Pid))
	command("ip", "link", "set", cable, "master", "br0", "up")
	check(tell.Close())
	fmt.Println(child.Process.Pid)
	check(child.Wait())
}

func mount(source, target, kind string, flags uintptr, options string) {
	check(os.MkdirAll(target, 0o755))
	check(syscall.Mount(source, target, kind, flags, options), "mount", target)
}

func (m machine) inside() {
	_, _ = os.NewFile(3, "ready").Read(make([]byte, 1)) // until the cable is in
	command("ip", "link", "set", "lo", "up")
	command("ip", "addr", "add", m.address, "dev", "eth0")
	command("ip", "link", "set", "eth0", "up")
	command("ip", "route", "add", "default", "via", m.gateway)
	check(syscall.Sethostname([]byte(m.name)))
	r := m.root
	check(syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""))
	mount(r, r, "", syscall.MS_BIND, "")
	mount("proc", r+"/proc", "proc", 0, "")
	mount("sysfs", r+"/sys", "sysfs", 0, "")
	mount("tmpfs", r+"/sys/fs/cgroup", "tmpfs", 0, "mode=755")
	trees := hierarchies()
	for _, name := range trees {
		option := name
		if name == "systemd" {
			option = "none,name=systemd"
		}
		mount("cgroup", r+"/sys/fs/cgroup/"+name, "cgroup", 0, option)
	}
	m.devices()
	mount("tmpfs", r+"/run", "tmpfs", 0, "mode=755")
	mount("tmpfs", r+"/tmp", "tmpfs", 0, "")
	programs := r + "/var/lib/rancher/rke2/bin"
	mount(os.Getenv("BOOT_PROGRAMS"), programs, "", syscall.MS_BIND, "")
	check(syscall.Mount("", programs, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	// What a kubelet would set for the whole kernel: here it finds it set.
	check(os.MkdirAll(r+"/run/sysctl", 0o755))
	for key, value := range map[string]string{"vm/overcommit_memory": "1", "vm/panic_on_oom": "0", "kernel/panic": "10",
		"kernel/panic_on_oops": "1", "kernel/keys/root_maxkeys": "1000000", "kernel/keys/root_maxbytes": "25000000"} {
		file := r + "/run/sysctl/" + strings.ReplaceAll(key, "/", ".")
		check(os.WriteFile(file, []byte(value+"\n"), 0o644))
		check(syscall.Mount(file, r+"/proc/sys/"+key, "", syscall.MS_BIND, ""), key)
	}
	check(os.Chdir(r))
	check(syscall.PivotRoot(".", "."), "pivot_root")
	check(syscall.Unmount(".", syscall.MNT_DETACH))
	check(os.Chdir("/"))
	check(syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_SHARED, ""))
	m.supervise()
}

func (m machine) devices() {
	dev := m.root + "/dev"
	mount("dev", dev, "tmpfs", 0, "mode=755")
	syscall.Umask(0)
	for name, minor := range map[string]int{"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9, "kmsg": 11} {
		check(syscall.Mknod(dev+"/"+name, syscall.S_IFCHR|0o666, 1<<8|minor), name)
	}
	check(syscall.Mknod(dev+"/tty", syscall.S_IFCHR|0o666, 5<<8))
	syscall.Umask(0o022)
	mount("devpts", dev+"/pts", "devpts", 0, "newinstance,ptmxmode=0666")
	mount("shm", dev+"/shm", "tmpfs", 0, "")
	mount("mqueue", dev+"/mqueue", "mqueue", 0, "")
	check(os.Symlink("pts/ptmx", dev+"/ptmx"))
	check(os.Symlink("/proc/self/fd", dev+"/fd"))
}

// supervise does what rke2's unit says: Restart=always, and of the service's processes only the main one is ended with it (KillMode=process)
// but for containerd and the kubelet (ExecStopPost). Shims, and with them the pods, live on.
func (m machine) supervise() {
	unit := "/sys/fs/cgroup/systemd/system.slice/rke2-" + m.role + ".service"
	check(os.MkdirAll(unit, 0o755))
	log, err := os.OpenFile("/var/log/rke2.log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	check(err)
	here := filepath.Join("/sys/fs/cgroup/systemd", "cgroup.procs")
	pause, err := strconv.Atoi(os.Getenv("BOOT_RESTART_SECONDS"))
	check(err)
	for ; ; wait(time.Duration(pause) * time.Second) {
		// A child is born where its parent is: in no moment is the service outside of its unit.
		check(os.WriteFile(unit+"/cgroup.procs", []byte("0"), 0o644))
		started, err := os.StartProcess("/usr/local/bin/rke2", []string{"/usr/local/bin/rke2", m.role}, &os.ProcAttr{
			Files: []*os.File{nil, log, log},
			Env:   []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"},
		})
		check(os.WriteFile(here, []byte("0"), 0o644))
		if err != nil {
			fmt.Fprintln(log, "supervisor: cannot start:", err)
			continue
		}
		status := reap(started.Pid) // never started.Wait(): orphans are reaped here too
		fmt.Fprintln(log, time.Now().UTC().Format(time.RFC3339Nano), "supervisor: rke2 ended:", status)
		sweep(unit)
	}
}

// wait lets time pass and takes the orphans that end meanwhile.
func wait(pause time.Duration) {
	for end := time.Now().Add(pause); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		reap(0)
	}
}

// reap waits for a process, and for every orphan that ends meanwhile; with 0 it only takes those that have ended.
func reap(wanted int) string {
	for {
		var status syscall.WaitStatus
		options := 0
		if wanted == 0 {
			options = syscall.WNOHANG
		}
		pid, err := syscall.Wait4(-1, &status, options, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil || pid == 0:
			return fmt.Sprint(err)
		case pid == wanted && status.Signaled():
			return status.Signal().String()
		case pid == wanted:
			return fmt.Sprintf("exit code %d", status.ExitStatus())
		}
	}
}

// sweep ends what is left of containerd and the kubelet.
func sweep(unit string) {
	pids, _ := os.ReadFile(unit + "/cgroup.procs")
	for _, text := range strings.Fields(string(pids)) {
		name, _ := os.ReadFile("/proc/" + text + "/comm")
		switch strings.TrimSpace(string(name)) {
		case "containerd", "kubelet":
			if pid, err := strconv.Atoi(text); err == nil {
				_ = syscall.Kill(pid, syscall.SIGTERM)
			}
		}
	}
}
