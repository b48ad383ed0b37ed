"""What Slurm takes here: the profile's word, else the answers of programs that behave as Slurm's."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from hpcsubmit.array import Limits
from hpcsubmit.host import Host
from hpcsubmit.limits import FEW, limits_here, submitted
from hpcsubmit.profile import Profile
from hpcsubmit.scheduler import Scheduler, scheduler_for

RECORDED = Path(__file__).parents[1] / "recorded"
COUNTED = (RECORDED / "assoc-mgr-22.05.8.txt").read_text()
CONFIG = (RECORDED / "scontrol-config-22.05.8.txt").read_text()
RESEARCHER = 1001
MANY = FEW + 1


class Slurm:
    """scontrol and squeue on a PATH of their own, with the recorded answers; they note the questions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(exist_ok=True)
        mine = COUNTED.replace(f"({RESEARCHER})", f"({os.getuid()})")
        self.says(counted=re.sub(rf"^( +){RESEARCHER}$", rf"\g<1>{os.getuid()}", mine, flags=re.M))
        self.says(config=CONFIG, queue=(RECORDED / "squeue-array-22.05.8.txt").read_text())
        self.is_program("scontrol", 'case "$*" in *config) cat config;; *) cat counted;; esac')
        self.is_program("squeue", "cat queue")
        environ = {"PATH": f"{folder}:/usr/bin:/bin"}
        self.scheduler = Scheduler(host=Host(environ=environ), environ=environ)

    def says(self, **answers: str) -> None:
        for name, text in answers.items():
            (self.folder / name).write_text(text)

    def is_program(self, name: str, script: str) -> None:
        path = self.folder / name
        path.write_text(f'#!/bin/sh\ncd "${{0%/*}}"\necho "{name} $*" >>asked\n{script}\n')
        path.chmod(0o755)

    def limits(self, trials: int = MANY, account: str = "", **fields: Any) -> Limits:
        profile = Profile(name="fir", **fields)
        return limits_here(profile, self.scheduler, trials, account=account)

    def asked(self) -> list[str]:
        path = self.folder / "asked"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def slurm(tmp_path: Path) -> Slurm:
    return Slurm(tmp_path / "slurm")


def test_for_a_few_trials_nobody_is_asked(slurm: Slurm) -> None:
    assert slurm.limits(FEW) == Limits()
    assert slurm.limits(FEW, max_array_size=30, max_jobs=1000) == Limits(max_array_size=30)
    assert slurm.asked() == []


def test_slurm_tells_the_size_of_arrays_and_the_tightest_limit_in_two_answers(slurm: Slurm) -> None:
    assert slurm.limits() == Limits(
        max_array_size=10001, max_jobs=50, queued=7, source="MaxSubmitJobsPU of QOS normal"
    )
    first, second = slurm.asked()
    assert first == "scontrol show config"
    assert re.fullmatch(r"scontrol show assoc_mgr users=\S+ flags=assoc,qos", second)


def test_what_the_profile_says_is_not_asked(slurm: Slurm) -> None:
    found = slurm.limits(max_array_size=101, max_jobs=1000)
    assert found == Limits(
        max_array_size=101, max_jobs=1000, queued=7, source="max_jobs of the profile 'fir'"
    )
    assert slurm.asked() == ["squeue --me --array --noheader --format=%i"]


def test_a_small_limit_of_the_profile_counts_for_a_few_trials_too(slurm: Slurm) -> None:
    assert slurm.limits(5, max_array_size=101, max_jobs=9).max_jobs == 9
    assert len(slurm.asked()) == 1


def test_the_jobs_of_everybody_count_where_the_trials_fill_slurms_own_table(slurm: Slurm) -> None:
    slurm.says(counted="", config=CONFIG.replace("= 50000", "= 10000"))
    assert slurm.limits(5000).max_jobs is None
    found = slurm.limits(5001)
    assert (found.max_jobs, found.queued, found.source) == (
        9999,
        7,
        "MaxJobCount, of all users together",
    )
    assert slurm.asked()[-1] == "squeue --array --noheader --format=%i"


@pytest.mark.parametrize(
    "script", ["exit 1", "echo 'slurm_load_ctl_conf error: Unable to contact slurm controller'; exit 1", ":"]
)
def test_a_slurm_that_does_not_say_is_no_error(slurm: Slurm, script: str) -> None:
    slurm.is_program("scontrol", script)
    slurm.is_program("squeue", script)
    assert slurm.limits() == Limits()
    assert slurm.limits(max_jobs=1000) == Limits(max_jobs=1000, source="max_jobs of the profile 'fir'")


def test_missing_commands_are_no_error(tmp_path: Path) -> None:
    environ = {"PATH": str(tmp_path)}
    scheduler = Scheduler(host=Host(environ=environ), environ=environ)
    assert limits_here(Profile(name="fir"), scheduler, MANY) == Limits()


def test_the_embedded_cluster_is_not_asked(slurm: Slurm) -> None:
    local = scheduler_for("local", slurm.scheduler.host)
    assert limits_here(Profile(name="local", scheduler="local"), local, 10_000) == Limits()
    assert slurm.asked() == []


def test_a_site_without_arrays_is_told_from_one_that_does_not_say(slurm: Slurm) -> None:
    slurm.says(config=CONFIG.replace("= 10001", "= 0"))
    assert slurm.limits().max_array_size == 0


def found_in(text: str, account: str = "", qos: str = "normal") -> list[tuple[int, int, str]]:
    return [(each.limit, each.used, each.source) for each in submitted(text, RESEARCHER, account, qos)]


GROUPS = [
    (60, 7, "GrpSubmitJobs of account def-fwood"),
    (500, 7, "GrpSubmitJobs of account def-fwood"),
]


def test_a_limit_of_the_qos_takes_the_place_of_the_users() -> None:
    assert found_in(COUNTED) == [(50, 7, "MaxSubmitJobsPU of QOS normal"), *GROUPS]
    assert found_in(COUNTED, "def-fwood") == found_in(COUNTED)
    users = (40, 7, "MaxSubmitJobs of account def-fwood")
    assert found_in(COUNTED, qos="small") == [users, *GROUPS]
    assert found_in(COUNTED.replace("MaxSubmitJobsPU=50", "MaxSubmitJobsPU=N")) == [users, *GROUPS]
    assert found_in(COUNTED.replace("GrpSubmitJobs=N(7) GrpWall=N(36.47)", "GrpSubmitJobs=90(8)")) == [
        (50, 7, "MaxSubmitJobsPU of QOS normal"),
        (90, 8, "GrpSubmitJobs of QOS normal"),
    ]


def test_the_limits_are_those_of_the_account_of_the_jobs() -> None:
    assert found_in(COUNTED, "rrg-kevinlb", "small") == []
    assert found_in(COUNTED, "no-such") == []


def test_the_limits_of_others_are_not_the_users() -> None:
    others = COUNTED.replace(f"researcher({RESEARCHER})", "researcher2(1002)")
    assert found_in(others) == []
    listed = re.sub(rf"^( +){RESEARCHER}$", r"\g<1>1002", COUNTED, flags=re.M)
    assert found_in(listed)[0] == (40, 7, "MaxSubmitJobs of account def-fwood")


def test_accounts_above_the_users_count_too() -> None:
    root = COUNTED.replace("GrpSubmitJobs=N(7) GrpWall=N(36.37)", "GrpSubmitJobs=20(9)")
    assert found_in(root)[-1] == (20, 9, "GrpSubmitJobs of account root")


def test_without_limits_nothing_is_found() -> None:
    none = re.sub(r"(Submit\w+)=\d+\(", r"\1=N(", COUNTED)
    assert found_in(none) == []
