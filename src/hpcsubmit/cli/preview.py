"""What a submission will do, as text for the terminal; never a secret."""

from hpcsubmit.cli.table import align
from hpcsubmit.clusters import NO_SBATCH
from hpcsubmit.plan import Plan
from hpcsubmit.prepare import Prepared
from hpcsubmit.values import bytes_text
from hpcsubmit.virtualenv import Virtualenv


def preview(prepared: Prepared, *, dry_run: bool) -> str:
    """Return the preview: where the job goes, every sbatch option, the command, and what comes before it."""
    plan = prepared.plan
    missing = [str(folder) for folder in plan.folders if not folder.is_dir()]
    rows = [
        ("cluster", f"{plan.cluster} ({prepared.choice.reason})"),
        ("project", str(plan.project_root)),
        ("command", plan.command_text),
        ("starts", " ".join(word.raw for word in (*plan.program.launcher, *plan.program.arguments))),
        *_software(plan),
        *_data(prepared),
        *(
            [("collects", f"{', '.join(plan.collect.paths)} to {plan.collect.folder}/JOB")]
            if plan.collect
            else []
        ),
        *((f"--{d.name}", d.value if d.value is not None else "") for d in plan.directives),
        ("log", plan.log.replace("%%", "%").replace("%j", "JOB")),
        *(("new folder", folder) for folder in missing),
    ]
    title = "would submit" if dry_run else "about to submit"
    lines = [f"hpcsubmit {plan.version}: {title} a {plan.kind.value} job", ""]
    lines += [f"  {line}" for line in align(rows)]
    lines.append("")
    if prepared.choice.reason == NO_SBATCH:
        lines.append(f"note: {NO_SBATCH}: the job runs on this machine")
    lines += [f"note: {note}" for note in plan.notes]
    if prepared.dropped:
        lines.append(f"note: sbatch does not get these variables of yours: {', '.join(prepared.dropped)}")
    lines += [f"warning: {warning}" for warning in plan.warnings]
    return "\n".join(lines)


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
    from hpcsubmit.cli.packing import data_text  # late: for data alone

    how = {"direct": "every node reads the archives", "broadcast": "one node reads, sbcast sends to all"}
    return [("data", data_text(prepared.snapshot)), ("transfer", how[prepared.plan.data.transfer])]
