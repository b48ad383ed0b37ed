"""`hpcsubmit env`: what it says of an environment, and what goes wrong around one."""

import os
import shutil
from pathlib import Path

import pytest

from builds import environments, run, without_environment, without_uv
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.host import Host
from hpcsubmit.place import look_around
from hpcsubmit.prepare import prepare
from hpcsubmit.request import Request
from hpcsubmit.scheduler import scheduler_for
from hpcsubmit.submit import submit
from hpcsubmit.values import Walltime
from sandbox import Sandbox


@pytest.fixture
def bare(sandbox: Sandbox) -> Sandbox:
    return without_environment(sandbox)


def rows(text: str) -> list[list[str]]:
    return [line.split(None, 1) for line in text.splitlines()]


def test_it_says_what_there_is_builds_what_is_not_and_asks_nothing(bare: Sandbox) -> None:
    before = bare.tree()
    dry = run(bare, "env", "--dry-run")
    assert dry.code == 0
    assert dry.stdout.startswith("#!/bin/bash\n#SBATCH --job-name=virtualenv-creator\n")
    assert dry.stdout.endswith('if [ $# = 0 ]; then build; else build 2>&1 | tee "$1"; fi\n')
    assert bare.tree() == before
    said = rows(run(bare, "env").stdout)
    (path,) = environments(bare)
    assert f"made from    {bare.project}/requirements.txt\n" in dry.stderr
    told = ["environment", "made", "python", "state"]
    assert [row[0] for row in said] == [*told, *told, "size"], "before the build, and after it"
    assert (said[3][1], said[7][1]) == ("not built", "built")
    assert rows(dry.stderr) == said[:4]
    assert (bare.project / "virtual_env").resolve() == path
    again = run(bare, "env")
    assert rows(again.stdout) == said[4:]
    assert again.stderr == ""
    assert not (bare.root / "sbatch.argv").exists()


def test_it_packs_for_the_nodes_ahead_too(bare: Sandbox) -> None:
    assert run(bare, "env").code == 0
    (path,) = environments(bare)
    said = run(bare, "env", "--env-on-node")
    assert "built, and not packed for the nodes yet" in said.stdout
    assert path.with_name(f"{path.name}.manifest").is_file()


def test_it_says_whose_an_environment_of_the_users_own_is(sandbox: Sandbox) -> None:
    said = sandbox.hpcsubmit("env")
    assert said.code == 0
    assert "state        your own, used as it is\n" in said.stdout
    assert f"environment  {sandbox.project}/virtual_env\n" in said.stdout


def test_the_link_follows_the_list(bare: Sandbox) -> None:
    assert run(bare, "env").code == 0
    (first,) = environments(bare)
    bare.write("beta\n", bare.project / "requirements.txt")
    assert run(bare, "env").code == 0
    assert (bare.project / "virtual_env").resolve() != first
    bare.write("alpha\n", bare.project / "requirements.txt")
    assert run(bare, "env").stderr == ""
    assert (bare.project / "virtual_env").resolve() == first


def test_a_python_that_cannot_make_environments_names_what_needs_less(bare: Sandbox) -> None:
    bare.install("python3", '#!/bin/sh\nif [ "$2" = venv ]; then echo no ensurepip; exit 1; fi\necho "$0"\n')
    said = run(bare, tool=without_uv(bare))
    assert said.code == 1
    python = bare.bin / "python3"
    assert (
        f"hpcsubmit: {python} cannot make environments; pip install 'hpcsubmit[uv]' needs less\n"
        in said.stderr
    )


def test_an_environment_that_was_removed_meanwhile_is_an_error(bare: Sandbox) -> None:
    assert run(bare).code == 0
    (path,) = environments(bare)
    host = Host(environ=dict(bare.environ))
    prepared = prepare(
        Request(time=Walltime(seconds=60)),
        look_around(bare.project, host, asked=None),
        run_id="r20260131-235959-a2b3",
        command_line="hpcsubmit",
        folder=bare.project,
        host=host,
    )
    shutil.rmtree(path)
    scheduler = scheduler_for("slurm", host)
    with pytest.raises(HpcSubmitError) as caught:
        submit(prepared.plan, "", project=prepared.project, scheduler=scheduler, host=host)
    assert caught.value.message == f"the environment {path} is gone by now"
    assert caught.value.hint == "submit again: it is built anew"
    assert len((bare.root / "sbatch.argv").read_text().splitlines()) == 1


def test_a_place_that_cannot_be_written_is_an_error(bare: Sandbox) -> None:
    (bare.project / ".virtual_envs").symlink_to(Path(os.devnull))
    said = run(bare)
    assert (said.code, said.stdout) == (1, "")
    assert said.error.startswith(f"{bare.project}/.virtual_envs could not be written: ")
    assert said.hint.startswith("check the space left, ")
