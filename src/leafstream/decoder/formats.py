"""The formats of JSON Schema (2020-12 validation, section 7.3) as examples and patterns."""

from __future__ import annotations

from typing import Final

import msgspec


class Format(msgspec.Struct, frozen=True):
    """A short `example`, and a `pattern` of whole strings that is a little too wide at most."""

    example: str
    pattern: str


_DATE = r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
_OFFSET = r"([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)"
_TIME = rf"([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?{_OFFSET}"
_CLOCK = r"T(\d+H(\d+M(\d+S)?)?|\d+M(\d+S)?|\d+S)"
_CALENDAR = r"(\d+D|\d+M(\d+D)?|\d+Y(\d+M(\d+D)?)?)"
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = rf"{_LABEL}(\.{_LABEL})*"
_BYTE = r"(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4 = rf"{_BYTE}(\.{_BYTE}){{3}}"
_H16 = r"[0-9A-Fa-f]{1,4}"
_LS32 = rf"({_H16}:{_H16}|{_IPV4})"
_IPV6 = "(" + "|".join([
    rf"({_H16}:){{6}}{_LS32}",
    rf"::({_H16}:){{5}}{_LS32}",
    *(rf"({_H16}:){{0,{n}}}{_H16}::({_H16}:){{{4 - n}}}{_LS32}" for n in range(5)),
    *(rf"::({_H16}:){{{n}}}{_LS32}" for n in range(5)),
    rf"({_H16}:){{0,5}}{_H16}::{_H16}",
    rf"({_H16}:){{0,6}}{_H16}::",
    "::",
]) + ")"  # fmt: skip
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_HEX = r"%[0-9A-Fa-f]{2}"
_URI = rf"([A-Za-z0-9._~!$&'()*+,;=:@/?#-]|{_HEX})*"
_IRI = rf"([A-Za-z0-9._~!$&'()*+,;=:@/?#\u00a0-\ud7ff-]|{_HEX})*"
_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]*:"
_LITERAL_HOST = rf"//([A-Za-z0-9._-]*@)?\[{_IPV6}\](:\d*)?"
_POINTER = r"(/([^~/]|~[01])*)*"

FORMATS: Final[dict[str, Format]] = {
    "date": Format("1970-01-01", _DATE),
    "time": Format("00:00:00Z", _TIME),
    "date-time": Format("1970-01-01T00:00:00Z", rf"{_DATE}[Tt]{_TIME}"),
    "duration": Format("P0D", rf"P(\d+W|{_CALENDAR}({_CLOCK})?|{_CLOCK})"),
    # With a dot in the domain, which mail libraries want and the format does not.
    "email": Format("a@a.aa", rf"{_ATOM}(\.{_ATOM})*@{_HOST}"),
    "idn-email": Format("a@a.aa", rf'[^@\s"\\]+@{_HOST}'),
    "hostname": Format("a", _HOST),
    "idn-hostname": Format("a", r"[^\s.\\/@-]([^\s.\\/@]*[^\s.\\/@-])?(\.[^\s.\\/@-]+)*"),
    "ipv4": Format("0.0.0.0", _IPV4),  # noqa: S104 -- an example, nothing binds to it
    "ipv6": Format("::", _IPV6),
    "uuid": Format(
        "00000000-0000-0000-0000-000000000000",
        r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}",
    ),
    "uri": Format("a:", rf"{_SCHEME}({_LITERAL_HOST})?{_URI}"),
    "iri": Format("a:", rf"{_SCHEME}({_LITERAL_HOST})?{_IRI}"),
    "uri-reference": Format("", rf"({_SCHEME})?({_LITERAL_HOST})?{_URI}"),
    "iri-reference": Format("", rf"({_SCHEME})?({_LITERAL_HOST})?{_IRI}"),
    "uri-template": Format("", rf"([^{{}}%\s\"]|{_HEX}|\{{[+#./;?&]?[A-Za-z0-9_.,:*]+\}})*"),
    "json-pointer": Format("", _POINTER),
    "relative-json-pointer": Format("0", rf"(0|[1-9]\d*)(#|{_POINTER})"),
    # No pattern tells a regular expression; closing what may be open is tried instead.
    "regex": Format("", r"[\s\S]*"),
}

REGEX_ENDS: Final = "a)]}0\\"
"""What may close an unfinished regular expression, tried in all orders of up to three."""
