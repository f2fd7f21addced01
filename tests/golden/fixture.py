"""What every fixture shares: seeded random tensors, and files that record who computed them.

A number in a fixture must be the truth a C++ kernel is measured against, so inputs are drawn as
fp32 values, results are computed in fp64 from exactly those values, and cast to fp32 once.
"""

from __future__ import annotations

import json
import zlib
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import save_file

DATA = Path(__file__).resolve().parent / "data"
RECORDED = ("torch", "transformers", "trl", "tokenizers", "safetensors")

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)


def versions() -> dict[str, str]:
    """The library versions that produced the data, stored in every file."""
    return {name: version(name) for name in RECORDED}


def generator(name: str) -> torch.Generator:
    """A generator keyed by name, so that a new case never shifts the numbers of an old one."""
    return torch.Generator().manual_seed(zlib.crc32(name.encode()))


def normal(name: str, *shape: int, scale: float = 1.0, mean: float = 0.0) -> torch.Tensor:
    """fp64 tensor whose values are exactly representable in fp32."""
    drawn = torch.randn(*shape, generator=generator(name), dtype=torch.float32)
    return (drawn * scale + mean).to(torch.float32).double()


def leaf(tensor: torch.Tensor) -> torch.Tensor:
    """A copy that collects its gradient."""
    return tensor.detach().clone().requires_grad_()


def stored(tensor: torch.Tensor) -> torch.Tensor:
    """What is written for a tensor: floats as fp32, booleans as int32, integers as they are."""
    tensor = tensor.detach().contiguous()
    if tensor.is_floating_point():
        return tensor.to(torch.float32).clone()
    if tensor.dtype == torch.bool:
        return tensor.to(torch.int32)
    return tensor.clone()


class Fixture:
    """Collects the tensors and scalars of one subject and writes NAME.safetensors and NAME.json."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tensors: dict[str, torch.Tensor] = {}
        self.scalars: dict[str, object] = {}

    def add(self, prefix: str, **tensors: torch.Tensor) -> None:
        for name, tensor in tensors.items():
            key = f"{prefix}/{name}" if prefix else name
            assert key not in self.tensors, f"{self.name}: {key} is written twice"
            self.tensors[key] = stored(tensor)

    def note(self, **scalars: object) -> None:
        self.scalars.update(scalars)

    def write(self) -> None:
        DATA.mkdir(parents=True, exist_ok=True)
        if self.tensors:
            path = DATA / f"{self.name}.safetensors"
            # One key: the writer keeps several in no fixed order, and a file should not change by itself.
            save_file(self.tensors, path, metadata={"versions": json.dumps(versions())})
            path.chmod(0o644)
        if self.scalars:
            write_json(DATA / f"{self.name}.json", {"versions": versions(), **self.scalars})


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_json_rows(path: Path, value: dict[str, object]) -> None:
    """Like write_json, with each element of a long list on a line of its own."""
    def text(item: object) -> str:
        return json.dumps(item, ensure_ascii=False)

    def field(item: object) -> str:
        if isinstance(item, list):
            return "[\n" + ",\n".join(map(text, item)) + "\n]"
        return text(item)

    rows = ",\n".join(f"{text(key)}: {field(item)}" for key, item in value.items())
    path.write_text("{\n" + rows + "\n}\n", encoding="utf-8")
