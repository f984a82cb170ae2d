"""The base of every part of the spec language: a model that refuses unknown keys and reports all its problems.

The language is closed. JSON Schema tools ignore unknown keywords, so a misspelt `minLenght` would be a
constraint that silently vanishes. Here an unknown key is an error, and values are checked against each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Protocol, Self, TypeAlias, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from kling_codegen.messages import LocatedMessage, Location, Message

NOT_EMPTY = r"\S"
Text: TypeAlias = Annotated[str, Field(pattern=NOT_EMPTY)]
T = TypeVar("T")


class ValueRefused(ValueError):
    """Raised by the checks of single values; carries the Message."""

    def __init__(self, message: Message) -> None:
        super().__init__(str(message))
        self.message = message


def iter_repeated(values: Iterable[T]) -> Iterator[tuple[int, T]]:
    """Yield each value that equals an earlier one, with its index."""
    # By repr: to Python, 1 equals True.
    earlier: set[str] = set()
    for index, value in enumerate(values):
        if repr(value) in earlier:
            yield index, value
        earlier.add(repr(value))


class ProblemCollector(Protocol):
    """Collector that continues a validation after its first problem; load/document.py implements it."""

    def note(self, data: Any, problems: Iterable[LocatedMessage]) -> None:
        """Add problems at locations within `data`."""

    def salvage(self, model: type[ClosedT], data: Any, error: ValidationError) -> ClosedT:
        """Note the problems of `data` and return a model of its valid parts. Raises if they do not suffice."""
        ...


class Closed(BaseModel):
    """The base of every part of the language: no unknown keys, no conversion of values.

    Validated with a ProblemCollector as context, it notes all problems there. Without one it raises a
    ValidationError, which may lack some of them.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    # The keys that problems() needs; None stands for all keys.
    essential: ClassVar[frozenset[str] | None] = None

    def problems(self) -> Iterator[LocatedMessage]:
        """Yield contradictions between values that are valid on their own."""
        return iter(())

    @classmethod
    def allowed_keys(cls, data: Mapping[str, Any]) -> list[str]:  # noqa: ARG003  a schema looks at it
        """Return the keys that may stand beside those of `data`."""
        return [field.alias or name for name, field in cls.model_fields.items()]

    @model_validator(mode="wrap")
    @classmethod
    def _check(cls, data: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        collector: ProblemCollector | None = info.context
        try:
            value, is_complete = handler(data), True
        except ValidationError as error:
            if collector is None:
                raise
            value, is_complete = collector.salvage(cls, data, error), False
        problems = list(value.problems()) if is_complete or cls.essential is not None else []
        if collector is not None:
            collector.note(data, problems)
        elif problems:
            raise ValidationError.from_exception_data(
                cls.__name__, [_error_details(*problem) for problem in problems]
            )
        return value


def _error_details(at: Location, message: Message) -> InitErrorDetails:
    error = PydanticCustomError("spec", "{text}", {"text": str(message)})
    return InitErrorDetails(type=error, loc=at, input=None)


ClosedT = TypeVar("ClosedT", bound=Closed)
