"""The id of a wandb sweep, and which one a submission means."""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from hpcsubmit.errors import HpcSubmitError, UsageError
from hpcsubmit.experiment import Command
from hpcsubmit.frozen import frozen
from hpcsubmit.shellwords import Word

_SWEEP_PART = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
_SWEEP_PLACEHOLDERS = frozenset(("SWEEP_ID", "SWEEPID", "SWEEP-ID", "YOUR_SWEEP_ID"))
_PLACE_PLACEHOLDERS = frozenset(
    (*("WANDB_USERNAME", "USERNAME", "WANDB_ENTITY", "ENTITY", "YOUR_ENTITY", "YOUR_USERNAME"),
     *("PROJECT_NAME", "WANDB_PROJECT", "PROJECT", "YOUR_PROJECT"))
)  # fmt: skip
# The options of `wandb agent` that take a value (wandb 0.30).
_AGENT_VALUES = {"-p": "project", "--project": "project", "-e": "entity", "--entity": "entity"}
_AGENT_VALUES |= dict.fromkeys(("--count", "-t", "--term-timeout"), "")


@frozen
class WandbSweepId:
    """A wandb sweep: its id, and its entity and project where both were given; UsageError for other forms."""

    sweep: str
    entity: str | None = None
    project: str | None = None

    def __post_init__(self) -> None:
        parts = [part for part in (self.entity, self.project) if part is not None]
        if len(parts) == 1 or not all(re.fullmatch(_SWEEP_PART, part) for part in (*parts, self.sweep)):
            hint = "write ID or ENTITY/PROJECT/ID, as `wandb sweep` prints it"
            raise UsageError(f"{str(self)!r} is not a wandb sweep", hint)
        if self.sweep.upper() in _SWEEP_PLACEHOLDERS:
            hint = "write the id that `wandb sweep sweeper.yml` prints in its place"
            raise UsageError(f"{str(self)!r} is a placeholder, not a wandb sweep", hint)

    @classmethod
    def parse(cls, text: str) -> "WandbSweepId":
        """Read `ID` or `ENTITY/PROJECT/ID`. Raises UsageError."""
        parts = text.split("/")
        if len(parts) == 3:
            return cls(entity=parts[0], project=parts[1], sweep=parts[2])
        return cls(sweep=text)

    def __str__(self) -> str:
        return "/".join(part for part in (self.entity, self.project, self.sweep) if part is not None)


class _Named(NamedTuple):
    """What a command says of a sweep; "" for what it does not say, or says with a placeholder."""

    sweep: str = ""
    entity: str = ""
    project: str = ""
    written: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, (self.entity, self.project, self.sweep)))


def resolve(
    option: WandbSweepId | None, command: Command | None, environ: Mapping[str, str]
) -> tuple[WandbSweepId, tuple[str, ...]]:
    """Return the sweep that is meant, with its entity and project, and warnings for the preview.

    option: the value of --wandb-sweepid. command: of the experiment file. The id of a `wandb agent` there
    wins over the option. Entity and project come from where the id is, else from the experiment file, else
    from WANDB_ENTITY and WANDB_PROJECT. Raises HpcSubmitError where something is missing, UsageError for an
    id of another form.
    """
    there = _named_by(command) if command and command.starts_wandb_agent else _Named()
    given = _Named(option.sweep, option.entity or "", option.project or "") if option else _Named()
    if not (there.sweep or given.sweep):
        raise _no_sweep(there, command)
    sweep = _complete(there if there.sweep else given, there, environ)
    if option and there.sweep and not _same(given, sweep):
        source = command.source if command else ""
        return sweep, (f"{source} names the sweep {there.written}, which wins over --wandb-sweepid {option}",)
    return sweep, ()


def complete(given: WandbSweepId, command: Command | None, environ: Mapping[str, str]) -> WandbSweepId:
    """Return the sweep of an id; its place is the given one, else the command's, else the environment's.

    Raises HpcSubmitError where nobody says it.
    """
    entity, project = place_named_by(command)
    named = _Named(given.sweep, given.entity or "", given.project or "")
    return _complete(named, _Named("", entity, project), environ)


def _complete(chosen: _Named, there: _Named, environ: Mapping[str, str]) -> WandbSweepId:
    entity = chosen.entity or there.entity or environ.get("WANDB_ENTITY", "")
    project = chosen.project or there.project or environ.get("WANDB_PROJECT", "")
    if not (entity and project):
        raise _no_place(chosen.sweep, entity, project)
    return WandbSweepId(sweep=chosen.sweep, entity=entity, project=project)


def place_named_by(command: Command | None) -> tuple[str, str]:
    """Return the entity and the project that a `wandb agent` names; "" for what it does not say."""
    if command is None or not command.starts_wandb_agent:
        return "", ""
    there = _named_by(command)
    return there.entity, there.project


def _same(given: _Named, sweep: WandbSweepId) -> bool:
    place = (given.entity or sweep.entity, given.project or sweep.project)
    return given.sweep == sweep.sweep and place == (sweep.entity, sweep.project)


def _named_by(command: Command) -> _Named:
    """Read `wandb agent [OPTIONS] [[ENTITY/]PROJECT/]ID`; raises HpcSubmitError for an id only bash knows."""
    options, path = _arguments(command.words)
    if path is None:
        return _named("", options)
    if path.literal is None:
        raise HpcSubmitError(
            f"{command.source} names the sweep {path.raw}, which only bash can expand",
            "write the id there as it is: wandb agent ENTITY/PROJECT/ID",
        )
    if path.literal.count("/") > 2:
        raise UsageError(
            f"{path.literal!r} in {command.source} is not a wandb sweep",
            "write ENTITY/PROJECT/ID, as `hpcsubmit sweep create` prints it",
        )
    return _named(path.literal, options)


def _named(written: str, options: Mapping[str, str]) -> _Named:
    entity, project, sweep = ["", "", *written.split("/")][-3:]
    entity, project = _no_placeholder(entity), _no_placeholder(project)
    return _Named(
        sweep="" if sweep.upper() in _SWEEP_PLACEHOLDERS else sweep,
        entity=entity or _no_placeholder(options.get("entity", "")),
        project=project or _no_placeholder(options.get("project", "")),
        written=written,
    )


def _no_placeholder(name: str) -> str:
    return "" if name.upper() in _PLACE_PLACEHOLDERS else name


def _arguments(words: Iterable[Word]) -> tuple[dict[str, str], Word | None]:
    """The options of a `wandb agent` with values, and its last word that is no option; None without one."""
    options: dict[str, str] = {}
    path, waiting = None, None
    seen_agent = False
    for word in words:
        name, equals, value = (word.literal or "").partition("=")
        if not seen_agent:
            seen_agent = word.literal == "agent"
        elif waiting is not None:
            options[waiting] = word.literal or ""
            waiting = None
        elif name in _AGENT_VALUES:
            options |= {_AGENT_VALUES[name]: value} if equals else {}
            waiting = None if equals else _AGENT_VALUES[name]
        elif not word.begins_with("-"):
            path = word
    return options, path


def _no_sweep(there: _Named, command: Command | None) -> HpcSubmitError:
    hint = "give it with --wandb-sweepid ID, or write it there; hpcsubmit sweep create prints it"
    if there.written and command:
        return HpcSubmitError(
            f"{command.source} names {there.written!r}, which stands for the id of a sweep", hint
        )
    source = command.source if command else "the experiment file"
    return HpcSubmitError(f"{source} names no sweep", hint)


def _no_place(sweep: str, entity: str, project: str) -> HpcSubmitError:
    missing = " and ".join(name for name, value in (("entity", entity), ("project", project)) if not value)
    return HpcSubmitError(
        f"nothing says which {missing} the wandb sweep {sweep} belongs to",
        f"write ENTITY/PROJECT/{sweep} in its place, or set WANDB_ENTITY and WANDB_PROJECT",
    )
