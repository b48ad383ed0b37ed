"""Pipfile and Pipfile.lock as lines of a requirements file; pure.

The forms are those of pipenv's documentation ("Pipfile & Pipfile.lock", 2025) and of what it writes.
"""

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from hpcsubmit.environments.sources import PIPFILE, PIPFILE_LOCK
from hpcsubmit.errors import HpcSubmitError

PYPI = ("https://pypi.org/simple", "https://pypi.python.org/simple")
"""What pipenv writes into every Pipfile: pip's own default, which a site's pip.conf may have replaced."""
VCS = ("git", "hg", "svn", "bzr")
MARKERS = (
    "os_name", "sys_platform", "platform_machine", "platform_python_implementation", "platform_release",
    "platform_system", "platform_version", "python_version", "python_full_version", "implementation_name",
    "implementation_version",
)  # fmt: skip
"""PEP 508's variables, which may stand as keys of a package."""


def pipfile_lines(content: bytes) -> list[str]:
    """The [packages] and sources of a Pipfile without lock; raises HpcSubmitError for what cannot be read."""
    values = _toml(content)
    packages = values.get("packages", {})
    if not isinstance(packages, dict):
        raise _unreadable(PIPFILE, "[packages] is no table")
    return _index_lines(values.get("source", [])) + [_line(n, v, PIPFILE) for n, v in packages.items()]


def required_python(content: bytes) -> str:
    """The version of Python that a Pipfile [requires], such as 3.11; "" where it names none."""
    requires = _toml(content).get("requires", {})
    names = ("python_full_version", "python_version")
    found = [requires.get(name) for name in names] if isinstance(requires, dict) else []
    return next((text for text in found if isinstance(text, str) and re.fullmatch(r"[0-9.]+", text)), "")


def lock_lines(content: bytes) -> tuple[list[str], list[str], list[str]]:
    """A Pipfile.lock: the lines of its indexes, of its packages with hashes, and of those without.

    pip checks either all hashes of an installation or none, and a package from git has none. Raises
    HpcSubmitError for what cannot be read.
    """
    try:
        values = json.loads(content)
        packages, sources = values["default"], values.get("_meta", {}).get("sources", [])
        both = [(bool(value.get("hashes")), name, value) for name, value in packages.items()]
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise _unreadable(PIPFILE_LOCK, f"{type(error).__name__}: {error}") from error
    hashed = [_line(name, value, PIPFILE_LOCK) for has, name, value in both if has]
    return _index_lines(sources), hashed, [_line(n, v, PIPFILE_LOCK) for has, n, v in both if not has]


def is_locked(pipfile: bytes, lock: bytes) -> bool:
    """Whether a lock was made from this Pipfile: pipenv writes the Pipfile's hash into it (plette 2.4)."""
    values = _toml(pipfile)
    written = json.loads(lock).get("_meta", {}).get("hash", {}).get("sha256")
    if not written or "source" not in values:  # pipenv would hash its own default source
        return True
    named = {"source", "packages", "dev-packages", "requires", "scripts", "pipfile", "pipenv"}
    hashed = {name: value for name, value in values.items() if name not in named}
    hashed["_meta"] = {"sources": values["source"], "requires": values.get("requires", {})}
    hashed |= {"default": values.get("packages", {}), "develop": values.get("dev-packages", {})}
    text = json.dumps(hashed, sort_keys=True, separators=(",", ":"))
    return bool(hashlib.sha256(text.encode()).hexdigest() == written)


def _toml(content: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(content.decode())
    except ValueError as error:
        raise _unreadable(PIPFILE, str(error)) from error


def _index_lines(sources: object) -> list[str]:
    """The indexes: the first in the place of PyPI, the others beside it."""
    urls = (
        [str(source.get("url", "")) for source in sources if isinstance(source, dict)]
        if isinstance(sources, list)
        else []
    )
    named = [url for url in urls if url and url.rstrip("/") not in PYPI]
    options = ["--index-url" if url == urls[0] else "--extra-index-url" for url in named]
    return [f"{option} {url}" for option, url in zip(options, named, strict=True)]


def _line(name: str, value: object, where: str) -> str:
    """One package as a line; a text is its version."""
    fields = {"version": value} if isinstance(value, str) else value
    if not isinstance(fields, dict):
        raise _unreadable(where, f"{name} is neither a version nor a table")
    extras = f"[{','.join(map(str, fields['extras']))}]" if fields.get("extras") else ""
    line = _place(name, extras, fields) or f"{name}{extras}{_version(name, fields, where)}"
    markers = _markers(fields)
    hashes = "".join(f" --hash={each}" for each in fields.get("hashes", ()))
    line = f"{line}{f' ; {markers}' if markers else ''}{hashes}"
    if any(ord(character) < 32 for character in line):
        raise _unreadable(where, f"{name} holds more than one line")
    return line


def _place(name: str, extras: str, fields: Mapping[str, Any]) -> str:
    """Where a package lies that comes from no index: a repository, a folder or file, an address."""
    editable = "-e " if fields.get("editable") else ""
    for vcs in VCS:
        if vcs in fields:
            at = f"@{fields['ref']}" if fields.get("ref") else ""
            below = f"subdirectory={fields['subdirectory']}" if fields.get("subdirectory") else ""
            address = f"{vcs}+{_as_url(str(fields[vcs]))}{at}"
            if editable:
                return f"-e {address}#{'&'.join(filter(None, (f'egg={name}{extras}', below)))}"
            return f"{name}{extras} @ {address}{'#' if below else ''}{below}"
    if "path" in fields:
        path = str(fields["path"])
        return f"{editable}{path if '/' in path or path == '.' else f'./{path}'}{extras}"
    if "file" in fields:
        return f"{name}{extras} @ {fields['file']}"
    return ""


def _as_url(address: str) -> str:
    """The short form `git@host:group/name` as the address that pip takes."""
    address = address.removeprefix("git+")
    match = re.fullmatch(r"([\w.-]+@[\w.-]+):(?!//)(.*)", address)
    return f"ssh://{match[1]}/{match[2]}" if match else address


def _version(name: str, fields: Mapping[str, Any], where: str) -> str:
    version = str(fields.get("version", "*")).strip()
    if version in ("", "*"):
        return ""
    if version[0] not in "=<>!~":
        raise HpcSubmitError(
            f'{where}: {name} = "{version}" is no version', f'write {name} = "=={version}", or "*" for any'
        )
    return version


def _markers(fields: Mapping[str, Any]) -> str:
    """When a package is wanted: its `markers`, and the keys that are named as PEP 508's variables."""
    given = str(fields.get("markers") or "")
    keyed = [f"{key} {fields[key]}" for key in MARKERS if key in fields]
    if not keyed:
        return given
    return " and ".join([*([f"({given})"] if given else []), *keyed])


def _unreadable(name: str, reason: str) -> HpcSubmitError:
    hint = "write it anew with pipenv lock" if name == PIPFILE_LOCK else "mend it so that pipenv reads it"
    return HpcSubmitError(f"{name} cannot be read: {reason}", hint)


def without_hashes(lines: Sequence[str]) -> list[str]:
    """Requirement lines without their hashes."""
    return [re.sub(r"\s+--hash[= ]\S+", "", line) for line in lines]
