"""Which files a full backup must hold by the rules of the writers' documents, looked up on the images of its shadow copies.

An own reading of the documents in the set, with an XML parser and nothing of what is judged. Only of what these rules decide
alone: where a component failed, a file is wanted in part, or a path holds a variable, nobody knows here. Source: Volume Shadow
Copy Service documentation, "Working with selectability and logical paths", "VSS_FILE_SPEC_BACKUP_TYPE", "AddExcludeFiles".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from xml.etree import ElementTree

from vss.scenarios.volume_files import Images, VolumeFiles

_COMPONENTS = "backup_components.xml"
_METADATA = "writer_metadata/"
_SPECS = ("FILE_LIST", "DATABASE_FILES", "DATABASE_LOGFILES")
_SUBSETS = ("PARTIAL_FILE", "DIFFERENCED_FILES", "DIRECTED_TARGET")
_FULL_REQUIRED = 0x1
_DEFAULT_TYPES = 0xF0F

Chosen = set[tuple[str, str]]
"""Instance of a writer, and the whole name of a component, without case."""


def declared_files(written: Mapping[str, bytes], images: Images) -> dict[str, bytes] | None:
    """Return machine paths and bytes of the files that belong into a set; None where its documents do not say it alone."""
    try:
        document = _root(written[_COMPONENTS])
        metadata = [_root(data) for path, data in sorted(written.items()) if path.startswith(_METADATA)]
    except (KeyError, ElementTree.ParseError):
        return None
    chosen = _chosen(document)
    if chosen is None:
        return None
    files = VolumeFiles(images)
    paths = list(files.paths())
    found: dict[str, bytes] = {}
    for writer in metadata:
        excluded = [_pattern(each) for each in writer.iter("EXCLUDE_FILES")]
        for spec in _wanted(writer, chosen):
            place, normal = _places(spec)
            if "%" in place or place[:2].upper() not in images:
                return None
            if not int(spec.get("filespecBackupType", str(_DEFAULT_TYPES))) & _FULL_REQUIRED:
                continue
            pattern = _pattern(spec, place)
            for path in paths:
                if not pattern.fullmatch(path):
                    continue
                own = normal.rstrip("\\") + path[len(place.rstrip("\\")) :]
                if not any(each.fullmatch(own) for each in excluded):
                    found[own] = files.read(path) or b""
    return found


def _root(data: bytes) -> ElementTree.Element:
    """Return a document without its namespaces."""
    root = ElementTree.fromstring(data)
    for each in root.iter():
        each.tag = each.tag.rpartition("}")[2]
    return root


def _chosen(document: ElementTree.Element) -> Chosen | None:
    """Return the components that were chosen; None where the document says more than that they are wanted whole."""
    if document.get("backupType") != "full" or any(next(document.iter(each), None) is not None for each in _SUBSETS):
        return None
    chosen: Chosen = set()
    for writer in document.iter("WRITER_COMPONENTS"):
        for component in writer.iter("COMPONENT"):
            if component.get("backupSucceeded") != "yes":
                return None
            chosen.add((writer.get("instanceId", "").casefold(), _whole_name(component)))
    return chosen


def _whole_name(component: ElementTree.Element) -> str:
    logical, name = component.get("logicalPath", ""), component.get("componentName", "")
    return (f"{logical}\\{name}" if logical else name).casefold()


def _wanted(writer: ElementTree.Element, chosen: Chosen) -> Iterator[ElementTree.Element]:
    """Yield the file specifications of the chosen components and of those below them."""
    identification = writer.find("IDENTIFICATION")
    instance = "" if identification is None else identification.get("instanceId", "").casefold()
    for kind in ("FILE_GROUP", "DATABASE"):
        for component in writer.iter(kind):
            name = _whole_name(component)
            if any(instance == each and (name == above or name.startswith(f"{above}\\")) for each, above in chosen):
                for spec in _SPECS:
                    yield from component.iter(spec)


def _places(spec: ElementTree.Element) -> tuple[str, str]:
    """Return where its files are read, and what they are called all the same."""
    normal: str = spec.get("path", "")
    return spec.get("alternatePath") or normal, normal


def _pattern(spec: ElementTree.Element, place: str = "") -> re.Pattern[str]:
    """Return what a file specification matches, without case."""
    directory = re.escape((place or spec.get("path", "")).rstrip("\\"))
    filespec = spec.get("filespec", "")
    name = "".join(
        {"*": r"[^\\]*", "?": r"[^\\]"}.get(each, re.escape(each)) for each in ("*" if filespec == "*.*" else filespec)
    )
    below = r"\\(?:.*\\)?" if spec.get("recursive") == "yes" else r"\\"
    return re.compile(directory + below + name, re.IGNORECASE)
