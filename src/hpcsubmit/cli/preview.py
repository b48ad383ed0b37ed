"""What a submission will do, as text for the terminal; never a secret."""

from hpcsubmit.cli.table import align
from hpcsubmit.clusters import NO_SBATCH
from hpcsubmit.prepare import Prepared


def preview(prepared: Prepared, *, dry_run: bool) -> str:
    """Return the preview: where the job goes, every sbatch option, the command, and what comes before it."""
    plan = prepared.plan
    build = plan.virtualenv.requirements
    environment = f"{plan.virtualenv.path}" + (f" (to be built from {build})" if build else "")
    missing = [str(folder) for folder in plan.folders if not folder.is_dir()]
    rows = [
        ("cluster", f"{plan.cluster} ({prepared.choice.reason})"),
        ("project", str(plan.project_root)),
        ("command", plan.command_text),
        ("starts", " ".join(word.raw for word in (*plan.program.launcher, *plan.program.arguments))),
        ("environment", environment),
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
