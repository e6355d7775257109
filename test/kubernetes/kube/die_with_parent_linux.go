package main

import (
	"os"
	"runtime"
	"syscall"
)

const prSetParentDeathSignal = 1

// A test run that is killed must leave nothing behind: with KUBE_DIE_WITH_PARENT set, this process ends with the one that started it.
// The kernel keeps the wish with the thread that uttered it, so the main thread is kept.
func init() {
	if os.Getenv("KUBE_DIE_WITH_PARENT") == "" {
		return
	}
	runtime.LockOSThread()
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, prSetParentDeathSignal, uintptr(syscall.SIGKILL), 0); errno != 0 {
		panic(errno)
	}
}
