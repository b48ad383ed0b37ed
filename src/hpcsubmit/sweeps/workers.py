"""How the workers that a sweep file asks for become tasks: each but the last runs as many trials."""

from hpcsubmit.request import Request


def per_task(request: Request, workers: int | None, number: int) -> int | None:
    """Trials one after another in a task: as asked for, or as the file's number of workers makes it."""
    if request.trials_per_task or workers is None:
        return request.trials_per_task
    return -(-number // workers)


def fewer_tasks(request: Request, workers: int | None, number: int) -> tuple[str, ...]:
    """Return the note for the preview where fewer tasks than the file has workers do the work."""
    each = per_task(request, workers, number)
    if request.trials_per_task or workers is None or each is None or (tasks := -(-number // each)) == workers:
        return ()
    runs = f"{each} run{'s' * (each > 1)} each" + (f", {number % each} in the last" if number % each else "")
    return (f"{tasks} task{'s do' if tasks > 1 else ' does'} the work of {workers} workers: {runs}",)
