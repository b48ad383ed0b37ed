"""A step while it runs: starts the tasks, passes signals on to them and tells how each one ended."""

import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from hpcsubmit.local.environment import task_environment
from hpcsubmit.local.job import Job, JobFolder
from hpcsubmit.local.labels import LabelledOutput
from hpcsubmit.local.layout import Step, Task
from hpcsubmit.local.nodelist import node_name
from hpcsubmit.local.processes import Tree, reap, send, start
from hpcsubmit.local.records import is_locked
from hpcsubmit.local.signals import SignalInbox
from hpcsubmit.local.srun_options import SrunOptions
from hpcsubmit.local.steps import is_asked_to_end

_LOOK_SECONDS = 2.0  # how often a step looks whether its job's runner still lives
_KILL_AGAIN_SECONDS = 0.05


@dataclass(slots=True, kw_only=True)
class RunningStep:
    """One step. labels: None where the tasks write to srun's own stdout and stderr.

    alive: the tasks that run, by process id; deadline: when what is left gets KILL (monotonic seconds);
    worst: the highest exit code so far.
    """

    job: Job
    folder: JobFolder
    step: Step
    options: SrunOptions
    inbox: SignalInbox
    scratch: Path
    kill_wait: float
    tree: Tree
    labels: LabelledOutput | None
    alive: dict[int, Task] = field(default_factory=dict)
    deadline: float | None = None
    worst: int = 0

    def run(self) -> int:
        """Runs all tasks to their ends, and ends what they leave behind; returns srun's exit code."""
        try:
            for task in self.step.tasks:
                self._start(task)
            while self.alive:
                self._wait()
        finally:
            self.tree.kill()
        if self.labels:
            self.labels.close()
        return self.worst

    def _start(self, task: Task) -> None:
        environment = task_environment(self.job, self.step, task, os.environ, scratch=self.scratch)
        # One task reads srun's stdin; several would each get a part of it, so they get none.
        stdin = 0 if len(self.step.tasks) == 1 else os.open(os.devnull, os.O_RDONLY)
        width = len(str(len(self.step.tasks) - 1))
        stdout, stderr = self.labels.open(f"{task.rank:{width}}") if self.labels else (1, 2)
        pid = start(
            self.options.command,
            environment,
            files=(stdin, stdout, stderr),
            pid_variable="SLURM_TASK_PID",
            dies_with_us=True,
        )
        for fd in {stdin, stdout, stderr} - {0, 1, 2}:
            os.close(fd)
        self.alive[pid] = task

    def _wait(self) -> None:
        patience = _LOOK_SECONDS
        if self.deadline is not None:
            patience = min(patience, max(_KILL_AGAIN_SECONDS, self.deadline - time.monotonic()))
        signals, readable = self.inbox.wait(patience, self.labels.files if self.labels else ())
        if self.labels:
            self.labels.copy(readable)
        for number in signals:
            self._pass_on(number)
        for pid, status in reap().items():
            if pid in self.alive:
                self._ended(self.alive.pop(pid), status)
        self._enforce(nothing_happened=not signals and not readable)

    def _pass_on(self, number: signal.Signals) -> None:
        send(self.alive, number)
        if number is signal.SIGTERM and is_asked_to_end(self.folder, self.step.id):
            now = time.strftime("%Y-%m-%dT%H:%M:%S")
            _say(f"slurmstepd: error: *** STEP {self._name} ON {self._first} CANCELLED AT {now} ***")
            self._end_soon()

    @property
    def _name(self) -> str:
        return f"{self.job.id}.{self.step.id}"

    @property
    def _first(self) -> str:
        return node_name(self.step.nodes[0])

    def _ended(self, task: Task, status: int) -> None:
        code = os.waitstatus_to_exitcode(status)
        self.worst = max(self.worst, code if code >= 0 else 128 - code)
        if code == 0:
            return
        core = " (core dumped)" if os.WCOREDUMP(status) else ""
        how = f"Exited with exit code {code}" if code > 0 else f"{signal.strsignal(-code)}{core}"
        _say(f"srun: error: {node_name(task.node)}: task {task.rank}: {how}")
        if self.options.kill_on_bad_exit and self.alive and self.deadline is None:
            _say(f"srun: Terminating StepId={self._name}")
            send(self.alive, signal.SIGTERM)
            self._end_soon()

    def _end_soon(self) -> None:
        if self.deadline is None:
            self.deadline = time.monotonic() + self.kill_wait

    def _enforce(self, *, nothing_happened: bool) -> None:
        if nothing_happened and self.deadline is None and not is_locked(self.folder.lock):
            _say("srun: error: the job's runner is gone, so the step ends here")
            self.deadline = 0.0
        if self.deadline is not None and time.monotonic() >= self.deadline:
            send(self.tree.left(), signal.SIGKILL)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
