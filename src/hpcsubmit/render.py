"""render(plan) -> the batch script. The only module that knows jinja2."""

import pickle
import shlex
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import jinja2
from markupsafe import Markup

from hpcsubmit.cache import Cache
from hpcsubmit.container import FAMILIES
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.plan import Plan
from hpcsubmit.shellwords import Word
from hpcsubmit.slurm import Directive


def shipped_templates() -> Path:
    """The template folder: in the wheel beside the code, in a checkout two folders up.

    Found by the path of this file: importlib.resources takes 3 ms to import and could add only zip files.
    """
    packaged = Path(__file__).parent / "templates"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "templates"


def render(plan: Plan, *, user_templates: Path | None = None, cache: Cache | None = None) -> str:
    """Return the batch script of a plan.

    user_templates: a folder whose templates shadow the shipped ones. cache: keeps the compiled templates.
    Raises HpcSubmitError for a mistake in the user's templates.
    """
    if plan.container is None:
        return render_script("venv.sbatch.j2", user_templates, cache, plan=plan)
    return render_script("singularity.sbatch.j2", user_templates, cache, plan=plan, families=FAMILIES)


def render_script(
    template: str, user_templates: Path | None, cache: Cache | None = None, **values: object
) -> str:
    """Return what a template makes of values; a file of the user's of its name takes its place.

    Raises HpcSubmitError for a mistake in the user's templates.
    """
    own = user_templates if user_templates and user_templates.is_dir() else None
    try:
        return _environment(own, cache).get_template(template).render(**values)
    except (jinja2.TemplateError, TypeError) as error:
        if own is None:
            raise
        where = (
            f"{error.filename}, line {error.lineno}" if isinstance(error, jinja2.TemplateSyntaxError) else own
        )
        raise HpcSubmitError(f"{where}: {error}", "mend your template, or move it away") from error


def _environment(own: Path | None, cache: Cache | None) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*([own] if own else []), shipped_templates()]),
        bytecode_cache=_BytecodeCache(cache) if cache else None,
        autoescape=True,  # so that Markup, which quote() makes, is the only way past it
        finalize=quote,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["words"] = words
    environment.filters["comment"] = comment
    return environment


class _BytecodeCache(jinja2.BytecodeCache):
    """jinja2's compiled templates in our cache."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def load_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        """Fill a bucket; jinja2 itself checks that it fits the template and this Python."""
        with suppress(EOFError, pickle.UnpicklingError):  # a file that was cut short
            if kept := self._cache.read(bucket.key):
                bucket.bytecode_from_string(kept)

    def dump_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        """Keep a bucket."""
        self._cache.add(bucket.key, bucket.bytecode_to_string())


def quote(value: object) -> Markup:
    """Print one value into a script: quoted for bash, exactly once.

    Text, numbers and paths become one bash word; a Word is bash source already; a Directive is its line.
    Raises TypeError for anything else, so that a mistake in a template never reaches a script.
    """
    if isinstance(value, Markup):
        return value
    if isinstance(value, Word):
        return Markup(value.raw)  # noqa: S704 - the user's own bash source, read by experiment.py
    if isinstance(value, Directive):
        return Markup(value.line)  # noqa: S704 - quoted as sbatch reads it
    if isinstance(value, bool) or not isinstance(value, str | int | Path):
        raise TypeError(f"a template prints {value!r}, which is neither text, number nor path")
    return Markup(shlex.quote(str(value)))  # noqa: S704 - quoted here


def words(values: Iterable[object]) -> Markup:
    """Print several values as bash words, each quoted as `quote` does, with a blank between them."""
    return Markup(" ").join(quote(value) for value in values)


def comment(value: object) -> Markup:
    """Print text into a comment: as it is, on one line, escapes for what is not UTF-8."""
    text = str(value).encode("utf-8", "backslashreplace").decode()
    return Markup(" ".join(text.splitlines()))  # noqa: S704 - bash reads nothing in a comment
