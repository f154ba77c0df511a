"""Tensors of a TorchScript archive, read without running it.

OpenAI published CLIP in this form. ``torch.jit.load`` runs code of the archive (``__setstate__``),
which may write files, so the archive is never given to it. Its ``data.pkl`` is unpickled with plain
objects in place of the scripted classes; the bytes of the tensors lie beside it, uncompressed.
"""

from __future__ import annotations

import pickle
import pickletools
import re
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lakeviz.errors import CheckpointError

_DTYPES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_NOT_WEIGHTS = ("input_resolution", "context_length", "vocab_size")
_MOST = 1_000_000
"""Modules and tensors that are visited at most: shared ones could be nested without end."""
_MOST_TEXT = 2**26


def is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript archive, the form OpenAI published CLIP in."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """Parameters and buffers of a TorchScript archive under the names of its ``state_dict``."""
    with zipfile.ZipFile(path) as archive:
        unpickler = _Unpickler(archive)
        root = unpickler.load()
        declared = _declared_tensors(archive, unpickler.root)
    state: dict[str, Tensor] = {}
    for n, (name, tensor) in enumerate(_tensors(root, "", declared, path)):
        if n > _MOST:
            raise CheckpointError(f"{path} nests more than {_MOST} modules and tensors")
        if tensor is not None and name not in _NOT_WEIGHTS:
            state[name] = tensor
    return state


class _Scripted:
    """Stands for an object of a scripted class: keeps its state and does nothing with it."""

    script_class = ""
    state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Unpickler(pickle.Unpickler):
    """Builds tensors, plain containers and :class:`_Scripted` objects, and nothing else."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        found = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(found) != 1:
            raise ValueError("it holds no single data.pkl")
        self.root = found[0].removesuffix("data.pkl")
        self._archive = archive
        self._storages: dict[str, Tensor] = {}
        order = f"{self.root}byteorder"
        if order in archive.namelist() and archive.read(order).decode() != sys.byteorder:
            raise ValueError("it was written on a machine with another byte order")
        _check_memo(archive, found[0])
        super().__init__(archive.open(found[0]))

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """Give a harmless stand-in for a name, or refuse it."""
        where = f"{module_name}.{global_name}"
        if module_name.startswith("__torch__"):
            return type("_Scripted", (_Scripted,), {"script_class": where})
        if module_name == "torch" and global_name in _DTYPES:
            return _DTYPES[global_name]
        if where == "torch._utils._rebuild_tensor_v2":
            return self._tensor
        if where == "collections.OrderedDict":
            return OrderedDict
        if module_name == "torch.jit._pickle":  # marks of the types of lists and dictionaries
            return self._untyped
        raise pickle.UnpicklingError(f"it names {where}, which is no tensor")

    def persistent_load(self, pid: Any) -> Tensor:
        """Read one storage; tensors that share it share the memory too."""
        kind, dtype, key, _device, n = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype):
            raise pickle.UnpicklingError(f"it refers to a {kind!r}")
        if key not in self._storages:
            entry = self._archive.getinfo(f"{self.root}data/{key}")
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != n * dtype.itemsize:
                raise ValueError(f"its tensor data/{key} is packed or has not the size it claims")
            content = bytearray(self._archive.read(entry))
            empty = torch.empty(0, dtype=dtype)
            self._storages[key] = torch.frombuffer(content, dtype=dtype) if n else empty
        return self._storages[key]

    def _tensor(self, storage: Tensor, offset: int, size: Any, stride: Any, *_: Any) -> Tensor:
        return storage.as_strided(size, stride, offset)  # refuses what lies outside the storage

    def _untyped(self, value: Any, *_: Any) -> Any:
        return value


def _check_memo(archive: zipfile.ZipFile, name: str) -> None:
    """Refuse an index of the memo that would make the unpickler reserve memory for nothing."""
    if archive.getinfo(name).file_size > _MOST_TEXT:
        raise ValueError("its data.pkl is larger than 64 MiB")
    content = archive.read(name)
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name.endswith("PUT") and int(argument or 0) > len(content):
            raise pickle.UnpicklingError("its memo is larger than itself")


_CLASS = re.compile(r"^class (\w+)\(Module\):$(.*?)(?=^class |\Z)", re.M | re.S)
_LIST = re.compile(r"^  __(?:parameters|buffers)__ = \[(.*)\]$", re.M)


def _declared_tensors(archive: zipfile.ZipFile, root: str) -> dict[str, list[str]]:
    """Names of parameters, then buffers, of every scripted module: lists in the archive's text."""
    declared: dict[str, list[str]] = {}
    total = 0
    for entry in archive.infolist():
        if not (entry.filename.startswith(f"{root}code/") and entry.filename.endswith(".py")):
            continue
        total += entry.file_size
        if total > _MOST_TEXT:
            raise ValueError("its code is larger than 64 MiB")
        module = entry.filename.removeprefix(f"{root}code/").removesuffix(".py").replace("/", ".")
        for name, body in _CLASS.findall(archive.read(entry).decode()):
            listed = ",".join(_LIST.findall(body))
            declared[f"{module}.{name}"] = re.findall(r'"([^"]+)"', listed)
    return declared


def _tensors(
    module: Any, prefix: str, declared: dict[str, list[str]], path: Path
) -> Iterator[tuple[str, Tensor | None]]:
    """Tensors in the order of ``state_dict``, and None for each module, to count them."""
    yield prefix, None
    if not isinstance(module, _Scripted) or module.script_class not in declared:
        return  # an attribute that is no module
    if not isinstance(module.state, dict):
        raise CheckpointError(
            f"{path}: its {module.script_class} restores itself by code (__setstate__), which is "
            "not run; save the state_dict() of the model instead"
        )
    for name in declared[module.script_class]:
        tensor = module.state.get(name)
        if isinstance(tensor, Tensor):  # an optional parameter may be None
            yield f"{prefix}{name}", tensor
    for name, value in module.state.items():
        if isinstance(value, _Scripted):
            yield from _tensors(value, f"{prefix}{name}.", declared, path)
