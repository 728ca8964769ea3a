"""What was done to a picture, written into its XMP: one record for each enlargement, the oldest first.

The property ``History`` of the namespace `NAMESPACE` is an ordered array (``rdf:Seq``) of structures with the fields
``Model``, ``Version``, ``SHA256``, ``Settings`` (a JSON object) and ``ToolVersion``, all of them text. EXIF's field
``Software`` is left alone: it belongs to the camera.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

from srgan.imaging.metadata.xmp import RDF, parse, with_property

NAMESPACE = "https://srgan.readthedocs.io/ns/1.0/"
"""The name of our properties in XMP. It names; nothing need be there."""
HISTORY = f"{NAMESPACE} History"
_MOST_RECORDS = 64
"""Records that are read and kept: the latest."""
_MOST_CHARACTERS = 4096
"""Of one field; the rest is cut off."""
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Setting = str | int | float | bool | None


@dataclass(frozen=True)
class Provenance:
    """How a picture was enlarged."""

    model: str
    """Name of the model."""
    version: str = ""
    """Version of the model."""
    sha256: str = ""
    """Hash of the model's weights, in hexadecimal; empty when not known."""
    settings: Mapping[str, Setting] = field(default_factory=dict)
    """What the user chose: scale, backend, ensemble..."""
    tool_version: str = ""
    """Version of srgan."""


def with_provenance(xmp: bytes | None, record: Provenance) -> bytes | None:
    """The packet with ``record`` after those that it holds already, at most 64 in all; a fresh packet for None.

    Nothing else in the packet changes. None when the packet is no sound one (see `srgan.imaging.metadata.xmp`):
    there is no place to write then.
    """
    packet = parse(xmp) if xmp is not None else None
    about = packet.about if packet is not None else ""
    records = [*history_in(xmp), record][-_MOST_RECORDS:]
    lines = [
        f'<rdf:Description rdf:about="{_escaped(about)}"',
        f'    xmlns:rdf="{RDF}" xmlns:srgan="{NAMESPACE}">',
        "   <srgan:History>",
        "    <rdf:Seq>",
        *(line for kept in records for line in _lines(kept)),
        "    </rdf:Seq>",
        "   </srgan:History>",
        "  </rdf:Description>",
    ]
    return with_property(xmp, HISTORY, "\n".join(lines).encode())


def history_in(xmp: bytes | None) -> list[Provenance]:
    """The records in a packet, the oldest first; the latest 64. None and unsound packets hold none."""
    packet = parse(xmp) if xmp is not None else None
    if packet is None or NAMESPACE.encode() not in packet.text:
        return []
    found = _Records()
    parser = expat.ParserCreate("utf-8", " ")
    parser.buffer_text = True
    parser.StartElementHandler = found.start
    parser.EndElementHandler = found.end
    parser.CharacterDataHandler = found.text
    parser.Parse(packet.text.rstrip(b"\0"), True)
    return [_record(fields) for fields in found.records if fields.get("Model")]


class _Records:
    """Collects the fields of each record, in whichever of RDF's forms a tool has written them."""

    def __init__(self) -> None:
        self.records: deque[dict[str, str]] = deque(maxlen=_MOST_RECORDS)
        self._inside = 0
        self._field: str | None = None

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._inside:
            self._inside = int(name == HISTORY)
            return
        self._inside += 1
        namespace, _, local = name.rpartition(" ")
        if name == f"{RDF} li":
            self.records.append({})
        if not self.records:
            return
        for attribute, value in attributes.items():
            if attribute.startswith(f"{NAMESPACE} "):
                self.records[-1][attribute.rpartition(" ")[2]] = value[:_MOST_CHARACTERS]
        if namespace == NAMESPACE:
            self._field = local
            self.records[-1][local] = ""

    def end(self, _name: str) -> None:
        self._inside = max(0, self._inside - 1)
        self._field = None

    def text(self, text: str) -> None:
        if self._inside and self._field is not None:
            known = self.records[-1][self._field]
            self.records[-1][self._field] = known + text[: _MOST_CHARACTERS - len(known)]


def _record(fields: Mapping[str, str]) -> Provenance:
    try:
        settings: Any = json.loads(fields.get("Settings", "{}"))
    except (ValueError, RecursionError):
        settings = None
    plain = settings.items() if isinstance(settings, dict) else ()
    return Provenance(
        model=fields["Model"],
        version=fields.get("Version", ""),
        sha256=fields.get("SHA256", ""),
        settings={key: value for key, value in plain if isinstance(value, str | int | float | bool | None)},
        tool_version=fields.get("ToolVersion", ""),
    )


def _lines(record: Provenance) -> list[str]:
    fields = {
        "Model": record.model,
        "Version": record.version,
        "SHA256": record.sha256,
        "Settings": _settings(record.settings),
        "ToolVersion": record.tool_version,
    }
    written = [
        f"      <srgan:{name}>{_escaped(value[:_MOST_CHARACTERS])}</srgan:{name}>" for name, value in fields.items()
    ]
    return ['     <rdf:li rdf:parseType="Resource">', *written, "     </rdf:li>"]


def _settings(settings: Mapping[str, Setting]) -> str:
    """As JSON; without the last ones when they are too long: a cut object would say nothing."""
    kept = dict(settings)
    while len(text := json.dumps(kept)) > _MOST_CHARACTERS:
        kept.popitem()
    return text


def _escaped(text: str) -> str:
    """``text`` for XML, with U+FFFD for characters that it cannot hold."""
    text = _NOT_IN_XML.sub("\ufffd", text)
    for letter in '&<>"\r\n\t':
        text = text.replace(letter, f"&#{ord(letter)};")
    return text
