"""The user's own folders on this machine, by the XDG base directory specification."""

from pathlib import Path

from hpcsubmit.cache import Cache
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.host import Host


def home(host: Host) -> Path:
    """Return the user's home folder; raises HpcSubmitError where nothing names it."""
    try:
        path = Path(host.environ.get("HOME") or Path.home())
    except RuntimeError:  # an unknown user, as in some containers
        path = Path()
    if not path.is_absolute():
        raise HpcSubmitError(
            f"HOME names no folder: '{host.environ.get('HOME', '')}'", "export HOME=/your/home"
        )
    return path


def user_profiles(host: Host) -> Path:
    """Return the folder of the user's own profiles."""
    return configuration_folder(host) / "profiles"


def configuration_folder(host: Host) -> Path:
    """Return the user's configuration folder: $XDG_CONFIG_HOME/hpcsubmit, by default below ~/.config."""
    return _below(host, "XDG_CONFIG_HOME", ".config")


def state_folder(host: Host) -> Path:
    """Return the user's state folder: $XDG_STATE_HOME/hpcsubmit, by default below ~/.local/state."""
    return _below(host, "XDG_STATE_HOME", ".local/state")


def user_cache(host: Host) -> Cache:
    """Return the user's cache: $XDG_CACHE_HOME/hpcsubmit, by default below ~/.cache."""
    return Cache(folder=_below(host, "XDG_CACHE_HOME", ".cache"))


def local_scratch(host: Host) -> Path:
    """Return the SCRATCH of the embedded cluster where none is set."""
    return state_folder(host) / "scratch"


def _below(host: Host, variable: str, default: str) -> Path:
    """Our folder below the one that a variable names; the specification ignores relative ones."""
    named = Path(host.environ.get(variable, ""))
    return (named if named.is_absolute() else home(host) / default) / "hpcsubmit"
