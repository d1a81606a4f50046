"""Names of refs, stores and remotes, and what makes one acceptable.

A ref name is components ``[a-z0-9][a-z0-9._-]*`` joined by ``/``, at most 200 bytes, without ``..``; a name of hex
digits only would be taken for an id and is refused. A name becomes a folder on every remote, hence the narrow alphabet.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NewType

from prontosync.errors import UsageError

RefName = NewType("RefName", str)

MAX_BYTES = 200
TAG_PREFIX = "tags/"
STORE_PREFIX = "stores/"
_COMPONENT = re.compile(r"[a-z0-9][a-z0-9._-]*")
_HEX_ONLY = re.compile(r"[0-9a-f]+")
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")


class BadName(UsageError):
    id = "bad-name"


def ref_name(text: str, remotes: Iterable[str] = ()) -> RefName:
    """``text`` as a ref's name. Raises BadName, also when its first component is one of ``remotes``."""
    fault = _fault(text)
    if fault:
        raise BadName(f'"{text}" is not a ref name: {fault}', "use lower-case letters, digits, . _ - and /")
    first = text.split("/", maxsplit=1)[0]
    if first in set(remotes):
        raise BadName(f'"{text}" is not a ref name here: "{first}" is a remote', "choose another first component")
    return RefName(text)


def simple_name(text: str, what: str) -> str:
    """``text`` as the name of a store or a remote: one component. Raises BadName."""
    fault = 'it contains "/"' if "/" in text else _fault(text)
    if fault:
        raise BadName(f'"{text}" is not a {what} name: {fault}', "use lower-case letters, digits, . _ and -")
    return text


def store_name(text: str) -> str:
    """``text`` as a store's name; unlike a ref, digits alone are fine, as in ``012``."""
    if _component_fault(text) or len(text.encode()) > MAX_BYTES - len(STORE_PREFIX):
        raise BadName(f'"{text}" is not a store name', "use lower-case letters, digits, . _ and -")
    return text


def _fault(text: str) -> str | None:
    if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        return f"it is longer than {MAX_BYTES} bytes"
    if _HEX_ONLY.fullmatch(text):
        return "hex digits only would be taken for an id"
    return next((fault for part in text.split("/") if (fault := _component_fault(part))), None)


def _component_fault(part: str) -> str | None:
    if not _COMPONENT.fullmatch(part):
        return f'"{part}" is not made of a-z, 0-9, ".", "_", "-" (starting with a letter or digit)'
    if ".." in part:
        return 'it contains ".."'
    if part.endswith("."):
        return 'a component ends with "."'
    if _DEVICES.fullmatch(part):
        return f'"{part}" is a device name on some systems'
    return None
