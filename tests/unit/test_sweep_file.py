"""Sweep files: wandb's format with short forms and subtests, and what such a file can be used for."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import hpcsubmit
from hpcsubmit import trial
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.request import AUTO
from hpcsubmit.sweep_file.parameter import NEEDED
from hpcsubmit.sweep_file.reading import check_flags, check_offline, read_sweep_file
from sweep_files import COMPOSITE, HEAD, RANDOM, Write

SHIPPED = Path(__file__).parents[2] / "sweeper.yml"
A = "parameters: {a: 1}"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    return Write(tmp_path / "sweeper.yml")


# ---- What a file says


def test_the_shipped_file_is_eight_trials_and_raises_no_doubt() -> None:
    (file,) = read_sweep_file(SHIPPED)
    assert (file.combinations, file.warnings, file.method) == (8, (), "grid")
    assert (SHIPPED.parent / file.program).is_file()
    assert file.metric == {"name": "accuracy", "goal": "maximize"}
    check_offline(file)
    spec = {**file.as_spec(), "trials": 8, "seeds": []}
    assert len({json.dumps(trial.parameters(spec, number)) for number in range(1, 9)}) == 8
    assert trial.words(spec, 8, {"OUTPUT_DIR": "/o"}) == [
        "/usr/bin/env",
        "python",
        "examples/digits/lightning_digits.py",
        "--lr=0.003",
        "--batch_size=32",
        "--hidden=128",
        "--epochs=15",
        "--output_dir=/o",
    ]


def test_a_list_is_values_and_anything_else_a_value(write: Write) -> None:
    file = write.one(
        """\
        parameters:
          lr: [0.001, 0.003]
          name: adam
          flag: true
          sizes: {value: [1, 2]}
          optim:
            parameters:
              lr: [1, 2, 3]
              decay: 0
        """
    )
    assert dict(file.parameters) == {
        "lr": {"values": [0.001, 0.003]},
        "name": {"value": "adam"},
        "flag": {"value": True},
        "sizes": {"value": [1, 2]},
        "optim": {"parameters": {"lr": {"values": [1, 2, 3]}, "decay": {"value": 0}}},
    }
    assert file.combinations == 6
    assert file.config["parameters"] == dict(file.parameters)
    assert [".".join(names) for names in file.names] == [
        "lr",
        "name",
        "flag",
        "sizes",
        "optim.lr",
        "optim.decay",
    ]


def test_the_server_is_told_the_file_without_what_is_hpcsubmit_s(write: Write) -> None:
    file = write.one(
        """\
        name: digits
        entity: plai
        project: gan
        run_cap: 3
        _seed: 7
        _tags: [a, b]
        _num_nodes: 2
        description: text
        early_terminate: {type: hyperband, min_iter: 3}
        parameters: {lr: [1, 2], _num_agents: 4}
        """
    )
    assert file.config == {
        "program": "train.py",
        "method": "grid",
        "name": "digits",
        "entity": "plai",
        "project": "gan",
        "run_cap": 3,
        "description": "text",
        "early_terminate": {"type": "hyperband", "min_iter": 3},
        "parameters": {"lr": {"values": [1, 2]}},
    }
    assert (file.entity, file.project, file.tags, file.workers) == ("plai", "gan", ("a", "b"), 4)
    spec = file.as_spec()
    assert spec["random_seed"] == 7
    assert spec["tags"] == ["a", "b"]
    assert spec["file"] == str(write.path)
    assert json.loads(json.dumps(spec)) == spec


@pytest.mark.parametrize(
    ("text", "head", "expected"),
    [
        ("parameters: {a: [1, 2], b: [1, 2, 3]}", HEAD, 6),
        ("run_cap: 4\nparameters: {a: [1, 2], b: [1, 2, 3]}", HEAD, 4),
        ("run_cap: 9\nparameters: {a: [1, 2], b: [1, 2, 3]}", HEAD, 6),
        ("parameters: {a: {min: 1, max: 10}}", HEAD, 10),
        ("parameters: {a: {min: 0, max: 1}}", RANDOM, None),
        ("run_cap: 20\nparameters: {a: {min: 0, max: 1}}", RANDOM, 20),
    ],
)
def test_the_number_of_trials_is_known_or_has_no_end(
    text: str, head: str, expected: int | None, write: Write
) -> None:
    assert write.one(text, head).combinations == expected


def test_a_grid_of_100_000_combinations_is_checked_and_counted_without_expanding_it(write: Write) -> None:
    values = ", ".join(str(number / 7) for number in range(10))
    write.path.write_text(
        HEAD + "parameters:\n" + "".join(f"  p{n}: [{values}]\n" for n in range(5)), "utf-8"
    )
    calls, ours = 0, str(Path(hpcsubmit.__file__).parent)

    def count(frame: Any, event: str, _: Any) -> None:
        nonlocal calls
        calls += event == "call" and frame.f_code.co_filename.startswith(ours)

    sys.setprofile(count)
    try:
        (file,) = read_sweep_file(write.path)
        assert file.combinations == 100_000
    finally:
        sys.setprofile(None)
    assert calls <= 400


# ---- Subtests


def test_each_subtest_is_a_sweep_with_the_shared_parameters_and_its_own(write: Write) -> None:
    base, adam, plain = write.all(COMPOSITE)
    assert (base.name, base.tags, base.workers, base.combinations) == ("base,small", ("base", "small"), 2, 4)
    assert dict(base.parameters)["hidden"] == {"values": [16, 32]}
    assert (adam.name, adam.tags, adam.workers, adam.combinations) == ("adam", ("adam",), 4, 1)
    assert dict(adam.parameters) == {"epochs": {"value": 15}, "lr": {"value": 0.001}}
    assert (plain.tags, plain.combinations) == (("as it is",), 2)
    assert adam.config == {
        "program": "train.py",
        "method": "grid",
        "name": "adam",
        "parameters": {"epochs": {"value": 15}, "lr": {"value": 0.001}},
    }


def test_a_name_and_tags_of_the_file_go_before_those_of_a_subtest(write: Write) -> None:
    base, *_ = write.all("name: digits\n_tags: all\n" + COMPOSITE)
    assert (base.name, base.tags) == ("digits-base,small", ("all", "base", "small"))


def test_a_program_s_own_parameter_may_be_called_subtests(write: Write) -> None:
    assert write.one("parameters: {subtests: {values: [1, 2]}}").combinations == 2
    assert write.one("parameters: {subtests: [1, 2, 3]}").combinations == 3


# ---- What wandb would not do as it looks


def test_a_command_of_its_own_needs_no_program(write: Write) -> None:
    file = write.one("method: grid\ncommand: [python, t.py, 3, '${args}']\nparameters: {a: 1}", "")
    assert (file.program, file.command, file.warnings) == ("", ("python", "t.py", "3", "${args}"), ())


@pytest.mark.parametrize(
    ("word", "warning"),
    [
        ("${nope}", "is ${nope}, which wandb does not know and leaves out; did you mean "),
        (
            "${scratch_dir}",
            "is ${scratch_dir}, which wandb does not know and leaves out; write ${envvar:SCRATCH_DIR}",
        ),
        (
            "--d=$SLURM_TMPDIR/x",
            "has $SLURM_TMPDIR, which reaches the program as it is; wandb fills in ${envvar:SLURM",
        ),
        ("--d=${HOME}/x", "has ${HOME}, which reaches the program as it is; wandb fills in ${envvar:NAME}"),
        (
            "--all=${args}",
            "has ${args} inside a longer word, where wandb does not fill it in; make it a word",
        ),
    ],
)
def test_words_that_wandb_does_not_fill_in_are_warned_of(word: str, warning: str, write: Write) -> None:
    file = write.one(A + f"\ncommand:\n- x\n- '${{args}}'\n- '{word}'")
    (found,) = file.warnings
    assert found.startswith(f"{write.path}, line 7: command[2] {warning}")


def test_words_that_wandb_fills_in_or_that_only_look_alike_are_not_warned_of(write: Write) -> None:
    words = ["${env}", "${args_json_file}", "--d=${envvar:OUTPUT_DIR}/x", "cost: 5$", "$", "{seed}", "$(x)"]
    assert write.one(A + f"\ncommand: {json.dumps(words)}").warnings == ()


def test_exponents_that_look_like_values_are_warned_of(write: Write) -> None:
    text = "parameters:\n  g:\n    parameters:\n      lr: {distribution: log_uniform, min: 1.0e-5, max: 0.1}"
    (found,) = write.one(text, RANDOM).warnings
    assert found == (
        f"{write.path}, line 6: parameters.g.parameters.lr is drawn from 1 to 1.11: min and max are "
        "exponents of e; log_uniform_values takes values"
    )
    assert write.one(text.replace("1.0e-5", "-9"), RANDOM).warnings == ()


def test_parts_of_a_file_may_be_shared_by_yaml_s_own_means(write: Write) -> None:
    file = write.one(
        """\
        description: &rates [0.1, 0.2]
        parameters:
          a: &a {parameters: {lr: *rates, n: 1}}
          b: {parameters: {<<: {lr: *rates, n: 2}, n: 3}}
          c: *a
        """
    )
    assert file.combinations == 8
    assert dict(file.parameters)["b"] == {"parameters": {"lr": {"values": [0.1, 0.2]}, "n": {"value": 3}}}


def test_a_name_that_wandb_s_server_complains_of_is_warned_of(write: Write) -> None:
    (found,) = write.one("parameters:\n  a.b-c: 1\n  data/set: 2").warnings
    assert found.startswith(f"{write.path}, line 5: parameters.data/set is a name that wandb warns of")


# ---- What a file can be used for


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            "method: bayes\nmetric: {name: a}\nparameters: {a: [1]}",
            "line 2: method is bayes, which chooses each trial by the results of others",
            "use grid or random, or leave out --offline",
        ),
        (
            "method: grid\nearly_terminate: {type: hyperband, min_iter: 3}\nparameters: {a: [1]}",
            "line 3: early_terminate is done by a wandb server",
            "take it out of the file, or leave out --offline",
        ),
        (
            "method: random\nparameters: {a: [1]}",
            "line 2: method is random, which has no end without a server",
            "say how many trials: run_cap: 20, or --num-sweeps 20",
        ),
        (
            "method: random\nrun_cap: 3\nparameters:\n  subtests:\n    x:\n      a: {distribution: beta}",
            "line 7: parameters.subtests.x.a has the distribution beta, which a wandb server alone draws",
            "use uniform or normal, or leave out --offline",
        ),
    ],
)
def test_what_needs_a_server_is_refused_without_one(text: str, message: str, hint: str, write: Write) -> None:
    file = write.one(text, "program: t.py\n")
    with pytest.raises(HpcSubmitError) as caught:
        check_offline(file)
    assert caught.value.message.startswith(f"{write.path}, {message}")
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        ("method: bayes\nmetric: {name: a}\nparameters: {a: [1]}", "use grid or random"),
        (
            "method: grid\nearly_terminate: {type: hyperband, min_iter: 3}\nparameters: {a: [1]}",
            "take it out of the file",
        ),
        ("method: random\nrun_cap: 3\nparameters: {a: {distribution: beta}}", "use uniform or normal"),
    ],
)
def test_where_no_node_reaches_the_server_the_cure_is_in_the_file(text: str, cure: str, write: Write) -> None:
    file = write.one(text, "program: t.py\n")
    with pytest.raises(HpcSubmitError) as caught:
        check_offline(file, cut_off="fir")
    reason = "the nodes of 'fir' do not reach wandb's server (wandb: offline in its profile)"
    assert caught.value.hint == f"{cure}: {reason}"


def test_a_number_of_trials_is_the_end_of_a_random_sweep(write: Write) -> None:
    file = write.one("parameters: {a: [1]}", RANDOM)
    check_offline(file, number=5)
    with pytest.raises(HpcSubmitError):
        check_offline(file, number=AUTO)


def test_every_distribution_that_a_file_may_have_is_drawn_offline(write: Write) -> None:
    assert set(NEEDED) - set(trial.DISTRIBUTIONS) == {"beta", "q_beta"}
    assert set(trial.DISTRIBUTIONS) <= set(NEEDED)
    ranges = {name for name, needed in NEEDED.items() if needed == ("min", "max")} & set(trial.DISTRIBUTIONS)
    lines = "".join(f"  {name}: {{distribution: {name}, min: 1, max: 2}}\n" for name in sorted(ranges))
    file = write.one("run_cap: 2\nparameters:\n" + lines, RANDOM)
    check_offline(file)
    assert set(trial.parameters({**file.as_spec(), "trials": 2, "seeds": []}, 2)) == ranges


def test_a_parameter_that_the_job_sets_itself_is_refused(write: Write) -> None:
    file = write.one("parameters:\n  lr: 1\n  gpus: [1, 2]")
    check_flags(file, ("--num_nodes", "--devices"))
    with pytest.raises(HpcSubmitError) as caught:
        check_flags(file, ("--num_nodes", "--gpus"))
    assert (
        caught.value.message
        == f"{write.path}, line 5: parameters.gpus clashes with --gpus, which the job sets"
    )
    assert caught.value.hint.startswith("take it out of the file; --trial-gpus and --trial-nodes")
