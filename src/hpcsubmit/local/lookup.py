"""Which jobs are meant by `12`, by `12_3`, or by nothing at all."""

from dataclasses import replace

from hpcsubmit.local.array_spec import parse_numbers
from hpcsubmit.local.job import Entry
from hpcsubmit.local.job_array import entry_of
from hpcsubmit.local.jobs import Jobs


def asked(jobs: Jobs, text: str) -> list[Entry] | None:
    """The job `12`, all of the array `12`, or its task `12_3`; None for an id that was never given out."""
    number, underline, task = text.partition("_")
    array = jobs.array(number)
    if array is None:
        folder = None if underline else jobs.find(number)
        entry = entry_of(folder) if folder else None
        return [entry] if entry else None
    if not underline:
        return array.entries()
    entry = array.entry(int(task)) if task.isascii() and task.isdigit() else None
    return [entry] if entry else []


def active(jobs: Jobs) -> list[Entry]:
    """All that has not ended: first what waits, then what runs, each oldest first."""
    # In this order: a task that starts in between is in both, and never in none.
    found = [array.entry_of_waiting() for array in jobs.active_arrays()]
    found += [entry_of(folder) for folder in jobs.active()]
    entries = [entry for entry in found if entry and entry.standing.state.active]
    return sorted(entries, key=lambda entry: (entry.standing.started is not None, entry.job.id))


def one_by_one(entry: Entry) -> list[Entry]:
    """An entry of tasks that wait, as one of each."""
    place = entry.job.array
    if place is None or place.task is not None:
        return [entry]
    numbers = parse_numbers(place.waiting.partition("%")[0])
    places = [replace(place, task=number, waiting="") for number in numbers]
    return [entry._replace(job=replace(entry.job, array=place)) for place in places]
