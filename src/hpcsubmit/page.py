"""Pages for browsers: one file each, that asks nothing of any network. Knows jinja2, as render.py does.

render.py's environment quotes for bash; this one's escapes for HTML.
"""

import json
from pathlib import Path

import jinja2
from markupsafe import Markup

from hpcsubmit.render import shipped_templates


def render_page(name: str, data: object, **values: object) -> str:
    """Return the page of NAME.html.j2, with the styles and the scripts of the folder NAME beside it in it.

    data: what the scripts find as JSON; its numbers are finite. Text that is not UTF-8 is shown by its codes.
    """
    folder = shipped_templates()
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    page = environment.get_template(f"{name}.html.j2").render(
        style=_parts(folder / name, "*.css"),
        script=_parts(folder / name, "*.js"),
        data=json_in_html(data),
        **values,
    )
    return page.encode("utf-8", "backslashreplace").decode()


def json_in_html(data: object) -> Markup:
    """Return JSON that a `<script>` can hold: whatever the texts in it are, they cannot end it."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - no character is left that HTML reads


def _parts(folder: Path, pattern: str) -> Markup:
    texts = [path.read_text("utf-8") for path in sorted(folder.glob(pattern))]
    return Markup("\n".join(texts))  # noqa: S704 - files of our own
