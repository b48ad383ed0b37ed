"""The settings of pip as lines that uv reads: a program that the build script runs with its own Python.

uv reads neither pip.conf nor PIP_*. The files, their order and what overrides what are those of the
documentation of pip ("Configuration", 25.0). It runs on any Python from 3.7 on and imports nothing of ours.
"""

from __future__ import annotations

import configparser
import os
import re
import shlex
import sys
from pathlib import Path

LISTS = ("find-links", "extra-index-url", "constraint", "trusted-host")
YES = ("1", "true", "yes", "on", "t", "y")


def files(environ: dict[str, str], prefix: str) -> list[Path]:
    """Return the configuration files of pip, those that override the others last."""
    named = environ.get("PIP_CONFIG_FILE", "")
    if named == os.devnull:
        return []
    home = Path(environ.get("HOME") or str(Path.home()))
    mac = sys.platform == "darwin"
    everyone = environ.get("XDG_CONFIG_DIRS") or "/etc/xdg"
    found = [Path(folder) / "pip" / "pip.conf" for folder in reversed(everyone.split(":"))]
    found += [Path("/Library/Application Support/pip/pip.conf")] if mac else []
    found.append(Path("/etc/pip.conf"))
    own = Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"
    on_mac = home / "Library" / "Application Support" / "pip"
    if not named or not Path(named).exists():
        found += [home / ".pip" / "pip.conf", on_mac / "pip.conf" if mac and on_mac.is_dir() else own]
    return [*found, Path(prefix) / "pip.conf", *([Path(named)] if named else [])]


def settings(environ: dict[str, str], prefix: str) -> dict[str, str]:
    """Return what pip install would find: each setting with its text."""
    found: dict[str, str] = {}
    for section in ("global", "install"):
        for path in files(environ, prefix):
            parser = configparser.RawConfigParser()
            try:
                parser.read(str(path), encoding="utf-8")
            except (OSError, ValueError, configparser.Error) as error:
                sys.stderr.write(f"hpcsubmit: {path} is left out: {error}\n")
                continue
            if parser.has_section(section):
                found.update({key.replace("_", "-"): value for key, value in parser.items(section)})
    given = {key: value for key, value in environ.items() if key.startswith("PIP_") and value}
    found.update({key[4:].lower().replace("_", "-"): value for key, value in given.items()})
    return found


def translate(found: dict[str, str], environ: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    """Return lines of a requirements file, and variables: those of uv, and those that the lines name.

    A user name and password become a variable. A setting that the user has made for uv itself stays.
    """
    lines: list[str] = []
    variables: dict[str, str] = {}
    lists = {key: found.get(key, "").split() for key in LISTS}
    if found.get("no-index", "").lower() in YES and "UV_NO_INDEX" not in environ:
        lines.append("--no-index")
    if found.get("index-url") and not {"UV_DEFAULT_INDEX", "UV_INDEX_URL"} & set(environ):
        lines.append("--index-url " + found["index-url"].strip())
    if not {"UV_INDEX", "UV_EXTRA_INDEX_URL"} & set(environ):
        lines += [f"--extra-index-url {url}" for url in lists["extra-index-url"]]
    if "UV_FIND_LINKS" not in environ:
        lines += [f"--find-links {shlex.quote(place)}" for place in map(_place, lists["find-links"]) if place]
    if found.get("cert") and "SSL_CERT_FILE" not in environ:
        variables["SSL_CERT_FILE"] = str(Path(found["cert"]).expanduser())
    if lists["trusted-host"] and "UV_INSECURE_HOST" not in environ:
        variables["UV_INSECURE_HOST"] = " ".join(lists["trusted-host"])
    lines += [
        f"--{key} {name}"
        for key in ("only-binary", "no-binary")
        for name in found.get(key, "").replace(",", " ").split()
    ]
    variables.update(_variables(found, environ))
    return [_hide(line, variables) for line in lines], variables


def _variables(found: dict[str, str], environ: dict[str, str]) -> dict[str, str]:
    """Settings that uv reads from variables alone, unless the user has set one of those."""
    proxies = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
    told: dict[str, str] = {}
    if found.get("proxy") and not {*proxies, *map(str.lower, proxies)} & set(environ):
        told.update(dict.fromkeys(proxies[:2], found["proxy"]))
    if found.get("client-cert") and "SSL_CLIENT_CERT" not in environ:
        told["SSL_CLIENT_CERT"] = str(Path(found["client-cert"]).expanduser())
    if found.get("pre", "").lower() in YES and "UV_PRERELEASE" not in environ:
        told["UV_PRERELEASE"] = "allow"
    return told


def constraints(found: dict[str, str]) -> list[str]:
    """Return the constraints files."""
    return [os.path.expanduser(path) for path in found.get("constraint", "").split()]  # noqa: PTH111 - or an address


def _place(text: str) -> str:
    """Return a place of wheels; "" for a folder that is not there, over which uv stops and pip does not."""
    place = os.path.expanduser(text)  # noqa: PTH111 - or an address
    if "://" in place or Path(place).exists():
        return place
    sys.stderr.write(f"hpcsubmit: find-links {place} of the settings of pip is not there\n")
    return ""


def _hide(line: str, variables: dict[str, str]) -> str:
    match = re.search(r"://([^/@\s]+)@", line)
    if match is None or match.group(1).startswith("${"):
        return line
    name = f"HPCSUBMIT_INDEX_{len(variables) + 1}"
    variables[name] = match.group(1)
    return line.replace(f"://{match.group(1)}@", f"://${{{name}}}@")


def main(target: str) -> None:
    """Write the lines to the file `target`, and to stdout bash that sets the variables and `constraints`."""
    environ = dict(os.environ)
    found = settings(environ, sys.prefix)
    lines, variables = translate(found, environ)
    with open(target, "a", encoding="utf-8") as file:  # noqa: PTH123 - Path.open would be longer
        file.write("".join(f"{line}\n" for line in lines))
    told = [f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()]
    told += [f"constraints+=(--constraint {shlex.quote(path)})\n" for path in constraints(found)]
    sys.stdout.write("".join(told))


if __name__ == "__main__":
    main(sys.argv[1])
