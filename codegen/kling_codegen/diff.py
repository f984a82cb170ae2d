"""Two trees of specs -> what changed, and what each change means to whoever calls the models."""

from __future__ import annotations

import io
import json
import math
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, cast

import click
from pydantic import MISSING

from kling_codegen import docs, ir
from kling_codegen.language import Gateway, Spec
from kling_codegen.load import Specs, SpecsInvalid, load
from kling_codegen.messages import cut
from kling_codegen.report import say
from kling_codegen.rules import Rule
from kling_codegen.schema import Schema, violations

Level: TypeAlias = Literal["breaking", "warning", "additive", "documentation"]
# By weight: the part of the version that each raises, and the part it raises while the version is 0.x.
LEVELS: Final[Mapping[Level, tuple[str, str]]] = {
    "breaking": ("major", "minor"),
    # Behaviour changes although nothing fails: it must not arrive unnoticed in a patch.
    "warning": ("minor", "minor"),
    "additive": ("minor", "patch"),
    "documentation": ("patch", "patch"),
}
# Each limit: whether more (1) or less (-1) is narrower, what holds without it, and what is beyond it.
BOUNDS: Final[Mapping[str, tuple[int, float, str]]] = {
    "minimum": (1, -math.inf, "smaller numbers"),
    "maximum": (-1, math.inf, "larger numbers"),
    "minLength": (1, 0, "shorter texts"),
    "maxLength": (-1, math.inf, "longer texts"),
    "minItems": (1, 0, "shorter lists"),
    "maxItems": (-1, math.inf, "longer lists"),
    "max_bytes": (-1, math.inf, "larger files"),
}
UNCHANGED = "calls and results stay the same"
# What decides neither which calls are taken nor what they are called.
SILENT: Final[Mapping[str, tuple[Level, str]]] = {
    "default": ("warning", "calls that do not set it may do something else"),
    "description": ("documentation", UNCHANGED),
}


@dataclass(frozen=True)
class Change:
    """One difference. `path` is empty where it is in no parameter; MISSING is what was or is not there."""

    level: Level
    path: str
    what: str
    before: Any
    after: Any
    why: str
    model: str = ""

    def __str__(self) -> str:
        return f"{self.level}: {self.model}{self.path and ' '}{self.path}: {self.text} ({self.why})"

    @property
    def text(self) -> str:
        """What changed, from what to what."""
        return f"{self.what} {cut(_shown(self.before))} -> {cut(_shown(self.after))}"


def compare(old: Specs, new: Specs) -> list[Change]:
    """Return every change, the weightiest first; what was only put in another order is none."""
    before, after = ({spec.slug: spec for spec in specs.models} for specs in (old, new))
    found: list[Change] = []
    # The specs of a package of its own have none.
    if old.gateway is not None and new.gateway is not None:
        found += [replace(change, model="gateway") for change in _gateway(old.gateway, new.gateway)]
    for slug in before.keys() | after.keys():
        if slug not in after:
            changes = [_step("", "model", before[slug].title, MISSING, "calls of it", narrower=True)]
        elif slug not in before:
            changes = [_step("", "model", MISSING, after[slug].title, "calls of it", narrower=False)]
            if new.gateway is not None:
                # The models of the core come first.
                why = f"{changes[0].why}; a package that registers the same slug loses it"
                changes = [replace(changes[0], why=why)]
        elif before[slug] == after[slug]:
            continue
        else:
            changes = list(_model(before[slug], after[slug]))
            if before[slug].input != after[slug].input:
                changes += _python(before[slug], after[slug])
        found += [replace(change, model=slug) for change in changes]
    weights = list(LEVELS)
    return sorted(found, key=lambda each: (weights.index(each.level), each.model, each.path, each.text))


def bump(changes: Iterable[Change]) -> tuple[str, str]:
    """Return which part of the version to raise, and which while it is 0.x."""
    found = {change.level for change in changes}
    return next((parts for level, parts in LEVELS.items() if level in found), ("none", "none"))


def _step(path: str, what: str, before: Any, after: Any, concerned: str, *, narrower: bool) -> Change:
    """Return a change of what is taken: refusing more breaks, taking more adds."""
    level: Level = "breaking" if narrower else "additive"
    return Change(level, path, what, before, after, f"{concerned} are {'refused' if narrower else 'taken'}")


def _model(old: Spec, new: Spec) -> Iterator[Change]:
    if old.returns != new.returns:
        yield Change("breaking", "", "returns", old.returns, new.returns, "results are of another kind")
    for change in _properties(old.input.as_schema(), new.input.as_schema(), ""):
        if change.what == "default" and any(_judges(rule, change) for rule in new.rules):
            why = "a rule counts it for calls that do not set it, and may refuse them"
            yield replace(change, level="breaking", why=why)
        else:
            yield change
    yield from _rules(old, new)
    known = {"slug", "returns", "input", "rules"}
    was, now = (spec.model_dump(mode="json", by_alias=True, exclude=known) for spec in (old, new))
    for at, before, after in _differences(was, now):
        yield Change("documentation", "", ".".join(at), before, after, UNCHANGED)


def _properties(old: Schema, new: Schema, path: str) -> Iterator[Change]:
    """Compare the parameters of two objects; these take nothing else."""
    known, wanted = _both("properties", old, new, {})
    for name in known.keys() | wanted.keys():
        at = f"{path}.{name}".lstrip(".")
        was, must = (name in names for names in _both("required", old, new, []))
        if name not in wanted:
            yield _step(at, "parameter", known[name].type, MISSING, "calls that give it", narrower=True)
        elif name not in known:
            what, concerned = "parameter", "calls that give it"
            if must:
                what, concerned = "required parameter", "calls without it"
            yield _step(at, what, MISSING, wanted[name].type, concerned, narrower=must)
        else:
            if was != must:
                yield _step(at, "required", was, must, "calls without it", narrower=must)
            for change in _schema(known[name], wanted[name], at):
                # A required parameter cannot have a default: that it goes or comes is no news.
                if was == must or (change.path, change.what) != (at, "default"):
                    yield change


def _schema(old: Schema, new: Schema, path: str) -> Iterator[Change]:
    """Compare two schemas of one value."""
    if (old.kind, new.kind) == ("integer", "number"):
        yield _step(path, "type", old.kind, new.kind, "fractions", narrower=False)
    elif old.kind != new.kind:
        yield _step(path, "type", old.kind, new.kind, "values of the old type", narrower=True)
        return
    if old.nullable != new.nullable:
        yield _step(path, "nullable", old.nullable, new.nullable, "calls with null", narrower=old.nullable)
    if "enum" in old.given() or "enum" in new.given():
        yield from _allowed(old, new, path)
    else:
        for key in BOUNDS:
            yield from _bound(key, path, *_both(key, old, new))
        before, after = _both("format", old, new)
        if before != after:
            yield _step(path, "format", before, after, "texts that are no URL", narrower=before is MISSING)
    if old.items is not MISSING and new.items is not MISSING:
        yield from _schema(old.items, new.items, f"{path}[]")
    yield from _properties(old, new, path)
    for key, (level, why) in SILENT.items():
        before, after = _both(key, old, new)
        if before != after:
            yield Change(level, path, key, before, after, why)


def _allowed(old: Schema, new: Schema, path: str) -> Iterator[Change]:
    """Compare what is allowed where one side has an enum; the other may have bounds instead."""
    lost, gained = _refused(old, new), _refused(new, old)
    values = lost or gained
    if values:
        concerned = "other values" if values is True else f"calls with {_shown(values)}"
        yield _step(path, "enum", _limits(old), _limits(new), concerned, narrower=bool(lost))


def _refused(mine: Schema, other: Schema) -> list[Any] | Literal[True]:
    """Return the values of `mine` that `other` refuses; True if they cannot be listed."""
    values = _values(mine)
    return values is None or [value for value in values if any(violations(other, value))]


def _values(schema: Schema) -> list[Any] | None:
    """Return what is allowed, if it can be listed; without null, which is a matter of the type."""
    values = schema.given().get("enum", [True, False] if schema.kind == "boolean" else None)
    return values and [value for value in values if value is not None]


def _limits(schema: Schema) -> Any:
    given = {name: value for name, value in schema.given().items() if name in BOUNDS or name == "format"}
    return _values(schema) or given or MISSING


def _bound(key: str, path: str, before: Any, after: Any) -> Iterator[Change]:
    sign, absent, beyond = BOUNDS[key]
    was, now = (sign * (absent if limit is MISSING else limit) for limit in (before, after))
    if was != now:
        yield _step(path, key, before, after, beyond, narrower=now > was)


def _rules(old: Spec, new: Spec) -> Iterator[Change]:
    """Compare what the rules ask for, however they are cut. The rules of a new parameter are part of it."""
    asked, asks = _conditions(old), _conditions(new)
    for field, kind in asked.keys() | asks.keys():
        before, after = (conditions.get((field, kind), MISSING) for conditions in (asked, asks))
        other, others = (old, asked) if before is MISSING else (new, asks)
        if set(field.split(", ")) - other.input.properties.keys():
            continue
        if kind == "max_bytes":
            yield from _bound(kind, field, before, after)
        elif MISSING in (before, after):
            condition = after if before is MISSING else before
            if not _implied(condition, others, other.input.required):
                yield _step(field, "rule", before, after, "calls that break it", narrower=before is MISSING)


def _implied(condition: Any, others: Iterable[tuple[str, str]], required: list[str]) -> bool:
    """Whether a condition asks for nothing more than the keys of `others` do and what is required anyway."""
    match condition:
        case {"requires": str(name)}:
            return name in required
        case {"at_least_one_of": names}:
            groups = [{name} for name in required]
            groups += [set(field.split(", ")) for field, kind in others if kind == "at_least_one_of"]
            return any(group < set(names) for group in groups)
        case _:
            return False


def _conditions(spec: Spec) -> dict[tuple[str, str], Any]:
    """Return the smallest conditions that the rules consist of, by the parameter that each judges and its text."""
    found: dict[tuple[str, str], Any] = {}
    for rule in spec.rules:
        if rule.requires is not MISSING:
            equals = [{name: value} for name, value in rule.requires.equals.items()]
            each = [(rule.requires.field, {"requires": asked}) for asked in (*rule.requires.present, *equals)]
            found |= {(field, _shown(condition)): condition for field, condition in each}
        elif rule.max_bytes is not MISSING:
            key = rule.max_bytes.field, "max_bytes"
            found[key] = min(rule.max_bytes.bytes, found.get(key, math.inf))
        elif rule.references is not MISSING:
            condition = {"references": rule.references.model_dump(exclude={"field"})}
            found[rule.references.field, _shown(condition)] = condition
        elif rule.at_least_one_of is not MISSING:
            names = sorted(rule.at_least_one_of.root)
            found[", ".join(names), "at_least_one_of"] = {"at_least_one_of": names}
        elif rule.mutually_exclusive is not MISSING:
            for pair in combinations(sorted(rule.mutually_exclusive.root), 2):
                found[", ".join(pair), "mutually_exclusive"] = {"mutually_exclusive": list(pair)}
    return found


def _judges(rule: Rule, change: Change) -> bool:
    """Whether a changed default can make a rule refuse calls that it let pass."""
    if (needs := rule.requires) is not MISSING:
        return bool(needs.equals.get(change.path, change.after) != change.after)
    return rule.references is not MISSING and change.path in (rule.references.field, rule.references.list)


def _python(old: Spec, new: Spec) -> Iterator[Change]:
    """Compare what the same things are called in Python, and whether "5" still does for 5."""
    before, after = (_classes(spec) for spec in (old, new))
    for path in before.keys() & after.keys():
        was, now = before[path], after[path]
        if was.name != now.name:
            yield Change("breaking", path, "class", was.name, now.name, "imports of the class fail")
        fields = {field.wire: field for field in now.fields}
        for field in was.fields:
            at, other = f"{path}.{field.wire}".lstrip("."), fields.get(field.wire, field)
            if field.name != other.name:
                yield Change("breaking", at, "attribute", field.name, other.name, "code that reads it fails")
            if "IntOrStr[" in field.type and "IntOrStr[" not in other.type:
                concerned = 'stand-ins such as "5" for 5'
                yield _step(at, "other form", "taken", "refused", concerned, narrower=True)


def _classes(spec: Spec) -> dict[str, ir.Class]:
    """Return the class of each object of a model by its path; that of the model itself is empty."""
    module = ir.build(spec)
    return dict(zip(_objects(spec.input.as_schema(), ""), (*module.parts, module.model), strict=True))


def _objects(schema: Schema, path: str) -> Iterator[str]:
    """Yield the path of each object, those within it first, as the classes come."""
    for name, part in schema.given().get("properties", {}).items():
        inner, at = part, f"{path}.{name}".lstrip(".")
        while inner.items is not MISSING:
            inner, at = inner.items, f"{at}[]"
        if inner.kind == "object":
            yield from _objects(inner, at)
    yield path


def _gateway(old: Gateway, new: Gateway) -> Iterator[Change]:
    for at, before, after in _differences(old.model_dump(mode="json"), new.model_dump(mode="json")):
        level, why = _gateway_verdict(at, before, after)
        yield Change(level, ".".join(at), "value", before, after, why)


def _gateway_verdict(at: tuple[str, ...], before: Any, after: Any) -> tuple[Level, str]:  # noqa: PLR0911  a table
    match at:
        case ("states" | "errors", _, "meaning" | "source"):
            return "documentation", UNCHANGED
        case ("states", _) if before is MISSING:
            return "additive", "jobs may be in it"
        case ("errors", _) if before is MISSING:
            return "warning", "submits that are answered so are treated as it says"
        case ("record_lifetime_seconds" | "output_lifetime_seconds",):
            return ("additive", "it is gone later") if after > before else ("breaking", "it is gone sooner")
        case ("errors", _, "submit") if after == "safe":
            return "warning", "submits that are answered so are repeated"
        case ("statuses", *_):
            return "warning", "failures are treated as it says"
        case ("key", "header") | ("paths", _):
            return "warning", "requests look different, calls stay the same"
        case ("base_url",) | ("upload_url",):
            return "breaking", "the key goes to another host"
        case _:
            return "breaking", "code that relies on it goes wrong"


def _differences(old: Any, new: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Yield where two plain values differ, as far up as one side has nothing to compare."""
    before, after = _parts(old, at), _parts(new, at)
    if before is not None and after is not None:
        for key in before.keys() | after.keys():
            yield from _differences(before.get(key, MISSING), after.get(key, MISSING), (*at, key))
    elif old != new:
        yield at, old, new


def _parts(value: Any, at: tuple[str, ...]) -> dict[str, Any] | None:
    """Return what a value is made of. The items of a list, states say, go by their name, which comes first."""
    if isinstance(value, dict):
        return cast("dict[str, Any]", value)
    if not isinstance(value, list) or len(at) != 1:
        return None
    items = cast("list[dict[str, Any]]", value)
    named = {str(next(iter(item.values()))): item for item in items}
    return named if len(named) == len(items) else dict(zip(map(str, range(len(items))), items, strict=True))


def _both(name: str, old: Schema, new: Schema, without: Any = MISSING) -> tuple[Any, Any]:
    return old.given().get(name, without), new.given().get(name, without)


def _shown(value: Any) -> str:
    if value is MISSING:
        return "none"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(part)}" for key, part in cast("dict[str, Any]", value).items())
    if isinstance(value, list) and value:
        return ", ".join(_shown(item) for item in cast("list[object]", value))
    # A text that could be taken for something else is in quotes.
    if isinstance(value, str) and value.isidentifier() and value not in {"none", "null", "true", "false"}:
        return value
    return json.dumps(value, ensure_ascii=False)


def as_text(changes: list[Change], old: str, new: str) -> str:
    """Return one line a change, then the part of the version to raise."""
    part, early = bump(changes)
    lines = [str(change) for change in changes] or [f"{old} and {new} say the same"]
    return "\n".join([*lines, f"version: {part} (while it is 0.x: {early})"])


def as_markdown(changes: list[Change], old: str, new: str) -> str:
    """Return a table for each level, as a comment on a pull request."""
    part, early = bump(changes)
    lines = [
        f"### Specs: {_code(old)} to {_code(new)}",
        "",
        f"Version: **{part}** (while it is 0.x: **{early}**)",
    ]
    for level in LEVELS:
        rows = [
            f"| {each.model} | {_code(each.path)} | {_code(each.text)} | {docs.prose(each.why)} |"
            for each in changes
            if each.level == level
        ]
        if rows:
            lines += ["", f"#### {level.capitalize()}: {len(rows)}", ""]
            lines += ["| model | where | change | why |", "|---|---|---|---|", *rows]
    return "\n".join(lines)


def as_json(changes: list[Change], old: str, new: str) -> str:
    """Return everything as one JSON object; what was or is not there is left out of a change."""
    part, early = bump(changes)
    plain = [
        {name: value for name, value in vars(change).items() if value is not MISSING} for change in changes
    ]
    whole = {"old": old, "new": new, "version": part, "version_0x": early, "changes": plain}
    return json.dumps(whole, indent=2)


def _code(text: str) -> str:
    # As code, @Element1 calls nobody and <<<voice_1>>> is not lost.
    return docs.code(text) if text else ""


FORMATS: Final = {"text": as_text, "markdown": as_markdown, "json": as_json}


@click.command("diff")
@click.argument("old")
@click.argument("new")
@click.option(
    "--specs",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("specs"),
    show_default=True,
    help="The folder of the spec files within a git revision.",
)
@click.option("--format", "form", type=click.Choice(list(FORMATS)), default="text", show_default=True)
def command(old: str, new: str, specs: Path, form: str) -> None:
    """Say what changed between two trees of specs and what it means to callers; exit 1 if something breaks.

    OLD and NEW are each a folder of specs, or a git revision such as HEAD~1 or v0.1.0.
    """
    sides: list[Specs] = []
    for side, name in (("OLD", old), ("NEW", new)):
        try:
            sides.append(load(Path(name)) if Path(name).is_dir() else _revision(name, specs))
        except (SpecsInvalid, click.ClickException) as error:
            say(f"{side} cannot be compared:\n{error}", err=True)
    if len(sides) < 2:
        sys.exit(2)
    changes = compare(*sides)
    say(FORMATS[form](changes, old, new))
    sys.exit(int(any(change.level == "breaking" for change in changes)))


def _revision(name: str, specs: Path) -> Specs:
    """Load the specs of a git revision; problems name files as git does, v0.1.0:specs/kling-2.yaml."""
    try:
        top = Path(_git(Path(), "rev-parse", "--show-toplevel").decode().removesuffix("\n"))
        wanted = ["--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"]
        commit = _git(top, "rev-parse", *wanted).decode().strip()
    except (OSError, subprocess.CalledProcessError):
        raise click.ClickException(f"{name} is neither a folder nor a git revision") from None
    # Not resolve() of the whole: the folder itself may be a link today, or not be there.
    inside = Path(os.path.relpath(specs.parent.resolve() / specs.name, top)).as_posix()
    try:
        archive = _git(top, "archive", "--format=zip", commit, "--", inside)
    except subprocess.CalledProcessError:
        raise click.ClickException(f"{name} has no folder {inside}") from None
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(io.BytesIO(archive)) as files:
        files.extractall(folder)
        try:
            return load(Path(folder) / inside)
        except SpecsInvalid as error:
            raise click.ClickException(str(error).replace(f"{folder}/", f"{name}:")) from None


def _git(folder: Path, *arguments: str) -> bytes:
    command = ["git", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, check=True).stdout  # noqa: S603
