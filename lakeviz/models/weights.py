"""A content hash of a model's weights, the part of every cache key that says which model it was."""

from __future__ import annotations

import hashlib

import torch
from torch import nn


def weights_hash(model: nn.Module) -> str:
    """SHA-256 over name, dtype, shape and bytes of every tensor in the state.

    Tensors are taken by name, so the order in which a model registers them does not matter, and one
    at a time, so memory stays at one tensor. About a second per GB.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(f"{name}|{flat.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(memoryview(flat.view(torch.uint8).numpy()))
    return digest.hexdigest()
