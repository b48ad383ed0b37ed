"""What archives are called behind their keys: it tells how they are compressed."""

from collections.abc import Sequence

from hpcsubmit.staging.shards import Shard

PLAIN, LEAN = ".tar", ".lean.tar.gz"
"""What archives are called that are not compressed, and those of which the headers alone are."""
SUFFIXES = {"zstd": ".tar.zst", "gzip": ".tar.gz"}
"""What archives are called that a tool compressed."""

_MUCH = 0.05
"""Headers that are this share of the files, or more, are worth compressing."""


def tool_of(suffix: str) -> str | None:
    """Return the tool that makes archives of this name, None for plain ones."""
    return next((tool for tool, ending in SUFFIXES.items() if ending == suffix), None)


def suffix_of(shard: Shard, suffix: str) -> str:
    """Return how an archive is called in a set of some suffix: one of large files is none the leaner."""
    return PLAIN if suffix == LEAN and not has_many_headers((shard,)) else suffix


def has_many_headers(shards: Sequence[Shard]) -> bool:
    """Return whether compressing the headers alone makes archives clearly smaller: the files are small."""
    content = sum(shard.content for shard in shards)
    return sum(shard.size for shard in shards) - content >= _MUCH * content
