"""Write valid specs that differ from each other in everything a spec may say.

    python benchmarks/synthetic.py 1000 FOLDER [--seed 7]

The same numbers give the same files. Each is about as long as a real one. It knows the language only from
specs/README.md, not from the compiler, so that it can be used to test it.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import textwrap
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

Schema = dict[str, Any]

NAMES = re.findall(
    r"\w+",
    "prompt negative_prompt duration seed cfg_scale mode aspect_ratio resolution image_url tail_image_url "
    "start_image_url reference_images video_url audio_url voice_ids elements camera_control multi_shot shots "
    "guidance steps strength watermark sound language style fps quality motion frames loop webhook_url",
)
# What Python, pydantic, a client's call or a generated module already means by a name, and what no name can be.
ODD_NAMES = re.findall(
    r"[^,\s][^,]*",
    "class,class_,from,self,cls,json,schema,wire,adapter,copy,model_config,model_fields,params,model,prompt_,"
    "Literal,Any,Field,MISSING,Media,Sequence,str,int,list,dict,type,None,timeout,extra,save_to,_private,__dunder,"
    "1k-size,größe,x.y,kebab-case,2nd,Prompt,PROMPT,async,match,validate,Input,elementsInput,with space,it's,日本",
)
WORDS = re.findall(
    r"\S+",
    "the a of first last frame video camera model must may not longer than which text image sound speed slow "
    "moves around subject while light stays same colour (optional) 16:9 1080p 50% max. e.g. –5° naïve café 映像 🎬",
)
AWKWARD = [
    "\\",
    'say "cheese"',
    '"""',
    "it's",
    "{n}",
    "{{x}}",
    "{% x %}",
    "#",
    "a\\",
    "<b>",
    "`code`",
    "@Image?",
]
TEXT_VALUES = [
    "std", "pro", "16:9", "9:16", "on", "no", "null", "auto", "1080p", "", " ", "A B", "é", "日本", "🎬",
    'a"b', "a'b", "a\\b", "a\nb", "1.0", "-1", "05", "true", "~", "{n}", "#1", "%", "x" * 120,
]  # fmt: skip
URLS = [
    "https://example.com/a.png",
    "http://cdn.example.org:8080/x?y=1&z=%20#top",
    "https://例え.jp/画像.mp4",
]
# Some YAML readers do not read them as text unless they are quoted.
AMBIGUOUS = {"null", "true", "false", "yes", "no", "on", "off"}
GROUPS = ["at_least_one_of", "mutually_exclusive", "exactly_one_of"]
KINDS = ["string", "integer", "number", "boolean", "uri", "array", "object"]
WEIGHTS = [30, 18, 10, 10, 12, 12, 5]


def numbers_in_items(properties: Mapping[str, Schema]) -> list[str]:
    """Return the paths of numbers in the items of lists of objects."""
    return [
        f"{name}.{inner}"
        for name, part in properties.items()
        for inner, number in part.get("items", {}).get("properties", {}).items()
        if number["type"] in ("integer", "number") and "." not in name + inner
    ]


class Writer:
    """One spec; every choice comes from its own seed, so that it does not depend on those before it."""

    def __init__(self, number: int, seed: int) -> None:
        self.rng = random.Random(f"{seed}/{number}")
        self.number = number

    def spec(self) -> dict[str, Any]:
        """Return the whole spec, as plain values."""
        rng = self.rng
        slug = rng.choice(["syn-{}", "syn-{}.5-turbo", "s{}", "syn-v2-{}.image2video", "syn{}-pro"])
        properties = self.properties(rng.randint(2, 12), depth=0)
        rules = self.rules(properties)
        # A required parameter is always present, so no rule about presence names it.
        groups: list[list[str]] = [next((rule[key] for key in GROUPS if key in rule), []) for rule in rules]
        groups += [rule["when"]["then"]["forbidden"] for rule in rules if "when" in rule]
        free = sorted(properties.keys() - {name for group in groups for name in group})
        required = [name for name in free if "default" not in properties[name] and rng.random() < 0.3]
        self.add_life(
            {name: properties[name] for name in free if name not in required and name not in str(rules)}
        )
        spec: dict[str, Any] = {
            "slug": slug.format(self.number),
            "title": f"Synthetic {self.number}{rng.choice(['', ' “Pro”', ' (Größe)', ' 映像', chr(34), chr(92)])}",
            "summary": self.sentence(90),
            "returns": rng.choice(["video", "image", "audio", "text"]),
            "latency_seconds": rng.choice([None, 60, 57.86, 0.5, 1800]),
            "source": {
                "page": f"https://example.com/models/{self.number}/api",
                "document": f"{self.number:03}_ümlaut.txt",
                "read": date(2026, 1, 1) + timedelta(days=self.number % 300),
            },
            "input": {"required": required, "properties": properties},
        }
        if not required and rng.random() < 0.5:
            del spec["input"]["required"]
        if rules:
            spec["rules"] = rules
        if rng.random() < 0.3:
            low = rng.choice([0, 0.05, 0.504])
            units = ["generation", "second", "minute", "image", "megapixel"]
            spec["pricing"] = {"currency": "USD", "from": low, "to": low * 2, "unit": rng.choice(units)}
        if rng.random() < 0.1:
            reason = {"reason": self.text(60)}
            spec["lint"] = [
                {"silence": "no-example", **reason},
                {"silence": "sample-default", "about": "prompt", **reason},
            ]
        if rng.random() < 0.3:
            about = rng.choice(list(properties))
            discrepancy = {"about": about, "page": self.text(200), "decision": self.text(100)}
            spec["discrepancies"] = [discrepancy] * rng.randint(1, 2)
        if rng.random() < 0.05:
            spec["retired"] = {"since": date(2026, 6, 1), "use": "syn-1"}
        if rng.random() < 0.8:
            spec["examples"] = [
                {"name": f"example {number}", "input": self.example(spec["input"], rules)}
                for number in range(rng.randint(1, 2))
            ]
        return spec

    def properties(self, count: int, depth: int) -> dict[str, Schema]:
        """Return parameters, or the properties of an object at some depth."""
        rng = self.rng
        pool = [*NAMES, *ODD_NAMES] if rng.random() < 0.3 else NAMES
        return {name: self.schema(depth) for name in rng.sample(pool, count)}

    def add_life(self, properties: Mapping[str, Schema]) -> None:
        """Give some parameters an old name, a deprecation, or a list beside their text."""
        rng = self.rng
        for number, schema in enumerate(properties.values()):
            if rng.random() < 0.1:
                schema["renamed_from"] = [f"former_{number}"]
            if rng.random() < 0.1:
                schema["deprecated"] = {"since": date(2026, 6, 1), "use": "another parameter"}
            is_plain_text = schema["type"] == "string" and schema.keys() <= {"type", "description", "default"}
            if is_plain_text and rng.random() < 0.3:
                schema["or"] = {"type": "array", "items": {"type": "string"}}

    def schema(self, depth: int, *, item: bool = False) -> Schema:
        """Return one parameter, or an item of an array."""
        rng = self.rng
        kind = rng.choices(KINDS, [*WEIGHTS[:5], *(weight / (depth * 2 + 1) for weight in WEIGHTS[5:])])[0]
        schema = self.bare(kind, depth)
        if rng.random() < 0.2:
            schema["type"] = [schema["type"], "null"]
            if "enum" in schema:
                schema["enum"] = [*schema["enum"], None]
        if rng.random() < (0.1 if item else 0.9):
            schema["description"] = self.text(rng.choice([30, 60, 90, 90, 300]))
        if not item and rng.random() < 0.4 and kind != "object":
            schema["default"] = self.default(schema)
        return schema

    def bare(self, kind: str, depth: int) -> Schema:
        """Return a schema without null, description and default."""
        rng = self.rng
        match kind:
            case "uri":
                media = rng.choice([{}, {"media": rng.choice(["image", "video", "audio"])}])
                return {"type": "string", "format": "uri", **media}
            case "string":
                values = rng.choice(
                    [["5", "10"], ["3", "15", "7"], rng.sample(TEXT_VALUES, rng.randint(1, 6))]
                )
                return {"type": "string", **rng.choice([{}, {"enum": values}, self.span("Length", 0, 2500)])}
            case "integer":
                numbers = rng.choice([[5, 10], [1], [0, -1], list(range(3, 16)), [2**53 + 1]])
                bounds = rng.choice([(0, 10), (-100, 100), (1, 2**64 - 1), (0, 2**31 - 1), (1, 9999999999)])
                return {"type": "integer", **rng.choice([{}, {"enum": numbers}, self.bounds(*bounds)])}
            case "number":
                limits = rng.choice([(0, 1), (0.5, 2.5), (-10, 10), (1e-7, 1e20), (-0.1, 0.1), (0, 1.0)])
                return {"type": "number", **rng.choice([{}, self.bounds(*limits)])}
            case "boolean":
                return {"type": "boolean", **rng.choice([{}, {}, {"enum": [True]}, {"enum": [False, True]}])}
            case "array":
                sizes = rng.choice([{}, self.span("Items", 0, 10)])
                return {"type": "array", "items": self.schema(depth + 1, item=True), **sizes}
            case _:
                properties = self.properties(rng.randint(1, 4), depth + 1)
                schema: Schema = {"type": "object", "properties": properties}
                required = [name for name, part in properties.items() if "default" not in part]
                if required and rng.random() < 0.6:
                    schema["required"] = rng.sample(required, rng.randint(1, len(required)))
                return schema

    def span(self, suffix: str, low: int, high: int) -> Schema:
        """Return limits of a length."""
        first, last = sorted((self.rng.randint(low, 3), self.rng.randint(3, high)))
        return self.rng.choice(
            [{f"min{suffix}": first}, {f"max{suffix}": last}, {f"min{suffix}": first, f"max{suffix}": last}]
        )

    def bounds(self, low: float, high: float) -> Schema:
        """Return one of these bounds or both."""
        return self.rng.choice([{"minimum": low}, {"maximum": high}, {"minimum": low, "maximum": high}])

    def default(self, schema: Schema) -> Any:
        """Return a default; that of a list of lists or objects can only be empty."""
        nested = schema.get("items", {}).get("type")
        if nested is not None and {"array", "object"} & set(nested if isinstance(nested, list) else [nested]):
            if schema.get("minItems"):
                schema.pop("minItems")
            return []
        return self.value(schema)

    def value(self, schema: Schema) -> Any:
        """Return a value that fits."""
        rng = self.rng
        kind = schema["type"]
        if isinstance(kind, list):
            if rng.random() < 0.2:
                return None
            kind = kind[0]
        if "enum" in schema:
            return rng.choice([value for value in schema["enum"] if value is not None])
        if schema.get("format") == "uri":
            return rng.choice(URLS)
        match kind:
            case "string":
                low, high = schema.get("minLength", 0), schema.get("maxLength", 2500)
                return (self.text(40) + "x" * low)[:high]
            case "integer":
                low = schema.get("minimum", min(0, schema.get("maximum", 0)))
                return rng.randint(low, min(schema.get("maximum", low + 1000), low + 1000))
            case "number":
                low = schema.get("minimum", min(0, schema.get("maximum", 0)))
                return rng.choice([low, schema.get("maximum", low + 0.25)])
            case "boolean":
                return rng.random() < 0.5
            case "array":
                low = schema.get("minItems", 0)
                count = rng.randint(low, min(schema.get("maxItems", low + 2), low + 2))
                return [self.value(schema["items"]) for _ in range(count)]
            case _:
                required = schema.get("required", [])
                return {
                    name: self.value(part)
                    for name, part in schema["properties"].items()
                    if name in required or rng.random() < 0.5
                }

    def rules(self, properties: Mapping[str, Schema]) -> list[dict[str, Any]]:
        """Return rules none of which names a parameter of another, so that an example can satisfy all."""
        rng = self.rng
        free = rng.sample(list(properties), len(properties))
        texts = [
            name
            for name, part in properties.items()
            if part["type"] == "string" and not {"enum", "format"} & part.keys()
        ]
        lists = [name for name, part in properties.items() if "array" in str(part["type"])]
        # A rule cannot name a parameter with a dot where it can name a path.
        links = [name for name, part in properties.items() if "format" in part and "." not in name]
        rules: list[dict[str, Any]] = []

        def take(names: list[str]) -> str:
            name = next(name for name in names if name in free)
            free.remove(name)
            return name

        if texts and lists and rng.random() < 0.7:
            token = rng.choice(["@Image{n}", "@Element{n}", "<<{n}>>", "[{n}]"])
            rules.append({"references": {"field": take(texts), "token": token, "list": take(lists)}})
        if links and rng.random() < 0.7:
            rules.append({"max_bytes": {"field": links[0], "bytes": rng.choice([10, 52428800])}})
        if len(free) > 3 and rng.random() < 0.5:
            needs: dict[str, Any] = {"field": take(free)}
            if rng.random() < 0.7:
                needs["present"] = [take(free)]
            name = take(free)
            if rng.random() < 0.7 or "present" not in needs:
                needs["equals"] = {name: self.non_null_value(properties[name])}
            rules.append({"requires": needs})
        if len(free) > 3 and rng.random() < 0.3:
            rules.append({"at_least_one_of": [take(free), take(free)]})
        if len(free) > 3 and rng.random() < 0.3:
            rules.append({"mutually_exclusive": [take(free) for _ in range(rng.randint(2, 3))]})
        if len(free) > 3 and rng.random() < 0.3:
            rules.append({"exactly_one_of": [take(free), take(free)]})
        return rules + self.path_rules(properties, [name for name in free if "." not in name])

    def path_rules(self, properties: Mapping[str, Schema], free: list[str]) -> list[dict[str, Any]]:
        """Return rules whose names are paths: a parameter with a dot in its name has none."""
        rules: list[dict[str, Any]] = []
        if len(free) > 2 and self.rng.random() < 0.3:
            rules.append({"when": {"present": free[:1], "then": {"forbidden": free[1:2]}}})
        if sums := numbers_in_items(properties):
            rules.append({"sum": {"of": self.rng.choice(sums), "maximum": 10**30}})
        return rules

    def non_null_value(self, schema: Schema) -> Any:
        """Return a value that fits and is not null."""
        value = None
        while value is None:
            value = self.value(schema)
        return value

    def example(self, schema: Schema, rules: list[dict[str, Any]]) -> dict[str, Any]:
        """Return an input that fits the schema and the rules."""
        properties = schema["properties"]
        chosen: dict[str, Any] = self.value({"type": "object", **schema})
        # A deprecated parameter is a warning, and no rule names one.
        chosen = {name: value for name, value in chosen.items() if "deprecated" not in properties[name]}
        for rule in rules:
            needs = rule.get("requires")
            if needs and chosen.get(needs["field"]) is not None:
                chosen |= {name: self.non_null_value(properties[name]) for name in needs.get("present", [])}
                chosen |= needs.get("equals", {})
            exact = rule.get("exactly_one_of", [])
            for name in rule.get("mutually_exclusive", exact)[1:]:
                chosen.pop(name, None)
            group = rule.get("at_least_one_of", exact)
            if group and all(chosen.get(name) is None for name in group):
                chosen[group[0]] = self.non_null_value(properties[group[0]])
            condition = rule.get("when")
            if condition and chosen.get(condition["present"][0]) is not None:
                chosen.pop(condition["then"]["forbidden"][0], None)
            refers = rule.get("references")
            if refers and chosen.get(refers["list"]):
                token = refers["token"].replace("{n}", "1")
                text = chosen.get(refers["field"], "")
                limits = properties[refers["field"]]
                if limits.get("minLength", 0) <= len(text + token) <= limits.get("maxLength", 2500):
                    chosen[refers["field"]] = text + token
        return chosen

    def sentence(self, length: int) -> str:
        """Return words with a full stop."""
        return f"{self.random_words(length)[: length - 1].rstrip()}."

    def text(self, length: int) -> str:
        """Return a text of about that length: words, sometimes with what is awkward in YAML or Python."""
        rng = self.rng
        text = self.random_words(length)
        if rng.random() < 0.15:
            text = rng.choice(["{0} {1}", "{1} {0}"]).format(text, rng.choice(AWKWARD))
        if rng.random() < 0.05:
            text = text.replace(" ", rng.choice(["\n", "\t", "  ", "\n\n"]), 1)
        return f"{text}." if rng.random() < 0.7 else text

    def random_words(self, length: int) -> str:
        """Return at least half so many characters."""
        text = ""
        while len(text) < self.rng.randint(length // 2, length):
            text += f" {self.rng.choice(WORDS)}"
        return f"Takes{text}"


def block(value: Any, indent: str = "") -> Iterator[str]:
    """Yield the lines of a YAML mapping, in the styles that people use."""
    for key, part in value.items():
        name = key if re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", key) and key != "null" else quoted(key)
        if isinstance(part, dict) and part and (len(flow(part)) > 90 - len(indent)):
            yield f"{indent}{name}:"
            yield from block(part, f"{indent}  ")
        elif isinstance(part, list) and part and all(isinstance(item, dict) and item for item in part):
            yield f"{indent}{name}:"
            for item in part:
                first, *rest = block(item, f"{indent}    ")
                yield f"{indent}  - {first.strip()}"
                yield from rest
        elif isinstance(part, str) and len(part) > 70 and re.fullmatch(r"[A-Z](\S| (?! |$))*", part):
            yield f"{indent}{name}: >-"
            yield from textwrap.wrap(
                part, 80, initial_indent=f"{indent}  ", subsequent_indent=f"{indent}  ",
                break_long_words=False, break_on_hyphens=False,
            )  # fmt: skip
        else:
            yield f"{indent}{name}: {flow(part)}"


def flow(value: Any) -> str:
    """Return a value on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(key)}: {flow(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(flow, value))}]"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, date):
        return value.isoformat()
    # YAML 1.1 takes a number with an exponent for text unless it has a point, too.
    return re.sub(r"^(-?\d+)(?=e)", r"\1.0", json.dumps(value))


def quoted(text: str) -> str:
    """Return a text with the quotes that it needs."""
    plain = re.fullmatch("[A-Za-z][A-Za-z ]*[A-Za-z.]", text) and text.lower() not in AMBIGUOUS
    return text if plain else json.dumps(text, ensure_ascii=False)


def write(count: int, folder: Path, seed: int) -> None:
    """Write `count` specs into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        spec = Writer(number, seed).spec()
        lines = ["# yaml-language-server: $schema=schema/spec.schema.json", *block(spec)]
        (folder / f"{spec['slug']}.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("count", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    write(arguments.count, arguments.folder, arguments.seed)
