"""An array's runner: starts its tasks one after the other, as many at once as may run.

Each task that runs is looked after by a copy of this process; those that wait cost nothing.
"""

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.local.gpus import deal_hands
from hpcsubmit.local.job import Job, JobFolder, JobState, Standing
from hpcsubmit.local.job_array import JobArray
from hpcsubmit.local.jobs import Jobs
from hpcsubmit.local.processes import branch, reap, send
from hpcsubmit.local.runner import look_after
from hpcsubmit.local.signals import CANCEL, SignalInbox
from hpcsubmit.local.starting import announce, fill, keep_files, open_log, take_lock
from hpcsubmit.local.waiting import await_turn


def main(arguments: Sequence[str], jobs: Jobs) -> int:
    """`array-runner ARRAY`, started by sbatch as a job's runner is."""
    array = jobs.array(arguments[0])
    job = array.records.job() if array else None
    if array is None or job is None:
        raise HpcSubmitError(f"array-runner: error: no array {arguments[0]}", "only sbatch starts the runner")
    keep_files()
    inbox = SignalInbox((CANCEL, signal.SIGINT))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    ended = await_turn(job, array.records, jobs, inbox, array.is_over)
    if ended is None:
        ended = ArrayRunner(job, array, jobs, inbox, places(job, array, os.environ)).run()
    array.records.write_standing(ended)
    jobs.mark_ended(array.records)
    return 0


def places(job: Job, array: JobArray, environment: Mapping[str, str]) -> list[tuple[str, ...]]:
    """The GPUs of each task that runs at the same time as others; as many as may, in order.

    That is the limit that `--array` names, or as many as the machine's cores suffice for, and no more than
    its GPUs do. Where the GPUs are too few for one task, all compute on the CPU.
    """
    most = array.plan.spec.limit or max(1, _cores() // (job.nodes * job.cpus_per_node))
    most = min(most, len(array.plan.spec.numbers))
    hands = deal_hands(environment, nodes=job.nodes, per_node=array.plan.gpus)
    return hands[:most] or [("",) * job.nodes] * most


def _cores() -> int:
    """Those that this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


@dataclass(slots=True)
class ArrayRunner:
    """One array while it runs.

    free: the GPUs of each further task that may start; running: the tasks by process id, with theirs.
    """

    job: Job
    array: JobArray
    jobs: Jobs
    inbox: SignalInbox
    free: list[tuple[str, ...]]
    running: dict[int, tuple[JobFolder, tuple[str, ...]]] = field(default_factory=dict)

    def run(self) -> Standing:
        """Runs all tasks; returns how those ended that were not started."""
        limited = self.array.plan.spec.limit == len(self.free)
        reason = "JobArrayTaskLimit" if limited else "Resources"
        standing = Standing(reason=reason, runner=os.getpid())
        self.array.records.write_standing(standing)
        announce()
        self._start_some()
        while self.running:
            signals, _ = self.inbox.wait(None)
            if signals:
                self.array.cancel_waiting()
                send(self.running, CANCEL)
            self._put_back(reap())
            self._start_some()
        now = time.time()
        if self.array.entry_of_waiting():
            return replace(standing, state=JobState.CANCELLED, started=now, ended=now)
        return replace(standing, state=JobState.COMPLETED, ended=now)

    def _start_some(self) -> None:
        while self.free and (chosen := self._choose()):
            folder, job, lock = chosen
            try:
                self._start(folder, job, lock)
            except HpcSubmitError as error:
                self._fail(folder, error)
            os.close(lock)

    def _choose(self) -> tuple[JobFolder, Job, int] | None:
        """Makes the job of the next task, and locks it."""
        with self.array.deciding():
            if self.array.is_over():
                return None
            waiting = self.array.waiting()
            folder = self.jobs.claim() if waiting[1:] else JobFolder(self.array.path)
            own = replace(self.job, dependency="")  # the array's turn has come, and so its tasks'
            job = self.array.job_of(waiting[0], own, int(folder.path.name), self.free[0])
            fill(folder, job, self.array.records.script.read_bytes(), self.jobs)
            lock = take_lock(folder)
            self.jobs.mark_active(folder)
            self.array.decide(waiting[0], folder.path.name)
            return folder, job, lock

    def _start(self, folder: JobFolder, job: Job, lock: int) -> None:
        log = open_log(Path(job.output))
        nothing = os.open(os.devnull, os.O_RDWR)
        # The last file takes a runner's word that it lives: nobody waits for a task's.
        pid = branch(partial(_run_task, job, folder, self.jobs), files=(nothing, log, log, lock, nothing))
        os.close(log)
        os.close(nothing)
        self.running[pid] = (folder, self.free.pop(0))

    def _fail(self, folder: JobFolder, error: HpcSubmitError) -> None:
        sys.stderr.write(f"{error.message}\n")
        now = time.time()
        failed = Standing(
            state=JobState.FAILED, reason="NonZeroExitCode", exit_code=1, started=now, ended=now
        )
        folder.write_standing(failed)
        self.jobs.mark_ended(folder)

    def _put_back(self, ended: Mapping[int, int]) -> None:
        for pid in ended.keys() & self.running.keys():
            folder, gpus = self.running.pop(pid)
            self.free.append(gpus)
            self.jobs.settle(folder)  # where it was killed it wrote no end


def _run_task(job: Job, folder: JobFolder, jobs: Jobs) -> int:
    try:
        return look_after(job, folder, jobs)
    except HpcSubmitError as error:
        sys.stderr.write(f"{error.message}\n" + (f"hint: {error.hint}\n" if error.hint else ""))
        return error.exit_code
    except OSError as error:
        sys.stderr.write(f"local: error: {error}\n")
        return 1
