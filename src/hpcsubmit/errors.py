"""The one exception root: every error says what is wrong and what to do next."""

from collections.abc import Iterable


class HpcSubmitError(Exception):
    """Something that the user, the cluster or the job did wrong.

    message: what is wrong, with the value that is wrong; one line.
    hint: what to do next; one line, empty where there is nothing to say.
    exit_code: what the process ends with (1 unless the job's own code is passed on).
    """

    def __init__(self, message: str, hint: str = "", *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code


class UsageError(HpcSubmitError):
    """A command line that can never be right, on any cluster: exit code 2."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint, exit_code=2)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the hint that names the known word nearest to `word`; `known` holds at least one."""
    import difflib  # late: for mistakes alone

    return f"did you mean {difflib.get_close_matches(word, list(known), n=1, cutoff=0.0)[0]}?"
