"""What a submission will do, as text for the terminal; never a secret."""

import re
from typing import TYPE_CHECKING

from hpcsubmit.cli.table import align
from hpcsubmit.clusters import NO_SBATCH
from hpcsubmit.plan import Plan
from hpcsubmit.prepare import Prepared
from hpcsubmit.values import bytes_text
from hpcsubmit.virtualenv import Virtualenv

if TYPE_CHECKING:
    from hpcsubmit.sweep_file.reading import SweepFile


def preview(prepared: Prepared, *, dry_run: bool) -> str:
    """Return the preview: where the job goes, every sbatch option, the command, and what comes before it."""
    plan = prepared.plan
    missing = [str(folder) for folder in plan.folders if not folder.is_dir()]
    rows = [
        ("cluster", f"{plan.cluster} ({prepared.choice.reason})"),
        ("project", str(plan.project_root)),
        *_program(plan),
        *_software(plan),
        *_data(prepared),
        *(
            [("collects", f"{', '.join(plan.collect.paths)} to {plan.collect.folder}/JOB")]
            if plan.collect
            else []
        ),
        *((f"--{d.name}", d.value if d.value is not None else "") for d in plan.directives),
        ("log", _log(plan)),
        *(("new folder", folder) for folder in missing),
    ]
    title = "would submit" if dry_run else "about to submit"
    lines = [f"hpcsubmit {plan.version}: {title} {_kind(plan)}", ""]
    lines += [f"  {line}" for line in align(rows)]
    lines.append("")
    if prepared.choice.reason == NO_SBATCH:
        lines.append(f"note: {NO_SBATCH}: the job runs on this machine")
    lines += [f"note: {note}" for note in plan.notes]
    if prepared.dropped:
        lines.append(f"note: sbatch does not get these variables of yours: {', '.join(prepared.dropped)}")
    lines += [f"warning: {warning}" for warning in plan.warnings]
    return "\n".join(lines)


def _kind(plan: Plan) -> str:
    if plan.trials is None:
        return plan.kind.shown
    number = plan.trials.array.trials
    what = "a sweep" if plan.trials.is_sweep else "repeats"
    return f"{what} of {number} {plan.kind.value} job{'s' * (number != 1)}"


def _log(plan: Plan) -> str:
    names = {"%j": "JOB", "%A": "JOB", "%a": "TASK", "%%": "%"}
    return "".join(names.get(part, part) for part in re.split("(%.)", plan.log))


def _program(plan: Plan) -> list[tuple[str, str]]:
    """The command as it is written, and what is started for it; of a sweep, what its runs start."""
    if plan.trials is None or not plan.trials.is_sweep:
        words = " ".join(word.raw for word in (*plan.program.launcher, *plan.program.arguments))
        started = [("command", plan.command_text), ("starts", words)]
    else:
        file = plan.trials.wanted.file
        described = f"{file.path.name}, {file.method}" if file else "as the server has it"
        started = [("sweep", f"{plan.trials.sweep_path or 'without a server'} ({described})")]
        started += [("command", file.shown_command)] if file else []
        started += _logged(file) if file and not plan.trials.sweep_path else []
    return [*started, *_trials(plan)]


def _logged(file: "SweepFile") -> list[tuple[str, str]]:
    """Where the runs of a sweep without a server belong, for programs that use wandb."""
    place = f"{file.entity or 'your own entity'}/{file.project}"
    return [("wandb", f"offline, for {place}")] if file.project else []


def _trials(plan: Plan) -> list[tuple[str, str]]:
    if plan.trials is None:
        return []
    array, seeds = plan.trials.array, plan.trials.wanted.seeds
    text = f"{array.trials} in {array.tasks} task{'s' * (array.tasks != 1)}"
    rows = [("trials", f"{text}, at most {gpu_hours(plan):,.4g} GPU hours")]
    if seeds:
        first = ", ".join(map(str, seeds[:5]))
        rows.append(("seeds", first + (f", ... {seeds[-1]}" if len(seeds) > 5 else "")))
    return rows


def gpu_hours(plan: Plan) -> float:
    """What all tasks of a plan take if each runs until its time limit."""
    tasks = plan.trials.array.tasks if plan.trials else 1
    return tasks * plan.nodes * plan.gpus_per_node * plan.walltime.seconds / 3600


def _software(plan: Plan) -> list[tuple[str, str]]:
    """What the program runs with: an image, a conda environment, a virtual environment or none."""
    rows = []
    if plan.container:
        image = plan.container.image
        size = f" ({bytes_text(image.size)})" if image.size else " (sandbox folder)"
        copied = ", copied to every node's own disk" if plan.container.copied else ""
        rows.append(("container", f"{image.path}{size}{copied}"))
        rows.append(("started by", "its %runscript" if plan.container.runscript else "the command itself"))
        binds = [f"{b.source} at {b.target}" + " (read only)" * b.read_only for b in plan.container.binds]
        rows += [("mounts", text) for text in binds]
    if plan.conda:
        rows.append(("environment", f"conda's {plan.conda.name}: {plan.conda.path}"))
    if rows:
        return rows
    return [("environment", _environment(plan.virtualenv))]


def _environment(virtualenv: Virtualenv | None) -> str:
    """Where the environment is, and what is left to do for it."""
    if virtualenv is None:
        return "none: the program runs with the python of the node"
    build = virtualenv.build
    there = str(virtualenv.path)
    if build is None:
        return there
    if build.job:
        return f"{there} (job {build.job} is building it, and this job waits for that)"
    what = f"built from {build.source}" if build.makes else "packed for the nodes"
    where = "in a job that this job waits for" if build.in_job else "here, before the job is submitted"
    return f"{there} (to be {what}, {where})"


def _data(prepared: Prepared) -> list[tuple[str, str]]:
    """What comes to the nodes' disks, and how."""
    if prepared.snapshot is None or prepared.plan.data is None:
        return []
    from hpcsubmit.cli.packing import data_text, transfer_text  # late: for data alone

    how = transfer_text(prepared.plan.data, prepared.snapshot)
    return [("data", data_text(prepared.snapshot)), ("transfer", how)]
