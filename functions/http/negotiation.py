"""What a client would rather have (`Accept`), and what it has already (`If-None-Match`): RFC 9110, 12.5.1 and 13.1.2.

werkzeug, which functions-framework brings along, takes the headers apart; a malformed member of a list counts as not sent.
"""

from collections.abc import Mapping
from typing import TypeVar

from starlette.datastructures import Headers
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header, parse_etags, unquote_etag

T = TypeVar("T")


def preferred(headers: Headers, offered: Mapping[T, str], otherwise: T) -> T:
    """The form, of those offered with their media types, that `Accept` rates highest; `otherwise` if it accepts none.

    Each form has the weight of the most specific range that fits it. Between equal weights the more specific range
    decides, then the place in the header, then the place among those offered.
    """
    ranges = parse_accept_header(_list(headers, "accept"), MIMEAccept)
    rated = []
    for order, (form, media_type) in enumerate(offered.items()):
        # The ranges are sorted by how specific they are: the first that fits counts.
        places = [place for name in _names(media_type) if (place := ranges.find(name)) >= 0]
        if places:
            weight = ranges[min(places)][1]
            if weight > 0:
                rated.append((-weight, min(places), order, form))
    return min(rated)[-1] if rated else otherwise


def has_already(headers: Headers, tag: str) -> bool:
    """Whether `If-None-Match` names the entity tag, by weak comparison, or any tag at all (`*`)."""
    opaque, _ = unquote_etag(tag)
    return parse_etags(_list(headers, "if-none-match")).contains_weak(opaque or "")


def _list(headers: Headers, name: str) -> str:
    """Several headers of one name are one list (RFC 9110, 5.3)."""
    return ", ".join(headers.getlist(name))


def _names(media_type: str) -> tuple[str, str]:
    """A media type with its parameters and without: a range may name either."""
    return media_type, media_type.partition(";")[0]
