"""The id of a wandb sweep."""

import re

from hpcsubmit.errors import UsageError
from hpcsubmit.frozen import frozen

_SWEEP_PART = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
_SWEEP_PLACEHOLDERS = frozenset(("SWEEP_ID", "SWEEPID", "SWEEP-ID", "YOUR_SWEEP_ID"))


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
