"""JSON from strangers: one shape, no field twice, and each fault with a JSON pointer (RFC 6901) to its place."""

import json
from typing import TypeVar

import msgspec

from turnout.base.errors import BodyInvalid

T = TypeVar("T")

#: Of a field's name that nobody expects, so much is shown.
NAME_CHARACTERS_SHOWN_MAX = 100


def decode(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """The body in the decoder's shape; `BodyInvalid` says what is wrong with it, and where.

    Of several fields with one name the decoder takes the last: see `refuse_repeated_fields`.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        raise BodyInvalid(f"{message}.", field=_pointer_of(path.rstrip("`"))) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        why = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise BodyInvalid(f"The body is not valid JSON: {why}.") from None


def refuse_repeated_fields(body: bytes) -> None:
    """`BodyInvalid` if an object names a field twice: a person may have meant another one than the last."""

    def unique(pairs: list[tuple[str, object]]) -> None:
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                shown = name[:NAME_CHARACTERS_SHOWN_MAX]
                raise BodyInvalid(f"The field {shown!r} is given twice.", field=pointer(name))
            seen.add(name)

    # Numbers stay text: they are of no interest here, and Python refuses to convert very long ones.
    try:
        json.loads(body, object_pairs_hook=unique, parse_int=str, parse_float=str)
    except RecursionError:
        raise BodyInvalid("The body is nested too deeply.") from None


def pointer(name: str) -> str:
    """The JSON pointer to a member of the top object."""
    return "/" + name[:NAME_CHARACTERS_SHOWN_MAX].replace("~", "~0").replace("/", "~1")


def _pointer_of(path: str) -> str:
    """The pointer that a decoder's path stands for: `.choices[3]` is `/choices/3`."""
    return path.replace(".", "/").replace("[", "/").replace("]", "")
