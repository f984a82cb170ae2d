"""What every part of the language is: a model that takes no unknown key and says everything that is wrong.

The language is closed. JSON Schema tools ignore what they do not know, so a misspelt `minLenght` would be a
constraint that silently vanishes. Here an unknown key is an error, and values are checked against the rest.
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

from kling_codegen.messages import Location, Message, Problem

NOT_EMPTY = r"\S"
Text: TypeAlias = Annotated[str, Field(pattern=NOT_EMPTY)]
T = TypeVar("T")


class Refused(ValueError):
    """Raised by the checks of single values; carries the Message."""

    def __init__(self, message: Message) -> None:
        super().__init__(str(message))
        self.message = message


def repeated(values: Iterable[T]) -> Iterator[tuple[int, T]]:
    """Yield each value that was there before, with its index."""
    # By repr: to Python, 1 and True are the same.
    seen: set[str] = set()
    for index, value in enumerate(values):
        if repr(value) in seen:
            yield index, value
        seen.add(repr(value))


class Report(Protocol):
    """What a validation is given to go on after the first problem: see load.py, which implements it."""

    def note(self, data: Any, problems: Iterable[Problem]) -> None:
        """Take problems at locations within `data`."""

    def salvage(self, model: type[ClosedT], data: Any, error: ValidationError) -> ClosedT:
        """Note what is wrong with `data` and return what can be made of the rest, or raise."""
        ...


class Closed(BaseModel):
    """The base of every part of the language: no unknown key, no conversion of values.

    Validated with a Report as context, all that is wrong is noted there; without one, a ValidationError is
    raised, which need not have all of it.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    # The keys that problems() needs to say something although others are wrong; None is all keys.
    essential: ClassVar[frozenset[str] | None] = None

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong although every value by itself is well formed."""
        return iter(())

    @classmethod
    def keys(cls, given: Mapping[str, Any]) -> list[str]:  # noqa: ARG003  a schema looks at it
        """Return the keys that may stand beside those of `given`."""
        return [field.alias or name for name, field in cls.model_fields.items()]

    @model_validator(mode="wrap")
    @classmethod
    def _check(cls, data: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        report: Report | None = info.context
        try:
            value, whole = handler(data), True
        except ValidationError as error:
            if report is None:
                raise
            value, whole = report.salvage(cls, data, error), False
        problems = list(value.problems()) if whole or cls.essential is not None else []
        if report is not None:
            report.note(data, problems)
        elif problems:
            raise ValidationError.from_exception_data(cls.__name__, [_details(*each) for each in problems])
        return value


def _details(at: Location, what: Message) -> InitErrorDetails:
    error = PydanticCustomError("spec", "{what}", {"what": str(what)})
    return InitErrorDetails(type=error, loc=at, input=None)


ClosedT = TypeVar("ClosedT", bound=Closed)
