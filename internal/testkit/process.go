package testkit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
)

// process is a server that was started, with a log file of its own.
type process struct {
	name string
	log  string
	pid  int
	done chan struct{} // closed by its goroutine when the process has ended
	err  error         // of Wait; read it after done
}

// startProcess runs cmd as the leader of a new process group. Unless it is
// detached, it dies with the program that started it.
func startProcess(name, log string, cmd *exec.Cmd, detached bool) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	if !detached {
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
	p := &process{name: name, log: log, done: make(chan struct{})}
	started := make(chan error, 1)
	go p.run(cmd, started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// run starts the command and waits for its end. The kernel sends Pdeathsig when
// the *thread* that forked ends, so that thread is kept for as long.
func (p *process) run(cmd *exec.Cmd, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		started <- err
		return
	}
	p.pid = cmd.Process.Pid
	started <- nil
	p.err = cmd.Wait()
	close(p.done)
}

// alive returns an error that wraps ErrGiveUp once the process has ended.
func (p *process) alive() error {
	select {
	case <-p.done:
		return fmt.Errorf("%w: %s has ended: %w", ErrGiveUp, p.name, p.endError())
	default:
		return nil
	}
}

func (p *process) endError() error {
	if p.err == nil {
		return errors.New("exit status 0")
	}
	return p.err
}

// signal sends sig to the process alone.
func (p *process) signal(sig syscall.Signal) error {
	return p.send(p.pid, sig)
}

// signalGroup sends sig to the process and all that it started.
func (p *process) signalGroup(sig syscall.Signal) error {
	return p.send(-p.pid, sig)
}

func (p *process) send(pid int, sig syscall.Signal) error {
	select {
	case <-p.done: // the number may belong to another process by now
		return nil
	default:
	}
	if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("send %s to %s: %w", sig, p.name, err)
	}
	return nil
}

// stop sends sig, and SIGKILL to the whole group when ctx ends before it does.
func (p *process) stop(ctx context.Context, sig syscall.Signal) error {
	if err := p.signal(sig); err != nil {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
	}
	if err := p.kill(); err != nil {
		return err
	}
	return fmt.Errorf("%s did not heed %s and was killed: %w", p.name, sig, ctx.Err())
}

// kill ends the whole group at once and waits for it.
func (p *process) kill() error {
	if err := p.signalGroup(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return nil
}

// logTail returns the end of the log, to be shown when a start fails.
func (p *process) logTail() string {
	const most = 6 << 10
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	if len(b) > most {
		b = b[len(b)-most:]
	}
	return fmt.Sprintf("the end of %s:\n%s", p.log, strings.TrimSpace(string(b)))
}

// lookTool finds a program, and names the package that would bring it.
func lookTool(name, debianPackage string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%w: install the package %s (internal/testkit/install.sh does)", err, debianPackage)
	}
	return path, nil
}
