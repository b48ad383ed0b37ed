"""Which words of a command, and which names of parameters, give a program its seed. Pure."""

import re
from collections.abc import Sequence
from itertools import zip_longest

PLACE = "{seed}"
"""What stands for the seed of a repeat in its command."""
UNFILLED = f"{PLACE}, which --repeat and --seeds alone fill in: the program gets it as it is written"
_EXACT = r"(?i:seed(?:[_-]everything)?)"
_NAME = rf"(?s)(?:.*[._/-])?{_EXACT}|.*[a-z0-9]Seed"
"""`seed`, LightningCLI's `seed_everything`, and names that end with them: `random_seed`, `manualSeed`."""


def names_seed(name: str) -> bool:
    """Whether a name is that of a program's seed: `seed`, `SEED`, `trainer.seed`, `seed_everything`."""
    return re.fullmatch(_NAME, name) is not None


def has_place(text: str) -> bool:
    """Whether the text of a command has {seed} in it; `${seed}` is bash's own."""
    return re.search(r"(?<!\$)\{seed\}", text) is not None


def seed_in(words: Sequence[str | None], *, exact: bool = False) -> str:
    """Return the words that give a program one seed, such as `--seed 3` or `seed=3`; "" where none do.

    words: of a command; None for one that only the node knows. exact: leave out names such as `data_seed`,
    which may be the seed of a part.
    """
    pattern = _EXACT if exact else _NAME
    for word, value in zip_longest(words, words[1:]):
        name, equals, given = (word or "").partition("=")
        if not re.fullmatch(pattern, name.lstrip("-+")):
            continue
        if equals and _is_number(given):
            return word or ""
        if not equals and name.startswith("-") and value and _is_number(value):
            return f"{word} {value}"
    return ""


def with_place(given: str) -> str:
    """Return words that `seed_in` gave with {seed} for their number: `--seed {seed}`."""
    return re.sub(r"[0-9]+$", PLACE, given)


def _is_number(text: str) -> bool:
    return re.fullmatch("[0-9]+", text) is not None
