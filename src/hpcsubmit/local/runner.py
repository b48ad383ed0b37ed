"""The runner: the one process that looks after a job, from its first to its last."""

import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.local.environment import batch_environment, kill_wait
from hpcsubmit.local.job import Job, JobFolder, JobState, Standing
from hpcsubmit.local.jobs import Jobs
from hpcsubmit.local.node_folders import make_node_folders, remove_tree
from hpcsubmit.local.nodelist import node_name
from hpcsubmit.local.processes import Tree, reap, send, start
from hpcsubmit.local.signals import CANCEL, SignalInbox
from hpcsubmit.local.starting import announce, keep_files
from hpcsubmit.local.steps import live_steps
from hpcsubmit.local.waiting import await_turn

_LEFTOVER_SECONDS = 2.0  # for what a script leaves running when it ends; Slurm gives it no time at all


def main(arguments: Sequence[str], jobs: Jobs) -> int:
    """`runner JOB`, started by sbatch with the job's lock and a pipe to say that it lives."""
    folder = jobs.find(arguments[0])
    job = folder.job() if folder else None
    if folder is None or job is None:
        raise HpcSubmitError(f"runner: error: no job {arguments[0]}", "only sbatch starts the runner")
    return look_after(job, folder, jobs)


def look_after(job: Job, folder: JobFolder, jobs: Jobs) -> int:
    """Waits for the job's turn, and runs it to its end; returns an exit code."""
    keep_files()
    inbox = SignalInbox((CANCEL, signal.SIGINT))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    standing = await_turn(job, folder, jobs, inbox) or _run(job, folder, jobs, inbox)
    folder.write_standing(standing)
    jobs.mark_ended(folder)
    return 0


def _run(job: Job, folder: JobFolder, jobs: Jobs, inbox: SignalInbox) -> Standing:
    own = os.getpid()
    tree = Tree.adopt(lambda: jobs.runners() - {own})  # a job that this job submitted lives on
    scratch = make_node_folders(job.id, job.nodes, user=job.user, environment=os.environ)
    try:
        return Runner(job, folder, tree, inbox, scratch, kill_wait(os.environ)).run()
    finally:
        tree.kill()
        _remove(scratch)


def _remove(scratch: Path) -> None:
    try:
        remove_tree(scratch)
    except OSError as error:
        sys.stderr.write(f"local: error: can't remove the nodes' folders: {error}\n")


@dataclass(slots=True)
class Runner:
    """One job while it runs."""

    job: Job
    folder: JobFolder
    tree: Tree
    inbox: SignalInbox
    scratch: Path
    kill_wait: float
    batch: int = 0
    status: int | None = None

    def run(self) -> Standing:
        """Runs the script to its end, or to the job's; returns how it ended, with nothing left running."""
        standing = self._start()
        cut_short = self._watch()
        completing = replace(standing, state=JobState.COMPLETING)
        self.folder.write_standing(completing)
        ended = time.time()
        if cut_short is None:
            self._clear_leftovers()
        else:
            self._cut_short(cut_short)
        return replace(self._verdict(cut_short, standing), ended=ended)

    def _start(self) -> Standing:
        standing = Standing(
            state=JobState.RUNNING, started=time.time(), runner=os.getpid(), scratch=str(self.scratch)
        )
        self.folder.write_standing(standing)
        environment = batch_environment(
            self.job, os.environ, scratch=self.scratch, commands=self.folder.commands
        )
        os.chdir(self.job.workdir)
        if not self.job.append:
            with suppress(OSError):  # what is no file can't be emptied
                os.ftruncate(1, 0)
        nothing = os.open(os.devnull, os.O_RDONLY)
        argv = (*_interpreter(self.folder.script), str(self.folder.script), *self.job.arguments)
        self.batch = start(
            argv, environment, files=(nothing, 1, 2), pid_variable="SLURM_TASK_PID", dies_with_us=True
        )
        os.close(nothing)
        standing = replace(standing, batch=self.batch)
        self.folder.write_standing(standing)
        announce()
        return standing

    def _watch(self) -> JobState | None:
        """Waits for the script's end (None), a cancel or the time limit, and warns of that."""
        limit, warned = self.job.seconds, self.job.warning is None
        deadline = None if limit is None else time.monotonic() + limit
        while self.status is None:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            before = 0 if warned or left is None else min(left, self.job.warning or 0)
            signals, _ = self.inbox.wait(None if left is None else left - before)
            self._reap()
            if self.status is None and signals:
                return JobState.CANCELLED
            if self.status is None and left == 0.0:
                return JobState.TIMEOUT
            if self.status is None and before and deadline and deadline - time.monotonic() <= before:
                send([self.batch], signal.SIGUSR1)
                warned = True
        return None

    def _cut_short(self, state: JobState) -> None:
        """TERM to the script and to the tasks, each once; after KillWait KILL to everything."""
        now = time.strftime("%Y-%m-%dT%H:%M:%S")
        why = " DUE TO TIME LIMIT" if state is JobState.TIMEOUT else ""
        sys.stderr.write(
            f"slurmstepd: error: *** JOB {self.job.id} ON {node_name(0)} CANCELLED AT {now}{why} ***\n"
        )
        sys.stderr.flush()
        self.tree.left()  # where there is no subreaper, this remembers the groups while their parents live
        send([self.batch, *live_steps(self.folder).values()], signal.SIGTERM)
        deadline = time.monotonic() + self.kill_wait
        while (self.status is None or live_steps(self.folder)) and time.monotonic() < deadline:
            self.inbox.wait(min(0.1, max(0.0, deadline - time.monotonic())))
            self._reap()
        self._kill()

    def _clear_leftovers(self) -> None:
        left = self.tree.left()
        send(left, signal.SIGTERM)
        deadline = time.monotonic() + min(self.kill_wait, _LEFTOVER_SECONDS)
        while left and time.monotonic() < deadline:
            self.inbox.wait(0.05)
            self._reap()
            left = self.tree.left()
        self._kill()

    def _kill(self) -> None:
        while self.status is None:
            send(self.tree.left(), signal.SIGKILL)
            self.inbox.wait(0.02)
            self._reap()
        self.tree.kill()

    def _reap(self) -> None:
        self.status = reap().get(self.batch, self.status)

    def _verdict(self, cut_short: JobState | None, standing: Standing) -> Standing:
        code = os.waitstatus_to_exitcode(self.status or 0)
        exit_code, number = max(code, 0), max(-code, 0)
        match cut_short:
            case JobState.TIMEOUT:  # Slurm says 0:0, whatever the script made of its TERM
                return replace(standing, state=JobState.TIMEOUT, reason="TimeLimit")
            case JobState.CANCELLED:
                return replace(standing, state=JobState.CANCELLED, exit_code=exit_code, signal=number)
            case _ if code == 0:
                return replace(standing, state=JobState.COMPLETED)
            case _:
                return replace(
                    standing,
                    state=JobState.FAILED,
                    reason="NonZeroExitCode",
                    exit_code=exit_code,
                    signal=number,
                )


def _interpreter(script: Path) -> list[str]:
    """The words after `#!`, read here since the state folder may lie on a disk that forbids execution."""
    with script.open("rb") as file:
        line = os.fsdecode(file.readline()[2:]).strip()
    return line.split(maxsplit=1) or ["/bin/sh"]
