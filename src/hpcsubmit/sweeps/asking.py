"""Asks the wandb server one question: by a process with a Python that has wandb, whose answer is checked."""

import importlib.util
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.folders import home
from hpcsubmit.host import CommandTimedOut, Host
from hpcsubmit.wandb_key import CREDENTIALS, has_key
from hpcsubmit.wandb_sweep import WandbSweepId

CLIENT = Path(__file__).with_name("client.py")
TIMEOUT = 60.0
"""Seconds for one question; wandb itself would go on trying for minutes."""
LARGEST_ANSWER_SHOWN = 300
"""Characters of what wandb says that an error shows."""


def find_python(environment: Path | None) -> Path | None:
    """Find a Python that can import wandb: hpcsubmit's own, or the environment's; None without one."""
    spec = importlib.util.find_spec("wandb")
    if spec is not None and spec.origin:  # a folder wandb/ of runs alone has none
        return Path(sys.executable)
    if environment is not None and any(environment.glob("lib/python3*/site-packages/wandb/__init__.py")):
        return environment / "bin" / "python"
    return None


def python_with_wandb(environment: Path | None) -> Path:
    """Return a Python that can import wandb; raises HpcSubmitError without one."""
    found = find_python(environment)
    if found is not None:
        return found
    where = f", nor is it in {environment}" if environment is not None else ""
    raise HpcSubmitError(
        f"wandb is not installed beside hpcsubmit{where}", "pip install 'hpcsubmit[wandb]', and try again"
    )


def ask(
    request: Mapping[str, Any],
    host: Host,
    environment: Path | None,
    *,
    sweep: WandbSweepId | None = None,
    timeout: float = TIMEOUT,
) -> dict[str, Any]:
    """Ask the server one question, as client.py understands it, and return the answer.

    environment: whose Python is taken where hpcsubmit's own has no wandb. sweep: the one that is asked about.
    timeout: in seconds. Raises HpcSubmitError for what goes wrong there and on the way.
    """
    python = str(python_with_wandb(environment))
    if not has_key(host):
        raise HpcSubmitError(
            "there is no wandb key: WANDB_API_KEY, ~/wandb_credentials.txt and ~/.netrc hold none",
            "write the key of https://wandb.ai/authorize into ~/wandb_credentials.txt, with mode 0600",
        )
    try:
        done = host.run(
            (python, str(CLIENT)), timeout=timeout, environ=environ_with_key(host), text=json.dumps(request)
        )
    except CommandTimedOut:
        raise _unreachable(_address(host), f"no answer within {timeout:g} s") from None
    answer = _last_object(done.stdout)
    if answer is None:
        said = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.code}").splitlines()[-1]
        raise HpcSubmitError(
            f"wandb could not be asked with {python}: {said[:LARGEST_ANSWER_SHOWN]}",
            f"see whether it works: {python} -m wandb --version",
        )
    if "error" in answer:
        raise _refused(answer, host, sweep)
    return answer


def environ_with_key(host: Host) -> dict[str, str]:
    """Return the environment for a Python with wandb: it alone carries the key."""
    environ = {**host.environ, "PYTHONSAFEPATH": "1"}  # the project's files do not hide wandb's modules
    path = home(host) / CREDENTIALS
    if not environ.get("WANDB_API_KEY") and path.is_file():
        environ["WANDB_API_KEY"] = path.read_text("utf-8", errors="replace").strip()
    if not environ.get("WANDB_API_KEY"):
        environ.pop("WANDB_API_KEY", None)  # blank, it would hide the one of ~/.netrc
    return environ


def _last_object(text: str) -> dict[str, Any] | None:
    """Read the last line; wandb may have written others before."""
    try:
        found = json.loads(text.splitlines()[-1])
    except (ValueError, IndexError):
        return None
    return found if isinstance(found, dict) else None


def _refused(answer: Mapping[str, Any], host: Host, sweep: WandbSweepId | None) -> HpcSubmitError:
    address = str(answer.get("url") or _address(host))
    said = str(answer.get("message"))[:LARGEST_ANSWER_SHOWN]
    match answer["error"]:
        case "unauthorized":
            return HpcSubmitError(
                f"the wandb server {address} does not accept the key of {_key_source(host)}",
                f"copy it anew from {_app(address)}/authorize; WANDB_BASE_URL says which server is asked",
            )
        case "unreachable":
            return _unreachable(address, said)
        case "unknown" if sweep is not None:
            return HpcSubmitError(
                f"{address} knows no sweep {sweep.sweep} of the entity {sweep.entity}, project "
                f"{sweep.project}",
                "check its three parts on the sweep's page; hpcsubmit sweep create makes a sweep",
            )
    hint = "see what it names in the sweep file, the entity or the project"
    if sweep is not None:
        hint = f"see hpcsubmit sweep status {sweep}"
    return HpcSubmitError(f"the wandb server {address} refused: {said}", hint)


def _unreachable(address: str, said: str) -> HpcSubmitError:
    reason = said.removeprefix("<urlopen error ").removesuffix(">")
    return HpcSubmitError(
        f"the wandb server {address} cannot be reached: {reason}",
        "check the network (a compute node may have none) and WANDB_BASE_URL, or run the sweep without a "
        "server: hpcsubmit sweep run FILE --offline",
    )


def _address(host: Host) -> str:
    return host.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai"


def _app(address: str) -> str:
    """The address that people open of a server's, as wandb itself makes it."""
    host = urlsplit(address).hostname or ""
    return address.replace("//api.", "//", 1) if host.startswith("api.") else address


def _key_source(host: Host) -> str:
    if host.environ.get("WANDB_API_KEY"):
        return "WANDB_API_KEY"
    return f"~/{CREDENTIALS}" if (home(host) / CREDENTIALS).is_file() else "~/.netrc"
