"""The command line: its spellings, its mistakes, and what is asked for before it can be done."""

import itertools
from collections.abc import Sequence

import pytest

from hpcsubmit.cli.commands import COMMANDS
from hpcsubmit.cli.options import spread
from sandbox import Sandbox


def directives(sandbox: Sandbox, *argv: str) -> dict[str, str]:
    """The directives of the script that the stand-in for sbatch got."""
    said = sandbox.hpcsubmit(*argv)
    assert said.code == 0, said
    lines = (sandbox.root / "submitted.sh").read_text("utf-8").splitlines()
    words = [
        line.removeprefix("#SBATCH --").partition("=") for line in lines if line.startswith("#SBATCH --")
    ]
    return {name: value for name, _, value in words}


WRONG_USAGE = {
    # command line: (error, hint)
    "gpus 2": ("hpcsubmit gpus does not know '2'", "did you mean hpcsubmit --gpus 2?"),
    "gpu": ("there is no command 'gpu'", "did you mean gpus?"),
    "num-nodes 2": ("there is no command 'num-nodes'", "did you mean --num-nodes?"),
    "statsu": ("there is no command 'statsu'", "did you mean status?"),
    "-g 2 gpus": ("'gpus' belongs to no option", "did you mean --gpus? a value stands behind its option"),
    "--cluster local sweep run --offline": (
        "the command 'sweep' stands behind options",
        "write hpcsubmit sweep run --offline, and behind it what it takes of --cluster local",
    ),
    "-y status": (
        "the command 'status' stands behind options",
        "write hpcsubmit status, and behind it what it takes of -y",
    ),
    "-e status --gpu 2": ("there is no option --gpu", "did you mean --gpus?"),
    "-g 2 exp-name": (
        "'exp-name' belongs to no option",
        "did you mean --exp-name? a value stands behind its option",
    ),
    "submit partition": (
        "'partition' belongs to no option",
        "did you mean --partition? a value stands behind its option",
    ),
    "-- mem": ("'mem' belongs to no option", "did you mean --mem? a value stands behind its option"),
    "--gpu 2": ("there is no option --gpu", "did you mean --gpus?"),
    "--tim 1": ("there is no option --tim", "did you mean --time?"),
    "--dry": ("there is no option --dry", "did you mean --dry-run?"),
    "--num-node 2": ("there is no option --num-node", "did you mean --num-nodes?"),
    "--seed 3": ("there is no option --seed", "did you mean "),
    "--hlep": ("there is no option --hlep", "did you mean --help?"),
    "cancel --jsn 3": ("there is no option --jsn", "did you mean "),
    "runs --jsno": ("there is no option --jsno", "did you mean --json?"),
    "-g": ("-g has no value", "write -g INTEGER: GPUs per node"),
    "--gpus": ("--gpus has no value", "write --gpus INTEGER: GPUs per node"),
    "-y --cpu": ("--cpu has no value", "write --cpu INTEGER: CPU cores per node"),
    "--time": ("--time has no value", "write --time DD-HH:MM:SS: How long the job may run"),
    "-d": ("-d has no value", "write -d PATH..."),
    "--yes=3": ("--yes takes no value", "write --yes alone"),
    "-a -g 2": ("--account has no value: '-g' is an option", "write --account=NAME"),
    "--account=": ("--account cannot be ''", "use letters, digits, . _ - and +"),
    "--parsable --follow": (
        "--parsable and --follow exclude each other",
        "with --follow, stdout is the job's output",
    ),
    "--mem 1G -m 1G": ("--mem and --mem-per-gpu exclude each other", "give one of them"),
    "-W tochrun": ("--which-distributed cannot be 'tochrun'", "did you mean torchrun?"),
    "-W rank": ("--which-distributed cannot be 'rank'", "did you mean ranks?"),
    "--sbatch-arg=--nodes=2": (
        "--sbatch-arg --nodes=2 is set by hpcsubmit itself",
        "use hpcsubmit's own --num-nodes",
    ),
    "--sbatch-arg=-N2": ("--sbatch-arg -N2 is set by hpcsubmit itself", "use hpcsubmit's own --num-nodes"),
    "--sbatch-arg=--export=ALL": ("--sbatch-arg --export=ALL is set by hpcsubmit itself", "leave it out"),
    "--sbatch-arg=--dependency=afterok:3": (
        "--sbatch-arg --dependency=afterok:3 is set by hpcsubmit itself",
        "",
    ),
    "--sbatch-arg=qos": (
        "--sbatch-arg takes one long option of sbatch, not 'qos'",
        "write --sbatch-arg=--name=value",
    ),
    "runs shw 3": ("hpcsubmit runs does not know 'shw 3'", "write hpcsubmit runs, or runs show RUN"),
    "runs show": ("hpcsubmit runs does not know 'show'", "write hpcsubmit runs, or runs show RUN"),
    "clusters shw plai": (
        "hpcsubmit clusters does not know 'shw plai'",
        "write hpcsubmit clusters, or clusters show NAME",
    ),
    "status abc": ("'abc' is neither a job id nor a run id", "give a job id such as 4242 or a run id"),
    "cancel": ("missing argument 'RUN|JOB...'", "see hpcsubmit cancel --help"),
}


def test_wrong_usage_ends_with_code_2_and_names_the_cure(sandbox: Sandbox) -> None:
    for line, (error, hint) in WRONG_USAGE.items():
        said = sandbox.refuses(*line.split(), code=2)
        assert said.error.startswith(error), line
        assert hint in said.hint, line


IMPOSSIBLE = {
    "--gpus": (["0", "-1", "two", "1.5", "1e3", "1000001", "٣", ""], "write --gpus 2, say"),
    "--cpus": (["0", "99999999999999999999"], "write --cpus 2, say"),
    "--num-nodes": (["0", "1-2"], "write --num-nodes 2, say"),
    "--time": (["1h", "0", "00:00", "1:2:3:4", "1-25", "99999-00", ""], "write days-hours:minutes:seconds"),
    "--mem": (["1", "0G", "1T", "G", "-1G"], "write 10G or 10000M"),
    "--mem-per-gpu": (["10GiB", "10 gb"], "write 10G"),
    "--exp-name": (["a b", "a/b", ".a", "-a", "a\nb", "a\\b", "é", "..", "a;b", "x" * 201], "use"),
    "--gpu-type": (["v 100", "a:b\n"], "use letters"),
    "--cluster": (["../plai", ""], "use letters"),
    "--partition": (["a;b"], "use letters"),
    "--num-sweeps": (["0", "all"], "write --num-sweeps 2, say"),
    "--wandb-sweepid": (["a/b", "SWEEP_ID", ""], "write"),
}


def test_a_value_that_can_never_be_right_is_wrong_usage(sandbox: Sandbox) -> None:
    for option, (values, hint) in IMPOSSIBLE.items():
        for value in values[:: max(1, len(values) // 3)]:
            said = sandbox.refuses(f"{option}={value}", code=2)
            assert hint in said.hint, (option, value)


SAME = {
    "account": ["-a x", "--account x", "--account=x"],
    "gres": ["-g 3", "-g3", "--gpus 3", "--gpus=3"],
    "cpus-per-task": ["-c 7", "--cpus 7", "--cpu 7", "--cpu=7", "--cpus=7"],
    "time": ["-t 90", "--time 90", "--time=90", "-t 1:30:00", "-t 0-1:30"],
    "mem-per-gpu": ["-m 5G", "--mem-per-gpu 5G", "--mem_per_gpu 5G", "--mem_per_gpu=5G", "--mem-per-gpu=5G"],
    "mem": ["--mem 5G", "--mem=5G"],
    "nodes": ["-n 3", "-N 3", "--num-nodes 3", "--num_nodes 3", "--nodes 3", "--nodes=3", "--num_nodes=3"],
    "partition": ["-p x", "--partition x", "--partition=x"],
    "job-name": ["-e x", "--exp-name x", "--exp_name x", "--exp_name=x", "--exp-name=x"],
    "qos": ["--sbatch-arg --qos=high", "--sbatch-arg=--qos=high"],
}
EXPECTED = {
    "account": "x", "gres": "gpu:3", "cpus-per-task": "7", "time": "00-01:30:00", "mem-per-gpu": "5G",
    "mem": "5G", "nodes": "3", "partition": "x", "job-name": "standard-gan-x", "qos": "high",
}  # fmt: skip


def spellings() -> list[str]:
    """Command lines in each of which every option has another of its spellings."""
    # --mem and --mem-per-gpu exclude each other; -g and -n make another kind of job, with other names.
    groups = [("mem-per-gpu", "account", "cpus-per-task", "time", "partition", "job-name", "qos"), ("mem",)]
    rows = [itertools.zip_longest(*(SAME[name] for name in group)) for group in groups]
    return [" ".join(word for word in row if word) for row in itertools.chain(*rows)]


@pytest.mark.parametrize("line", spellings())
def test_all_spellings_of_an_option_mean_the_same(sandbox: Sandbox, line: str) -> None:
    found = directives(sandbox, *line.split())
    named = {name for name, ways in SAME.items() if any(way in line for way in ways)}
    assert {name: found[name] for name in named} == {name: EXPECTED[name] for name in named}


@pytest.mark.parametrize("option", ["gres", "nodes"])
def test_all_spellings_of_a_count_mean_the_same(sandbox: Sandbox, option: str) -> None:
    for line in SAME[option]:
        assert directives(sandbox, *line.split())[option] == EXPECTED[option], line


def test_the_launcher_and_the_gpu_type_have_their_spellings(sandbox: Sandbox) -> None:
    for line in (
        "-W script -G v100",
        "-Wtorchrun -Gv100",
        "--which-distributed torchrun --gpu-type v100",
        "--which-distributed=script --gpu-type=v100",
        "--which_distributed=script --gpu_type=v100",
    ):
        found = directives(sandbox, *line.split())
        assert (found["job-name"], found["gres"]) == ("torchrun_dist-gan", "gpu:v100:1"), line


@pytest.mark.parametrize("launcher", ["lightning", "torchrun", "accelerate", "srun", "pmi", "ranks"])
def test_every_launcher_is_asked_for_by_its_name(sandbox: Sandbox, launcher: str) -> None:
    sandbox.install("srun", "#!/bin/sh\nprintf 'MPI plugin types are...\\n\\tnone\\n\\tpmi2\\n'\n")
    found = directives(sandbox, "-W", launcher, "-g", "2")
    tasks = "2" if launcher in ("lightning", "srun", "pmi") else "1"
    assert (found["job-name"], found["ntasks-per-node"]) == (f"{launcher}_dist-gan", tasks)
    assert found["output"].endswith(f"/{launcher}_%j.out")


def test_of_a_repeated_option_the_last_counts(sandbox: Sandbox) -> None:
    found = directives(sandbox, "-g2", "--gpus", "3", "-g1", "--time", "5", "--time=7", "-ea", "-eb")
    assert (found["gres"], found["time"], found["job-name"]) == ("gpu:1", "00-00:07:00", "standard-gan-b")


def test_sbatch_args_are_all_kept(sandbox: Sandbox) -> None:
    found = directives(
        sandbox, "--sbatch-arg=--qos=a b", "--sbatch-arg", "--requeue", "--sbatch-arg=--nice=5"
    )
    assert (found["qos"], found["requeue"], found["nice"]) == ('"a b"', "", "5")


def test_submit_is_the_same_as_no_subcommand(sandbox: Sandbox) -> None:
    first = sandbox.hpcsubmit("--dry-run", "-g", "2")
    second = sandbox.hpcsubmit("submit", "--dry-run", "-g", "2")
    made_by = "# Made in "
    assert [ln for ln in first.stdout.splitlines() if made_by not in ln] == [
        ln for ln in second.stdout.splitlines() if made_by not in ln
    ]


def test_a_mistake_behind_greedy_data_is_still_found(sandbox: Sandbox) -> None:
    assert sandbox.refuses("-d", "a", "b", "--gpu", "2", code=2).error == "there is no option --gpu"


@pytest.mark.parametrize(
    ("given", "spreads_to"),
    [
        ("-d a b -g 2", "-d a -d b -g 2"),
        ("--data=a b c", "--data=a --data b --data c"),
        ("-d a -g 2 -d b c", "-d a -g 2 -d b -d c"),
        ("-g 2 -d", "-g 2 -d"),
        ("-d -g 2", "-d -g 2"),
        ("-g 2 stray", "-g 2 stray"),
    ],
)
def test_data_takes_every_word_up_to_the_next_option(given: str, spreads_to: str) -> None:
    assert spread(given.split(), ("-d", "--data")) == spreads_to.split()


def test_the_help_names_what_works_and_nothing_else(sandbox: Sandbox) -> None:
    said = sandbox.hpcsubmit("--help")
    assert (said.code, said.stderr) == (0, "")
    for option in (
        "--gpus",
        "--num-nodes",
        "--cluster",
        "--dry-run",
        "--sbatch-arg",
        "--follow",
        "--data",
        "--collect",
        "--singularity-container",
        "--workdir",
        "--conda-env",
        "--wandb-sweepid",
        "--num-sweeps",
        "--repeat",
        "--version",
    ):
        assert option in said.stdout
    assert "--seed " not in said.stdout, "a seed belongs to the experiment"
    shown = said.stdout
    for name in ("experiment_configurations", "HPCSUBMIT_CLUSTER", "SLURM_TMPDIR"):
        shown = shown.replace(name, "")
    assert "_" not in shown
    for command in COMMANDS:
        assert f"  {command} " in said.stdout


@pytest.mark.parametrize("argv", [(), ("status",), ("cancel",), ("runs",), ("clusters",), ("submit",)])
def test_every_command_has_help_by_both_spellings(sandbox: Sandbox, argv: Sequence[str]) -> None:
    said = sandbox.hpcsubmit(*argv, "-h")
    assert said.code == 0
    assert said.stdout.startswith("Usage: hpcsubmit")
    assert said.stdout == sandbox.hpcsubmit(*argv, "--help").stdout


def test_the_version_is_one_line_on_stdout(sandbox: Sandbox) -> None:
    said = sandbox.hpcsubmit("--version")
    assert (said.code, said.stdout.split()[0], said.stderr) == (0, "hpcsubmit", "")


@pytest.mark.parametrize(
    "text",
    ["--tim=9", "--gre=gpu:8", "--arra=1-5", "--tasks-per-node=3", "--workdir=/x", "--open-mode=truncate"],
)
def test_abbreviations_and_aliases_of_what_hpcsubmit_sets_are_refused(sandbox: Sandbox, text: str) -> None:
    said = sandbox.refuses(f"--sbatch-arg={text}", code=2)
    assert said.error == f"--sbatch-arg {text} is set by hpcsubmit itself"


@pytest.mark.parametrize("text", ["--parsable", "--wait", "--quiet", "--test-only"])
def test_what_changes_sbatchs_answer_is_refused(sandbox: Sandbox, text: str) -> None:
    assert sandbox.refuses(f"--sbatch-arg={text}", code=2).hint
