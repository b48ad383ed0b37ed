"""All jobs of this user on this machine: `jobs/N/` for each, `active/N` for those that may still run.

`arrays/N` is for the arrays that may still start tasks; their records are in `jobs/N/array`.
"""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from hpcsubmit.local.job import JobFolder, lost
from hpcsubmit.local.job_array import JobArray
from hpcsubmit.local.node_folders import remove_tree
from hpcsubmit.local.records import try_lock

KEPT_DAYS = 30


@dataclass(frozen=True, slots=True)
class Jobs:
    """The state folder of the embedded cluster, by default `~/.local/state/hpcsubmit/local`."""

    root: Path

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Jobs":
        """The folder that XDG_STATE_HOME names; a relative one is ignored, as its specification says."""
        state = Path(environment.get("XDG_STATE_HOME", ""))
        home = state if state.is_absolute() else Path.home() / ".local" / "state"
        return cls(home / "hpcsubmit" / "local")

    def claim(self) -> JobFolder:
        """Makes the folder of the next id; mkdir decides between submissions at the same moment."""
        folder = self.root / "jobs"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        number = max(self._ids("jobs"), default=0) + 1
        while True:
            try:
                (folder / str(number)).mkdir(mode=0o700)
            except FileExistsError:
                number += 1
            else:
                return JobFolder(folder / str(number))

    def find(self, job_id: str) -> JobFolder | None:
        """The folder of a job; None for an id that was never given out."""
        folder = JobFolder(self.root / "jobs" / job_id)
        return folder if job_id.isascii() and job_id.isdigit() and folder.job() else None

    def array(self, job_id: str) -> JobArray | None:
        """The array of this id; None for an id that is no array's."""
        return JobArray.find(self.root / "jobs" / job_id) if job_id.isascii() and job_id.isdigit() else None

    def mark_active(self, folder: JobFolder) -> None:
        """Puts the job on the list of those that may run. Its lock must be held already."""
        self._mark(folder).parent.mkdir(mode=0o700, exist_ok=True)
        self._mark(folder).touch()

    def mark_ended(self, folder: JobFolder) -> None:
        """Takes the job off that list, once its end is written."""
        self._mark(folder).unlink(missing_ok=True)

    def active(self) -> list[JobFolder]:
        """Jobs that run, or whose runner died without a word; oldest first."""
        return [JobFolder(self.root / "jobs" / str(number)) for number in sorted(self._ids("active"))]

    def active_arrays(self) -> list[JobArray]:
        """Arrays that may still start tasks, or whose runner died without a word; oldest first."""
        found = [self.array(str(number)) for number in sorted(self._ids("arrays"))]
        return [array for array in found if array]

    def runners(self) -> set[int]:
        """The processes that look after what is active: a job's own descendants may be among them."""
        return {folder.recorded().runner for folder in self._looked_after()} - {0}

    def _looked_after(self) -> list[JobFolder]:
        """The folder of every runner that may live."""
        arrays = [self.root / "jobs" / str(number) / "array" for number in self._ids("arrays")]
        return [*self.active(), *map(JobFolder, arrays)]

    def sweep(self) -> None:
        """Ends the records of jobs whose runner died, and removes those that are older than 30 days."""
        for folder in self._looked_after():
            self.settle(folder)
        oldest = time.time() - KEPT_DAYS * 24 * 3600
        known = self._ids("jobs")
        newest = max(known, default=0)  # it stays, or its id would be given out again
        for number in known - self._ids("active") - self._ids("arrays") - {newest}:
            path = self.root / "jobs" / str(number)
            with suppress(OSError):  # another sbatch may be at it, and no record is worth a failed submission
                if path.stat().st_mtime < oldest:
                    remove_tree(path)

    def settle(self, folder: JobFolder) -> None:
        """Ends the records of a job, or of the tasks that an array has left, if its runner died."""
        if not folder.path.is_dir():
            return self.mark_ended(folder)
        with try_lock(folder.lock) as dead:
            if not dead:
                return None
            standing = folder.recorded()
            if standing.state.active:
                folder.write_standing(replace(lost(standing), ended=time.time()))
            if standing.scratch:
                with suppress(OSError):
                    remove_tree(Path(standing.scratch))
            return self.mark_ended(folder)

    def _mark(self, folder: JobFolder) -> Path:
        if folder.path.name == "array":  # which lies in the folder of the job that has its id
            return self.root / "arrays" / folder.path.parent.name
        return self.root / "active" / folder.path.name

    def _ids(self, kind: str) -> set[int]:
        try:
            return {int(path.name) for path in (self.root / kind).iterdir() if path.name.isdigit()}
        except FileNotFoundError:
            return set()
