"""The JSON schema of hpcsubmit.yaml, made from the options of a submission and the fields of a profile.

It refuses what surely is wrong, so that an editor marks it; hpcsubmit itself knows the rest.
"""

import itertools
import json
from collections.abc import Callable, Mapping
from typing import Any

import click

from hpcsubmit.application import PROFILE_NAME
from hpcsubmit.cli.application_keys import COMMAND, KEYS, keys_of
from hpcsubmit.cli.options import Option
from hpcsubmit.cli.settled import EXCLUDING
from hpcsubmit.profile import FIELDS, parse_fields
from hpcsubmit.request import LAUNCHER_NAMES
from hpcsubmit.values import LARGEST_INT

Schema = dict[str, Any]

_TIME = r"^([0-9]{1,9}-[0-9]{1,2}(:[0-9]{1,2}){0,2}|[0-9]{1,9}(:[0-9]{1,2}){0,2})$"
_AMOUNT = r"^[1-9][0-9]{0,8}[GM]$"
_TEXT: Schema = {"type": ["string", "integer"]}
_LINE: Schema = {"type": "string", "minLength": 1}
_COUNT = {
    "type": ["integer", "string"],
    "minimum": 1,
    "maximum": LARGEST_INT,
    "pattern": r"^0*[1-9][0-9]{0,6}$",
}
_OPTION_FORMS: Mapping[str, Schema] = {
    "integer": _COUNT,
    "integer|auto": {"anyOf": [_COUNT, {"const": "auto"}]},
    "dd-HH:MM:SS": {"type": "string", "pattern": _TIME, "examples": ["00-01:00:00"]},
    "amount": {"type": "string", "pattern": _AMOUNT, "examples": ["10G", "4000M"]},
    "launcher": {"enum": sorted(LAUNCHER_NAMES)},
    "name": _TEXT | {"pattern": r"^[A-Za-z0-9._+:@,-]*$"},
    "image": _TEXT | {"pattern": r"\S", "examples": ["image.sif"]},
    "folder": _TEXT | {"pattern": r"^/"},
    "configs": _TEXT | {"pattern": r"\S"},
    "path": _TEXT | {"pattern": r"^[^/\n\\]"},
    "SRC[:DST[:ro]]": {"type": "string", "pattern": r"^[^:,]+(:/+[^:,/][^:,]*(:(ro|rw))?)?$"},
    "--name=value": {"type": "string", "pattern": r"^--[a-z][a-z0-9-]*(=|$)"},
}
"""By the option, else by the word that stands for its value in its help; other values are texts."""
_FIELD_FORMS: Mapping[str, Schema] = {
    "one line of text": _LINE,
    "a list of texts, [a, b]": {"type": "array", "items": _LINE},
    "names with a text each, {NAME: text}": {"type": "object", "additionalProperties": _LINE},
    "names with a text or a number each, {NAME: text}": {
        "type": "object",
        "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
        "additionalProperties": {"type": ["string", "number"], "minLength": 1},
    },
    "a whole number above 0": {"type": "integer", "minimum": 1},
    "a whole number, 0 or more": {"type": "integer", "minimum": 0},
    "true or false": {"type": "boolean"},
    "a time in quotes, 'dd-HH:MM:SS'": {"type": "string", "pattern": _TIME},
    "an amount such as 10G or 4000M": {"type": "string", "pattern": _AMOUNT},
    "an absolute path": {"type": "string", "pattern": "^/"},
    "the name of an option, --name": {"type": "string", "pattern": "^--[A-Za-z]"},
}
"""By the words of the error that a wrong value of a profile's field gets."""
_HOLDS: Schema = {"not": {"enum": [None, False]}}


def schema_text(form_of: Callable[[str], str]) -> str:
    """Return the schema as JSON; form_of says which values a field of a profile takes."""
    return json.dumps(_schema(form_of), indent=1, ensure_ascii=False) + "\n"


def _schema(form_of: Callable[[str], str]) -> Schema:
    options = {keys_of(option)[0]: option for option in KEYS.values()}
    profile_names = {"pattern": f"^{PROFILE_NAME}$"}
    above: Schema = {
        "cluster": {
            "type": ["string", "null"],
            "description": "The cluster's profile, if it is not detected.",
        },
        "profiles": {
            "description": "Changes to profiles, and new ones, by their names.",
            "type": ["object", "null"],
            "propertyNames": profile_names,
            "additionalProperties": {"$ref": "#/$defs/profile"},
        },
        "clusters": {
            "description": "Other values on single clusters, by their profiles' names.",
            "type": ["object", "null"],
            "propertyNames": profile_names,
            "additionalProperties": _submission({}),
        },
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "hpcsubmit.yaml",
        "description": "What hpcsubmit does in a project; what is typed on the command line wins.",
        **_submission(above),
        "$defs": {
            COMMAND: {
                "description": "The command to run, as you type it. $NAME gets its value on the node.",
                "type": ["string", "null"],
                "pattern": r"\S",
                "examples": ["python main.py"],
            },
            **{key: _option(option) for key, option in options.items()},
            "profile": _profile(form_of),
        },
    }


def _submission(above: Schema) -> Schema:
    """The keys of a submission, beside others; every other key is refused."""
    keys = {key: {"$ref": f"#/$defs/{keys_of(option)[0]}"} for key, option in KEYS.items()}
    return {
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": {COMMAND: {"$ref": f"#/$defs/{COMMAND}"}, **keys, **above},
        "patternProperties": {
            f"^{key.replace('-', '[-_]')}$": value for key, value in keys.items() if "-" in key
        },
        "allOf": [_not_both(one, other) for one, other in _exclusive()],
    }


def _exclusive() -> list[tuple[str, str]]:
    """Pairs of keys that exclude each other."""
    keys = {str(option.name): keys_of(option) for option in KEYS.values()} | {COMMAND: (COMMAND,)}
    pairs = [pair for group in EXCLUDING for pair in itertools.combinations(group, 2)]
    return [found for one, other in pairs for found in itertools.product(keys[one], keys[other])]


def _not_both(one: str, other: str) -> Schema:
    both = {"type": "object", "required": [one, other], "properties": {one: _HOLDS, other: _HOLDS}}
    return {"not": both}


def _option(option: Option) -> Schema:
    default = f" Without it: {option.shown_default}." if option.shown_default else ""
    about = {"title": option.opts[-1], "description": f"{option.help or ''}{default}".strip()}
    if option.is_flag:
        return about | {"type": ["boolean", "null"]}
    form = _form(option)
    if option.multiple:
        form = {"anyOf": [{"type": "array", "items": form}, form]}
    elif "," in option.type.name:
        form = {"anyOf": [{"type": "array", "items": {"type": ["integer", "string"]}}, _TEXT]}
    return about | _or_null(form)


def _form(option: Option) -> Schema:
    if isinstance(option.type, click.Choice):
        return {"enum": list(option.type.choices)}
    return _OPTION_FORMS.get(str(option.name)) or _OPTION_FORMS.get(option.type.name, _TEXT)


def _profile(form_of: Callable[[str], str]) -> Schema:
    return {
        "description": "The fields of a profile; those that are not named stay as they are.",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            name: {"description": field.metadata["doc"], **_or_null(_field(name, form_of(name)))}
            for name, field in FIELDS.items()
        },
    }


def _field(name: str, form: str) -> Schema:
    words = form.split(" or ")
    if form in _FIELD_FORMS:
        return _FIELD_FORMS[form]
    for word in words:
        parse_fields({name: word}, "a word of its own error")  # which names exactly what it takes
    return {"enum": words}


def _or_null(form: Schema) -> Schema:
    """The form, or nothing at all, which takes back what is said elsewhere."""
    if "enum" in form:
        return form | {"enum": [*form["enum"], None]}
    if "anyOf" in form:
        return {"anyOf": [*form["anyOf"], {"type": "null"}]}
    types = form["type"] if isinstance(form["type"], list) else [form["type"]]
    return form | {"type": [*types, "null"]}
