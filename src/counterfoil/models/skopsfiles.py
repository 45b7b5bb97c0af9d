"""Whether two skops files hold the same model.

Each dump names objects and arrays by where they lay in memory, so no two are the same bytes.
Loaded, two forests cannot be compared either: what they pickle to varies as well.
"""

from __future__ import annotations

import json
from hashlib import sha256
from io import BytesIO
from typing import Any
from zipfile import ZipFile

from counterfoil.models.optional import import_optional


def unnamed(data: bytes) -> str:
    """Write down what a skops file that was opened before holds, under names that do not vary.

    Two files of one form load to the same: objects are numbered as they first appear, so that
    what was one object stays one, and an array stands as the digest of its content.
    """
    numbers: dict[int, int] = {}

    def rename(node: Any, archive: ZipFile) -> Any:
        if isinstance(node, list):
            return [rename(one, archive) for one in node]
        if not isinstance(node, dict):
            return node
        renamed: dict[str, Any] = {}
        for key, value in node.items():
            # A model's own dictionary may have these keys, too; its values are nodes.
            if key == "__id__" and isinstance(value, int):
                renamed[key] = numbers.setdefault(value, len(numbers))
            elif key == "file" and isinstance(value, str):
                renamed[key] = _digest(archive.read(value))
            else:
                renamed[key] = rename(value, archive)
        return renamed

    with ZipFile(BytesIO(data)) as archive:
        schema = json.loads(archive.read("schema.json"))
        schema.pop("_skops_version", None)  # what it means is told by `protocol`
        return json.dumps(rename(schema, archive))


def _digest(content: bytes) -> str:
    """Hash an array or other bytes; between a row's fields lies what was in memory before."""
    if not content.startswith(b"\x93NUMPY"):
        return sha256(content).hexdigest()
    array = import_optional("numpy", "numpy").load(BytesIO(content), allow_pickle=False)
    if array.dtype.names is None:
        return sha256(content).hexdigest()
    fields = [sha256(array[name].tobytes()).hexdigest() for name in array.dtype.names]
    return f"{array.dtype.descr} {array.shape} {fields}"
