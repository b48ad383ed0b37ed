"""The stand-in wandb server keeps to the rules of the real one; tests/e2e has the real client ask it."""

import base64
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from wandb_server import KEY, WandbServer, wandb_server
from wandb_service.account import Account, NotFoundError, RefusedError
from wandb_service.search import Search
from wandb_service.things import HISTORY, Run, Sweep

GRID = """
program: train.py
method: grid
metric: {name: acc, goal: maximize}
parameters: {lr: {values: [1, 2]}, bs: {values: [3, 4, 5]}}
"""
DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Asks the server on this machine, whatever proxy the environment names."""


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def account(clock: Clock) -> Account:
    return Account(clock=clock)


@pytest.fixture
def sweep(account: Account) -> Sweep:
    return account.create_sweep("lab", "digits", GRID, "")


@pytest.fixture
def server() -> Iterator[WandbServer]:
    with wandb_server() as found:
        yield found


def ask(server: WandbServer, query: str, variables: dict[str, Any], key: str = KEY) -> tuple[int, Any]:
    """Ask as the client does; return the code and the data, or the first error."""
    request = urllib.request.Request(
        f"{server.url}/graphql",
        json.dumps({"query": query, "variables": variables}).encode(),
        {"Authorization": "Basic " + base64.b64encode(f"api:{key}".encode()).decode()},
    )
    try:
        with DIRECTLY.open(request, timeout=60) as answer:
            return answer.status, json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)["errors"][0]["message"]


def begun(account: Account, run_id: str) -> Run:
    return account.upsert_run("lab", "digits", run_id)[0]


def end(account: Account, run: Run, code: int, **more: Any) -> None:
    account.take(run, {"complete": True, "exitcode": code, **more})


def given(commands: list[dict[str, Any]]) -> tuple[str, str]:
    """The type of the only command, and its run."""
    assert len(commands) == 1
    return commands[0]["type"], commands[0].get("run_id", "")


def test_agents_side_by_side_get_every_combination_once_and_then_leave(
    account: Account, sweep: Sweep
) -> None:
    assert sweep.state == "PENDING"
    agents = [account.create_agent(sweep, f"node{number}") for number in range(2)]
    seen = []
    for number in range(6):
        command = account.heartbeat(agents[number % 2].id, {})[0]
        assert (command["type"], command["program"]) == ("run", "train.py")
        seen.append(tuple(item["value"] for item in command["args"].values()))
        end(account, begun(account, command["run_id"]), 0)
    assert sorted(seen) == [(lr, bs) for lr in (1, 2) for bs in (3, 4, 5)]
    assert sweep.state == "FINISHED"
    assert [given(account.heartbeat(agent.id, {})) for agent in agents] == [("exit", "")] * 2


def test_an_agent_at_work_gets_no_second_run(account: Account, sweep: Sweep) -> None:
    agent = account.create_agent(sweep, "node")
    _, run_id = given(account.heartbeat(agent.id, {}))
    assert account.heartbeat(agent.id, {run_id: True}) == []


def test_a_paused_sweep_gives_nothing_until_it_is_resumed(account: Account, sweep: Sweep) -> None:
    agent = account.create_agent(sweep, "node")
    account.change_sweep(sweep.id, state="PAUSED", config=None)
    assert account.heartbeat(agent.id, {}) == []
    account.change_sweep(sweep.id, state="RUNNING", config=None)
    assert given(account.heartbeat(agent.id, {}))[0] == "run"


@pytest.mark.parametrize("state", ["FINISHED", "STOPPED"])
def test_a_stopped_sweep_lets_its_runs_end(account: Account, sweep: Sweep, state: str) -> None:
    agent = account.create_agent(sweep, "node")
    _, run_id = given(account.heartbeat(agent.id, {}))
    account.change_sweep(sweep.id, state=state, config=None)
    assert account.heartbeat(agent.id, {run_id: True}) == []
    assert given(account.heartbeat(agent.id, {})) == ("exit", "")


def test_a_cancelled_sweep_has_its_runs_stopped(account: Account, sweep: Sweep) -> None:
    agent = account.create_agent(sweep, "node")
    _, run_id = given(account.heartbeat(agent.id, {}))
    run = begun(account, run_id)
    account.change_sweep(sweep.id, state="CANCELED", config=None)
    assert given(account.heartbeat(agent.id, {run_id: True})) == ("stop", run_id)
    assert given(account.heartbeat(agent.id, {})) == ("exit", "")
    assert run.state == "killed"


def test_a_run_that_was_preempted_is_given_again(account: Account, sweep: Sweep) -> None:
    agent = account.create_agent(sweep, "node")
    _, run_id = given(account.heartbeat(agent.id, {}))
    run = begun(account, run_id)
    end(account, run, 1, preempting=True)
    assert run.state == "preempted"
    assert given(account.heartbeat(agent.id, {})) == ("resume", run_id)
    end(account, begun(account, run_id), 0)
    assert (run.state, run.starts, sweep.given) == ("finished", 2, 1)


@pytest.mark.parametrize(("code", "state"), [(0, "finished"), (3, "failed")])
def test_the_exit_code_decides_how_a_run_ended(account: Account, code: int, state: str) -> None:
    run = begun(account, "one")
    end(account, run, code)
    assert (run.state, run.exit_code) == (state, code)


def test_a_run_that_is_silent_for_too_long_has_crashed(account: Account, clock: Clock) -> None:
    run = begun(account, "one")
    clock.now += 299
    account.settle()
    assert run.state == "running"
    clock.now += 2
    account.settle()
    assert run.state == "crashed"


def test_lines_that_are_sent_twice_count_once(account: Account) -> None:
    run = begun(account, "one")
    for _ in range(2):
        account.take(run, {"files": {HISTORY: {"offset": 0, "content": ['{"_step": 0}', '{"_step": 1}']}}})
    account.take(run, {"files": {HISTORY: {"offset": 2, "content": ['{"_step": 2}']}}})
    assert [row["_step"] for row in run.history] == [0, 1, 2]


@pytest.mark.parametrize(
    ("config", "expected", "first"),
    [
        ({"method": "grid", "parameters": {"a": {"values": [1, 2]}, "b": {"value": 3}}}, 2, {"a": 1, "b": 3}),
        ({"method": "grid", "run_cap": 1, "parameters": {"a": {"values": [1, 2]}}}, 1, {"a": 1}),
        ({"method": "grid", "parameters": {"g": {"parameters": {"a": {"value": 1}}}}}, 1, {"g": {"a": 1}}),
        ({"method": "random", "parameters": {"a": {"value": 1}}}, None, {"a": 1}),
        ({"method": "random", "run_cap": 4, "parameters": {"a": {"value": 1}}}, 4, {"a": 1}),
    ],
)
def test_a_search_knows_how_many_runs_it_has(
    config: dict[str, Any], expected: int | None, first: dict[str, Any]
) -> None:
    search = Search(config)
    assert (search.expected, search.at(0)) == (expected, first)
    assert expected is None or search.at(expected) is None


@pytest.mark.parametrize(
    "spec",
    [
        {"min": 1.0, "max": 2.0},
        {"distribution": "int_uniform", "min": 1, "max": 2},
        {"distribution": "q_uniform", "min": 1, "max": 2, "q": 0.5},
        {"distribution": "log_uniform_values", "min": 1, "max": 2},
        {"values": [1, 2], "probabilities": [0.1, 0.9]},
    ],
)
def test_what_is_drawn_keeps_to_its_bounds_and_to_its_number(spec: dict[str, Any]) -> None:
    search = Search({"method": "random", "parameters": {"a": spec}})
    drawn = [(search.at(number) or {})["a"] for number in range(100)]
    assert all(1 <= value <= 2 for value in drawn)
    assert len(set(drawn)) > 1
    assert drawn == [(search.at(number) or {})["a"] for number in range(100)]


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ("method: gird\nparameters: {a: {value: 1}}", "invalid method 'gird'"),
        ("method: grid", "parameters are a mapping"),
        ("method: grid\nparameters: {a: {min: 1, max: 2}}", "value or values"),
        ("method: bayes\nparameters: {a: {value: 1}}", "needs a metric"),
        ("- 1", "no mapping"),
    ],
)
def test_a_configuration_that_means_nothing_is_refused(account: Account, config: str, problem: str) -> None:
    with pytest.raises(RefusedError, match=problem):
        account.create_sweep("lab", "digits", config, "")
    assert account.sweeps == []


def test_an_entity_that_the_user_does_not_belong_to_is_refused() -> None:
    with pytest.raises(NotFoundError, match="entity other not found"):
        Account(entities=("lab",)).create_sweep("other", "digits", GRID, "")


def test_a_server_goes_on_from_its_file(tmp_path: Path) -> None:
    store = tmp_path / "store.json"
    first = Account(store=store)
    made = first.create_sweep("lab", "digits", GRID, "")
    agent = first.create_agent(made, "node")
    _, run_id = given(first.heartbeat(agent.id, {}))
    end(first, begun(first, run_id), 0)
    second = Account(store=store)
    assert second.state() == first.state()
    _, another = given(second.heartbeat(agent.id, {}))
    assert another != run_id
    assert KEY not in store.read_text()


def test_only_a_key_opens_the_server(server: WandbServer) -> None:
    assert ask(server, "query Viewer { viewer { id } }", {}, key="x" * 40) == (401, "user is not logged in")
    code, data = ask(server, "query Viewer { viewer { id } }", {})
    assert (code, data["viewer"]["username"]) == (200, "tester")


def test_a_sweep_is_made_and_found_through_the_door(server: WandbServer) -> None:
    made = {"config": GRID, "entityName": "lab", "projectName": "digits"}
    code, data = ask(server, "mutation UpsertSweep($config: String) { x }", made)
    assert code == 200
    name = data["upsertSweep"]["sweep"]["name"]
    _, found = ask(server, "query GetSweep { x }", {"entity": "lab", "project": "digits", "name": name})
    assert found["project"]["sweep"]["runCountExpected"] == 6
    _, missing = ask(server, "query GetSweep { x }", {"entity": "lab", "project": "digits", "name": "no"})
    assert missing["project"]["sweep"] is None
    _, nowhere = ask(server, "query GetSweep { x }", {"entity": "lab", "project": "no", "name": name})
    assert nowhere["project"] is None
    assert server.state()["asked"] == {"UpsertSweep": 1, "GetSweep": 3}


def test_an_unknown_agent_is_not_found(server: WandbServer) -> None:
    assert ask(server, "mutation Heartbeat { x }", {"id": "agent-9"}) == (404, "agent agent-9 not found")


def test_an_operation_that_nobody_answers_is_told_and_remembered(server: WandbServer) -> None:
    code, message = ask(server, "query Novelty { x }", {})
    assert (code, message) == (400, "the stand-in does not know the operation Novelty")
    assert server.state()["unknown"] == ["Novelty"]


def test_lists_of_runs_are_filtered_sorted_and_cut_into_pages(server: WandbServer) -> None:
    for number in range(5):
        run, _ = server.account.upsert_run("lab", "digits", f"run{number}")
        run.summary = {"acc": (3 * number) % 5} if number else {}
        run.config = {"lr": {"value": number}}
    filters = {"$and": [{"config.lr": {"$gte": 1}}, {"state": "running"}]}
    asked = {
        "entity": "lab", "project": "digits", "order": "-summary_metrics.acc", "perPage": 3,
        "filters": json.dumps(filters),
    }  # fmt: skip
    _, data = ask(server, "query Runs { x }", asked)
    page = data["project"]["runs"]
    assert [edge["node"]["name"] for edge in page["edges"]] == ["run3", "run1", "run4"]
    assert page["pageInfo"]["hasNextPage"]
    _, data = ask(server, "query Runs { x }", asked | {"cursor": page["pageInfo"]["endCursor"]})
    assert [edge["node"]["name"] for edge in data["project"]["runs"]["edges"]] == ["run2"]
    assert data["project"]["runCount"] == 4


def test_the_server_runs_as_a_program_and_keeps_what_it_holds_when_it_is_told_to_end(tmp_path: Path) -> None:
    program = Path(__file__).parents[1] / "wandb_server.py"
    store = tmp_path / "store.json"
    process = subprocess.Popen(
        [sys.executable, str(program), "--key", KEY, "--entity", "lab", "--store", str(store)],
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            said, _, url = process.stdout.readline().strip().partition(" ")
            assert said == "ready"
            with DIRECTLY.open(f"{url}/_state", timeout=60) as answer:
                assert json.load(answer)["sweeps"] == []
            process.terminate()
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()
    assert json.loads(store.read_text())["runs"] == []
