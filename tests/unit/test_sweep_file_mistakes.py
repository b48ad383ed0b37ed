"""A mistake in a sweep file: the error has the file, the line and the key, and the hint the cure."""

from pathlib import Path

import pytest

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.sweep_file.reading import read_sweep_file
from sweep_files import COMPOSITE, RANDOM, Write


@pytest.fixture
def write(tmp_path: Path) -> Write:
    return Write(tmp_path / "sweeper.yml")


def test_a_mistake_in_a_subtest_names_its_own_line(write: Write) -> None:
    broken = COMPOSITE.replace("lr: 0.001", "lr: []")
    assert write.refused(broken)[0] == "line 11: parameters.subtests.adam.lr has no values"


def test_a_mistake_in_what_subtests_share_names_the_shared_line(write: Write) -> None:
    broken = COMPOSITE.replace("epochs: 15", "epochs: {min: 2, max: 1}")
    message, _ = write.refused(broken)
    assert message == "line 4: parameters.epochs.min is 2, which is not below max, 1"


A = "parameters: {a: 1}"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            "parameters:\n  lr:\n    values:\n      -0.0005\n      -0.1\n  b: 1",
            "line 5: parameters.lr.values is text, not a list",
            "put a blank behind each dash: - 0.1",
        ),
        (
            "parameters:\n  lr:\n    values:\n    -0.0005\n    - 0.1\n  b: 1",
            "line 7 is not YAML: could not find expected ':'",
            "put a blank behind the dash in line 6: - 0.0005",
        ),
        ("parameters: [1", "line 4 is not YAML: did not find expected ',' or ']'", "check its indentation, "),
        ("parameters: {a: 2024-13-01}", "is not YAML: month must be in 1..12", "check its indentation, "),
        (A + "\nparameter: 1", "line 4: parameter is no key of a sweep file", "did you mean parameters?"),
        (
            A + "\njob: 1",
            "line 4: job needs wandb's own queue or scheduler",
            "name a program, and a metric, ",
        ),
        (A + "\nname: 3", "line 4: name is not text", "write text"),
        (A + "\nproject:", "line 4: project is empty", "write text"),
        (A + "\nrun_cap: 0", "line 4: run_cap is 0", "write a whole number from 1"),
        (A + "\nrun_cap: true", "line 4: run_cap is True", "write a whole number from 1"),
        (A + "\n_seed: -1", "line 4: _seed is -1", "write a whole number from 0"),
        (A + "\n_tags: [1]", "line 4: _tags is no list of tags", "write _tags: [baseline, small]"),
        (A + "\n_num_nodes: 0", "line 4: _num_nodes is 0", "write a whole number from 1: _num_nodes: 2"),
        (A + "\nmetric: {goal: maximize}", "line 4: metric has no name", "write `name: accuracy` and "),
        (A + "\nmetric: {name: a, goal: max}", "line 4: metric.goal is 'max'", "write minimize or maximize"),
        (
            A + "\nmetric: {name: a, gaol: 1}",
            "line 4: metric.gaol is no key of a metric",
            "did you mean goal?",
        ),
        (A + "\nname: x\nname: y", "line 5: the key 'name' is in line 4 already", "keep one of the two"),
        ("", "parameters are missing", "write `NAME: [VALUE, VALUE]` for each, below parameters:"),
        ("parameters:", "line 3: parameters are empty", "write `NAME: [VALUE, VALUE]` for each"),
        (
            "parameters: {_num_nodes: 2}",
            "line 3: parameters are empty",
            "write `NAME: [VALUE, VALUE]` for each",
        ),
        (
            "parameters:\n  a:",
            "line 4: parameters.a is empty",
            "write its value or a list of values behind it",
        ),
        (
            "parameters:\n  a: {}",
            "line 4: parameters.a is empty",
            "write its value or a list of values behind it",
        ),
        ("parameters:\n  a: []", "line 4: parameters.a has no values", "give at least one value, or leave "),
        (
            "parameters:\n  a:\n    values: []",
            "line 5: parameters.a.values has no values",
            "give at least one ",
        ),
        (
            "parameters: {a: {values: 3}}",
            "line 3: parameters.a.values is a number, not a list",
            "write [3], or ",
        ),
        ("parameters: {a: [1, 2, 1]}", "line 3: parameters.a has 1 twice", "write each value once"),
        ("parameters: {a: [[1], [2], [1]]}", "line 3: parameters.a has [1] twice", "write each value once"),
        (
            "parameters: {a: {vaules: [1]}}",
            "line 3: parameters.a.vaules is no key of a parameter",
            "put the ",
        ),
        (
            "parameters: {a: {value: 1, vaules: 2}}",
            "line 3: parameters.a.vaules is no key of ",
            "did you mean va",
        ),
        (
            "parameters: {g: {lr: 0.1}}",
            "line 3: parameters.g.lr is no key of a parameter",
            "put the parameters ",
        ),
        (
            "parameters: {g: {parameters: {}}}",
            "line 3: parameters.g.parameters has no parameters",
            "write them ",
        ),
        (
            "parameters: {g: {parameters: {a: 1}, b: 2}}",
            "line 3: parameters.g.b stands beside the ",
            "move 'b' ",
        ),
        (
            "parameters: {g: {parameters: {a: []}}}",
            "line 3: parameters.g.parameters.a has no values",
            "give ",
        ),
        (
            "parameters: {on: 1}",
            "line 3: parameters.True is read as true or false, not as a name",
            "put the name",
        ),
        (
            "parameters: {_num_node: 1}",
            "line 3: parameters._num_node is no key of hpcsubmit's, ",
            "did you mean _n",
        ),
        (
            "parameters: {_num_nodes: x, a: 1}",
            "line 3: parameters._num_nodes is x",
            "write a whole number from 1",
        ),
        (
            "parameters: {_num_nodes: 1, _num_agents: 2, a: 1}",
            "line 3: parameters._num_agents is 2, but _num_nodes is 1",
            "keep one of _num_nodes and _num_agents: they mean the same",
        ),
        (
            "parameters: {a: 2024-01-01}",
            "line 3: parameters.a.value holds a date: 2024-01-01",
            "put it in quotes",
        ),
        (
            "parameters: {a: [{b: !!set {1}}]}",
            "line 3: parameters.a.values holds something that ",
            "put it in ",
        ),
        ("parameters:\n  a: &x [*x]", "line 4: parameters.a.values is nested too deeply", "use fewer levels"),
        (
            "parameters: {a: {min: 0.1, max: 1.0}}",
            "line 3: parameters.a has the distribution uniform, which has no end of values for a grid",
            "list values, or use method: random",
        ),
        (
            "parameters: {a: {values: [1, 2], probabilities: [0.5, 0.5]}}",
            "line 3: parameters.a has the distribution categorical_w_probabilities, which has no end of ",
            "list values, or use method: random",
        ),
        (
            "parameters:\n  a: {min: 1, max: 100000}\n  b: {min: 1, max: 10001}",
            "line 3: parameters have 1,000,100,000 combinations",
            "thin out the values, or draw some of the combinations: method: random and run_cap: 200",
        ),
        (
            "parameters: {subtests: }",
            "line 3: parameters.subtests has no subtests",
            "write `tag1,tag2:` below it",
        ),
        (
            "parameters: {subtests: {x: 3}}",
            "line 3: parameters.subtests.x has no parameters of its own",
            "write ",
        ),
        (
            "parameters: {subtests: {x: }}",
            "line 3: parameters are empty",
            "write `NAME: [VALUE, VALUE]` for each",
        ),
        (
            "parameters: {subtests: {3: {a: 1}}}",
            "line 3: parameters.subtests[3] is not text",
            "write one tag or ",
        ),
        (
            "parameters: {subtests: {'a,': {a: 1}}}",
            "line 3: parameters.subtests.a, has an empty tag",
            "write one tag or several with commas between them: 'baseline,small:'",
        ),
        (
            "parameters: {subtests: {'a,a': {a: 1}}}",
            "line 3: parameters.subtests.a,a has the tag 'a' twice",
            "",
        ),
        (
            f"parameters: {{subtests: {{{'x' * 65}: {{a: 1}}}}}}",
            f"line 3: parameters.subtests.{'x' * 65} has a tag of 65 characters",
            "wandb takes 64 at most",
        ),
        (
            "parameters:\n  subtests:\n    'a,b': {x: 1}\n    'b, a': {x: 2}",
            "line 6: parameters.subtests.b, a has the same tags as 'a,b'",
            "give each subtest tags of its own: its runs are told apart by them",
        ),
        (
            A + "\ncommand: python train.py",
            "line 4: command is not a list, and wandb would leave it out",
            "write ",
        ),
        (A + "\ncommand:", "line 4: command is empty", "write one word of it in a line each, behind `- `"),
        (
            A + "\ncommand:\n- x\n- --a: 3",
            "line 6: command[1] is no word: {'--a': 3}",
            "put it in quotes: '--a: 3'",
        ),
        (
            A + "\ncommand:\n- x\n- a=${envvar:scratch_dir}/x",
            "line 6: command[1] has ${envvar:scratch_dir}, but wandb fills in names of A-Z, 0-9 and _ alone",
            "write ${envvar:SCRATCH_DIR}",
        ),
        (
            A + "\ncommand: ['${envvar:my-own}']",
            "line 4: command[0] has ${envvar:my-own}, but wandb fills in names of A-Z, 0-9 and _ alone",
            "write a variable that the job has in capitals, such as ${envvar:SOURCE_DIR}",
        ),
    ],
)
def test_a_mistake_names_file_line_and_key_and_the_cure(
    text: str, message: str, hint: str, write: Write
) -> None:
    found = write.refused(text)
    assert found[0].startswith(message), found
    assert found[1].startswith(hint), found
    assert found[1]


@pytest.mark.parametrize(
    ("definition", "message", "hint"),
    [
        ("{min: 1e-5, max: 1}", "min is text: 1e-5", "YAML reads it as text; write 1.0e-5"),
        ("{min: 0.1, max: lots}", "max is text: lots", "write a number"),
        ("{min: true, max: 3}", "min is true or false: True", "write a whole number"),
        ("{min: 3, max: 3}", "min is 3, which is not below max, 3", "write the smaller one as min"),
        ("{min: 3}", "has no max", "the distribution int_uniform needs it"),
        ("{min: .inf, max: 3}", "min is a number: inf", "write a number"),
        ("{distribution: int_uniform, min: 1, max: 2.5}", "max is a number: 2.5", "write a whole number"),
        (
            "{distribution: unifrom, min: 1}",
            "distribution is 'unifrom', which wandb does not know",
            "did you mean u",
        ),
        (
            "{distribution: uniform, values: [1]}",
            "values does not go with the distribution uniform",
            "it takes ",
        ),
        (
            "{distribution: normal, q: 1}",
            "q does not go with the distribution normal",
            "it takes distribution, mu",
        ),
        ("{distribution: normal, sigma: -1}", "sigma is -1", "it must be 0 or more"),
        ("{distribution: q_normal, q: 0}", "q is 0", "it must be above 0"),
        ("{distribution: beta, a: 0}", "a is 0", "it must be above 0"),
        (
            "{distribution: log_uniform_values, min: 0, max: 1}",
            "min is 0",
            "log_uniform_values needs a min above",
        ),
        (
            "{distribution: log_uniform, min: 1, max: 1000}",
            "goes to e to the power of 1000",
            "min and max are exp",
        ),
        ("{values: [1, 2], probabilities: [1]}", "probabilities are 1 for 2 values", "write one for each"),
        (
            "{values: [1, 2], probabilities: [1, 1]}",
            "probabilities comes to 2 in all",
            "let the probabilities sum",
        ),
        (
            "{values: [1, 2], probabilities: [2, -1]}",
            "probabilities is not a list of numbers",
            "write one for each",
        ),
        ("{probabilities: [1]}", "probabilities does not go with the distribution int_uniform", "it takes "),
    ],
)
def test_a_distribution_that_cannot_be_is_refused(
    definition: str, message: str, hint: str, write: Write
) -> None:
    found = write.refused(f"parameters:\n  a: {definition}", RANDOM)
    assert found[0].startswith(("line 4: parameters.a." + message, "line 4: parameters.a " + message)), found
    assert found[1].startswith(hint), found


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "is empty", "begin with program:, method: and parameters:"),
        ("- 1", "is no sweep file: it holds no `key: value` lines", "begin with program:"),
        (
            "program: a.py\nparameters: {a: 1}",
            "method is missing",
            "write method: grid, for every combination",
        ),
        ("method: gird\nparameters: {a: 1}", "line 1: method is 'gird'", "did you mean grid?"),
        (
            "method: grid\nparameters: {a: 1}",
            "program is missing",
            "name the script that a trial runs: program: tr",
        ),
        (
            "method: grid\ncommand: [python, '${program}']\nparameters: {a: 1}",
            "program is missing",
            "name the script that a trial runs: program: train.py",
        ),
        (
            "program: a.py\nmethod: bayes\nparameters: {a: 1}",
            "metric is missing, and bayes needs one",
            "write `name: accuracy` and `goal: maximize` below metric:",
        ),
    ],
)
def test_a_file_that_lacks_something_says_what(text: str, message: str, hint: str, write: Write) -> None:
    found = write.refused(text, "")
    assert found[0] == message
    assert found[1].startswith(hint)


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(HpcSubmitError, match=r"gone\.yml cannot be read: No such file or directory"):
        read_sweep_file(tmp_path / "gone.yml")
    (tmp_path / "binary.yml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(
        HpcSubmitError, match=r"binary\.yml is not YAML: 'utf-8' codec can't decode byte 0xff"
    ):
        read_sweep_file(tmp_path / "binary.yml")
