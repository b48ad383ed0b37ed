"""Asks how many tasks an array may have here, and how many more jobs this user may submit.

A command that is missing, refuses or gives no answer is "not known", no error: sbatch has the last word.
"""

import os
import pwd
import re
from collections.abc import Iterator
from typing import NamedTuple

from hpcsubmit.array import Limits
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.profile import Profile
from hpcsubmit.scheduler import Scheduler

FEW = 20
"""Up to so many trials nobody is asked: what is wrong with them sbatch says as fast."""
ANSWER_TIMEOUT = 5.0
"""Seconds that scontrol and squeue may take; they answer within milliseconds, or something is wrong."""


class Submitted(NamedTuple):
    """A limit of submitted jobs, how many jobs it counts now, and who says so."""

    limit: int
    used: int
    source: str


def limits_here(
    profile: Profile, scheduler: Scheduler, trials: int, *, account: str = "", qos: str = "normal"
) -> Limits:
    """Find out how many trials fit; what the profile says comes first.

    account: of the jobs, "" for the profile's, else the user's own default. qos: of the jobs.
    The embedded cluster has Slurm's default size of arrays and no other limit: it is not asked.
    """
    if trials <= FEW and (profile.max_jobs is None or trials <= profile.max_jobs // 2):
        return Limits(max_array_size=profile.max_array_size)
    known = scheduler.prefix or (profile.max_jobs is not None and profile.max_array_size is not None)
    config = "" if known else _ask(scheduler, "scontrol", "show", "config")
    found: list[Submitted] = []
    if profile.max_jobs is not None:
        mine = _count(scheduler, "--me")
        found = [Submitted(profile.max_jobs, mine, f"max_jobs of the profile '{profile.name}'")]
    elif not scheduler.prefix:
        asked = ("scontrol", "show", "assoc_mgr", f"users={_user_name()}", "flags=assoc,qos")
        counted = _ask(scheduler, *asked)
        found = [*submitted(counted, os.getuid(), account or profile.account, qos)]
        found += _of_all_users(scheduler, config, trials)
    size = profile.max_array_size or _number_in(config, "MaxArraySize")
    tightest = min(found, key=lambda each: each.limit - each.used, default=None)
    if tightest is None:
        return Limits(max_array_size=size)
    limit, used, source = tightest
    return Limits(max_array_size=size, max_jobs=limit, queued=used, source=source)


def _of_all_users(scheduler: Scheduler, config: str, trials: int) -> list[Submitted]:
    """MaxJobCount, of all users together: asked about only where these trials were more than half of it.

    Beyond it sbatch sleeps and tries again, for minutes (seen with 22.05.8; array tasks count singly).
    """
    most = _number_in(config, "MaxJobCount")
    if most is None or trials <= most // 2:
        return []
    return [Submitted(most - 1, _count(scheduler), "MaxJobCount, of all users together")]


def _number_in(config: str, name: str) -> int | None:
    found = re.search(rf"^{name}\s*= ([0-9]+)$", config, re.MULTILINE)
    return int(found[1]) if found else None


def _count(scheduler: Scheduler, *whose: str) -> int:
    """The jobs in the queue, every task of an array singly; 0 where squeue does not say."""
    return len(_ask(scheduler, "squeue", *whose, "--array", "--noheader", "--format=%i").splitlines())


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a user whom no directory knows
        return str(os.getuid())


def _ask(scheduler: Scheduler, *argv: str) -> str:
    """What a command prints, "" where it fails or is silent."""
    try:
        done = scheduler.run(*argv, timeout=ANSWER_TIMEOUT)
    except HpcSubmitError:
        return ""
    return done.stdout if done.code == 0 else ""


# --- what `scontrol show assoc_mgr` prints (Slurm 22.05) --------------------------


def submitted(printed: str, uid: int, account: str, qos: str) -> Iterator[Submitted]:
    """Read the limits of submitted jobs that hold for a user, each with what Slurm counts against it.

    printed: by `scontrol show assoc_mgr flags=assoc,qos`. slurmctld counts here what it refuses by; sacctmgr
    knows the limits alone, and not the jobs that others have in a shared account.
    account: "" for the user's default. A limit of the QOS takes the place of those of user and accounts
    (Slurm's resource_limits.html; seen with 22.05.8).
    """
    blocks = re.split(r"^(?=ClusterName=|QOS=)", printed, flags=re.MULTILINE)
    associations = [block for block in blocks if block.startswith("ClusterName=")]
    quality = next((block for block in blocks if block.startswith(f"QOS={qos}(")), "")
    mine = _association_of(associations, uid, account)
    if not mine:
        return
    chain = [mine, *_accounts_above(associations, _value(mine, "Account"))]
    own = _of_user(quality, uid, qos) or _pair(mine, "MaxSubmitJobs", _value(mine, "Account"))
    yield from own
    group = _pair(quality, "GrpSubmitJobs", qos, "QOS")
    yield from group or [
        pair for block in chain for pair in _pair(block, "GrpSubmitJobs", _value(block, "Account"))
    ]


def _association_of(associations: list[str], uid: int, account: str) -> str:
    """The user's association with an account, "" without one; those of single partitions are left out."""
    mine = [a for a in associations if re.search(rf" UserName=\S*\({uid}\) Partition= ", a)]
    wanted = f" Account={account} " if account else " DefAssoc=Yes"
    return next((a for a in mine if wanted in a), "")


def _accounts_above(associations: list[str], account: str) -> Iterator[str]:
    """The records of an account and of those above it; each is there once, since it is a tree."""
    of_accounts = {_value(a, "Account"): a for a in associations if " UserName= " in a}
    while account in of_accounts:
        block = of_accounts.pop(account)
        yield block
        account = _value(block, "ParentAccount").partition("(")[0]


def _of_user(quality: str, uid: int, qos: str) -> list[Submitted]:
    """The QOS's limit for each user: shown once the user has had a job in it."""
    users = re.search(rf"^ +User Limits$.*?^ +{uid}$(.*?)^ +(?:[0-9]+$|\Z)", f"{quality}\n ", re.S | re.M)
    return _pair(users[1], "MaxSubmitJobsPU", qos, "QOS") if users else []


def _pair(block: str, name: str, of: str, what: str = "account") -> list[Submitted]:
    """`NAME=40(7)`: 40 allowed, 7 there; `N(7)` is no limit."""
    found = re.search(rf"\b{name}=([0-9]+)\(([0-9]+)\)", block)
    return [Submitted(int(found[1]), int(found[2]), f"{name} of {what} {of}")] if found else []


def _value(block: str, name: str) -> str:
    found = re.search(rf"\b{name}=(\S*)", block)
    return found[1] if found else ""
