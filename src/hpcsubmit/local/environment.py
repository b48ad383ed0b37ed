"""What Slurm tells a job through its environment: the batch script, and each task of a step."""

import sys
from collections.abc import Mapping
from pathlib import Path

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.local.array_spec import ArrayPlace
from hpcsubmit.local.job import Job
from hpcsubmit.local.layout import Step, Task
from hpcsubmit.local.node_folders import node_folder
from hpcsubmit.local.nodelist import counts, node_name

ADDRESS = "127.0.0.1"
_LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"
_KILL_WAIT = "HPCSUBMIT_LOCAL_KILL_WAIT"


def kill_wait(environment: Mapping[str, str]) -> float:
    """Seconds between TERM and KILL: 30 as in Slurm, unless HPCSUBMIT_LOCAL_KILL_WAIT says another."""
    text = environment.get(_KILL_WAIT) or "30"
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise HpcSubmitError(f"error: {_KILL_WAIT}={text!r} is no number of seconds", f"unset {_KILL_WAIT}")
    return seconds


def batch_environment(
    job: Job, submitter: Mapping[str, str], *, scratch: Path, commands: Path
) -> dict[str, str]:
    """The submitter's environment, with this job's facts instead of another's; the stand-ins come first."""
    kept = {name: value for name, value in submitter.items() if not name.startswith(("SLURM", "SRUN_"))}
    interface = {"GLOO_SOCKET_IFNAME": _LOOPBACK, "NCCL_SOCKET_IFNAME": _LOOPBACK}
    return {
        **interface,  # every address here is 127.0.0.1; the user's own choice wins
        **kept,
        **_job_facts(job),
        **_place(job, node=0, rank=0, local_rank=0, scratch=scratch),
        "SLURM_TASKS_PER_NODE": job.task_counts,
        "SLURM_GTIDS": "0",
        "CUDA_VISIBLE_DEVICES": job.gpus[0],
        "PATH": f"{commands}:{submitter.get('PATH', '/usr/bin:/bin')}",
    }


def _job_facts(job: Job) -> dict[str, str]:
    ntasks, nodes = str(job.tasks), str(job.nodes)
    return {
        "SLURM_CLUSTER_NAME": "local",
        "SLURM_CPUS_ON_NODE": str(job.cpus_per_node),
        "SLURM_CPUS_PER_TASK": str(job.cpus_per_task),
        "SLURM_JOBID": str(job.id),
        "SLURM_JOB_CPUS_PER_NODE": counts([job.cpus_per_node] * job.nodes),
        "SLURM_JOB_ID": str(job.id),
        "SLURM_JOB_NAME": job.name,
        "SLURM_JOB_NODELIST": job.node_list,
        "SLURM_JOB_NUM_NODES": nodes,
        "SLURM_JOB_PARTITION": "local",
        "SLURM_JOB_UID": str(job.uid),
        "SLURM_JOB_USER": job.user,
        "SLURM_NNODES": nodes,
        "SLURM_NODELIST": job.node_list,
        "SLURM_NPROCS": ntasks,
        "SLURM_NTASKS": ntasks,
        "SLURM_NTASKS_PER_NODE": str(job.tasks_per_node),
        "SLURM_SUBMIT_DIR": job.workdir,
        "SLURM_SUBMIT_HOST": job.host,
        **(_array_facts(job.array) if job.array else {}),
    }


def _array_facts(place: ArrayPlace) -> dict[str, str]:
    return {
        "SLURM_ARRAY_JOB_ID": str(place.job),
        "SLURM_ARRAY_TASK_COUNT": str(place.count),
        "SLURM_ARRAY_TASK_ID": str(place.task),
        "SLURM_ARRAY_TASK_MAX": str(place.highest),
        "SLURM_ARRAY_TASK_MIN": str(place.lowest),
        "SLURM_ARRAY_TASK_STEP": str(place.step),
    }


def _place(job: Job, *, node: int, rank: int, local_rank: int, scratch: Path) -> dict[str, str]:
    gpus = job.gpus[node]
    return {
        "SLURMD_NODENAME": node_name(node),
        "SLURM_GPUS_ON_NODE": str(len(gpus.split(",")) if gpus else 0),
        "SLURM_LOCALID": str(local_rank),
        "SLURM_NODEID": str(node),
        "SLURM_PROCID": str(rank),
        "SLURM_TMPDIR": str(node_folder(scratch, node)),
    }


def task_environment(
    job: Job, step: Step, task: Task, caller: Mapping[str, str], *, scratch: Path
) -> dict[str, str]:
    """Srun's environment with the facts of one task; SLURM_NODEID counts within the step, as in Slurm."""
    ntasks, nodes = str(len(step.tasks)), str(len(step.nodes))
    place = _place(job, node=task.node, rank=task.rank, local_rank=task.local_rank, scratch=scratch)
    return {
        **caller,
        **place,
        "CUDA_VISIBLE_DEVICES": ",".join(job.gpus[task.node].split(",")[: step.gpus]),
        "SLURM_CPUS_PER_TASK": str(step.cpus_per_task),
        "SLURM_DISTRIBUTION": "block",
        "SLURM_GTIDS": ",".join(str(other.rank) for other in step.tasks if other.node == task.node),
        "SLURM_LAUNCH_NODE_IPADDR": ADDRESS,
        "SLURM_NNODES": nodes,
        "SLURM_NODEID": str(step.nodes.index(task.node)),
        "SLURM_NODELIST": step.node_list,
        "SLURM_NPROCS": ntasks,
        "SLURM_NTASKS": ntasks,
        "SLURM_NTASKS_PER_NODE": str(max(step.per_node)),
        "SLURM_SRUN_COMM_HOST": ADDRESS,
        "SLURM_STEPID": str(step.id),
        "SLURM_STEP_ID": str(step.id),
        "SLURM_STEP_NODELIST": step.node_list,
        "SLURM_STEP_NUM_NODES": nodes,
        "SLURM_STEP_NUM_TASKS": ntasks,
        "SLURM_STEP_TASKS_PER_NODE": step.task_counts,
        "SLURM_TASKS_PER_NODE": step.task_counts,
    }
