"""scontrol: a job, the processes of its steps, the nodes' names and addresses, and the configuration."""

import os
import sys
from collections.abc import Sequence

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.local.array_spec import MAX_ARRAY_SIZE, ArrayPlace
from hpcsubmit.local.clock import elapsed, padded, timestamp
from hpcsubmit.local.environment import ADDRESS, kill_wait
from hpcsubmit.local.job import Job, Standing
from hpcsubmit.local.jobs import Jobs
from hpcsubmit.local.lookup import active, asked
from hpcsubmit.local.nodelist import expand, node_name
from hpcsubmit.local.steps import live_steps
from hpcsubmit.local.waiting import describe

_SHOWN = "listpids JOB, show job [-o] ID[_TASK], show hostnames [LIST], show node NAME, show config"


def main(arguments: Sequence[str], jobs: Jobs) -> int:
    """`scontrol show job|hostnames|node|config ...`; raises HpcSubmitError for everything else."""
    words = [word for word in arguments if word not in ("-o", "--oneliner")]
    oneline = len(words) < len(arguments)
    match words:
        case ["show", "job" | "jobid" | "jobs", *ids] if len(ids) <= 1:
            text = _show_jobs(ids, jobs, oneline=oneline)
        case ["show", "hostnames" | "hostname", *lists] if len(lists) <= 1:
            text = _show_hostnames(lists[0] if lists else os.environ.get("SLURM_JOB_NODELIST", ""))
        case ["show", "node" | "nodes", name]:
            text = _show_node(name, oneline=oneline)
        case ["show", "config"]:
            text = _show_config()
        case ["listpids", job_id]:
            text = _list_pids(job_id, jobs)
        case ["requeue" | "requeuehold", *ids]:
            raise HpcSubmitError(
                f"Requested operation is presently disabled for job {' '.join(ids)}",
                "the cluster `local` does not requeue: submit the job again",
            )
        case _:
            raise HpcSubmitError(f"invalid keyword: {' '.join(words) or '(none)'}", f"known here: {_SHOWN}")
    sys.stdout.write(text)
    return 0


def _show_jobs(ids: Sequence[str], jobs: Jobs, *, oneline: bool) -> str:
    entries = asked(jobs, ids[0]) if ids else active(jobs)
    if entries is None:
        raise HpcSubmitError("slurm_load_jobs error: Invalid job id specified")
    if ids and not entries:
        raise HpcSubmitError(f"Job {ids[0]} not found")
    shown = ""
    for job, standing in entries:
        lines = job_lines(job, standing, describe(job, jobs))
        shown += " ".join(lines) + "\n" if oneline else "\n   ".join(lines) + "\n\n"
    return shown or "No jobs in the system\n"


def job_lines(job: Job, standing: Standing, dependency: str) -> list[str]:
    """A job as Slurm prints it, without the fields that mean nothing here. ExitCode is `code:signal`."""
    ran_here = bool(standing.scratch)
    cpus = job.nodes * job.cpus_per_node
    ran = padded(elapsed(standing.started, standing.ended))
    end = standing.ended
    if end is None and standing.started and job.seconds:
        end = standing.started + job.seconds
    lines = [
        f"JobId={job.id} {_array_words(job.array) if job.array else ''}JobName={job.name}",
        f"UserId={job.user}({job.uid}) GroupId=(null) MCS_label=N/A",
        "Priority=1 Nice=0 Account=(null) QOS=normal",
        f"JobState={standing.state} Reason={standing.reason} Dependency={dependency}",
        f"Requeue=0 Restarts=0 BatchFlag=1 Reboot=0 ExitCode={standing.exit_code}:{standing.signal}",
        f"RunTime={ran} TimeLimit={padded(job.seconds)} TimeMin=N/A",
        f"SubmitTime={timestamp(job.submitted)} EligibleTime={timestamp(standing.started)}",
        f"StartTime={timestamp(standing.started)} EndTime={timestamp(end)} Deadline=N/A",
        f"Partition=local AllocNode:Sid={job.host}:{standing.runner}",
        f"NodeList={job.node_list if ran_here else ''}",
        f"BatchHost={node_name(0)}" if ran_here else "",
        f"NumNodes={job.nodes} NumCPUs={cpus} NumTasks={job.tasks} CPUs/Task={job.cpus_per_task}",
        f"Command={' '.join((job.script, *job.arguments))}",
        f"WorkDir={job.workdir}",
        f"Comment={job.comment}" if job.comment else "",
        f"StdErr={job.output}",
        "StdIn=/dev/null",
        f"StdOut={job.output}",
    ]
    return [line for line in lines if line]


def _array_words(place: ArrayPlace) -> str:
    throttle = f"ArrayTaskThrottle={place.limit} " if place.limit else ""
    return f"ArrayJobId={place.job} ArrayTaskId={place.numbers} {throttle}"


def _list_pids(job_id: str, jobs: Jobs) -> str:
    """The steps that run, one line each; the process is srun, which lives as long as its tasks."""
    folder = jobs.find(job_id)
    live = live_steps(folder) if folder else {}
    rows = [("PID", "JOBID", "STEPID", "LOCALID", "GLOBALID")]
    rows += [(str(process), job_id, str(step), "-", "-") for step, process in sorted(live.items())]
    return "".join(" ".join(cell.ljust(8) for cell in row).rstrip() + "\n" for row in rows)


def _show_hostnames(text: str) -> str:
    if not text:
        raise HpcSubmitError("scontrol: error: host list is empty", "call it in a job, or give a list")
    return "".join(f"{name}\n" for name in expand(text))


def _show_node(name: str, *, oneline: bool) -> str:
    number = name.removeprefix("local")
    if not number.isdigit() or name != node_name(int(number) - 1) or int(number) == 0:
        raise HpcSubmitError(f"Node {name} not found", "the nodes are local1, local2 and so on")
    lines = [
        f"NodeName={name} NodeAddr={ADDRESS} NodeHostName={name} Version={_version()}",
        f"State=IDLE CPUTot={os.cpu_count()} Partitions=local",
    ]
    return " ".join(lines) + "\n" if oneline else "\n   ".join(lines) + "\n\n"


def _show_config() -> str:
    values = {
        "ClusterName": "local",
        "KillWait": f"{kill_wait(os.environ):g} sec",
        "MaxArraySize": str(MAX_ARRAY_SIZE),
        "SLURM_VERSION": _version(),
    }
    return "".join(f"{name:<24}= {value}\n" for name, value in values.items())


def _version() -> str:
    """Slurm's version whose behaviour is followed here."""
    return "22.05.8-hpcsubmit-local"
