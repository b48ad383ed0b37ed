"""The user's own folders on this machine, by the XDG base directory specification."""

from pathlib import Path

from hpcsubmit.cache import Cache
from hpcsubmit.host import Host


def home(host: Host) -> Path:
    """Return the user's home folder."""
    return Path(host.environ["HOME"]) if host.environ.get("HOME") else Path.home()


def user_profiles(host: Host) -> Path:
    """Return the folder of the user's own profiles."""
    return configuration_folder(host) / "profiles"


def configuration_folder(host: Host) -> Path:
    """Return the user's configuration folder: $XDG_CONFIG_HOME/hpcsubmit, by default below ~/.config."""
    return Path(host.environ.get("XDG_CONFIG_HOME") or home(host) / ".config") / "hpcsubmit"


def state_folder(host: Host) -> Path:
    """Return the user's state folder: $XDG_STATE_HOME/hpcsubmit, by default below ~/.local/state."""
    return Path(host.environ.get("XDG_STATE_HOME") or home(host) / ".local" / "state") / "hpcsubmit"


def user_cache(host: Host, *, keeps: bool) -> Cache:
    """Return the user's cache: $XDG_CACHE_HOME/hpcsubmit, by default below ~/.cache."""
    parent = Path(host.environ.get("XDG_CACHE_HOME") or home(host) / ".cache")
    return Cache(folder=parent / "hpcsubmit", keeps=keeps)


def local_scratch(host: Host) -> Path:
    """Return the SCRATCH of the embedded cluster where none is set."""
    return state_folder(host) / "scratch"
