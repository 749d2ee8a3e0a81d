"""Optimizers that leave torch's compiler alone: the same numbers, and torch's own once something compiles."""

from __future__ import annotations

from pathlib import Path

from tests.helpers.commands import run_python

CODE = """
import sys
import torch
if {compiles}:
    import torch._dynamo
from rl_experiments.core.torch_start import spare_the_compiler
spare_the_compiler()
for kind in (torch.optim.Adam, torch.optim.RMSprop, torch.optim.SGD):
    torch.manual_seed(0)
    layer = torch.nn.Linear(3, 2)
    optimizer = kind(layer.parameters(), lr=0.1)
    optimizer.load_state_dict(optimizer.state_dict())
    for _ in range(3):
        optimizer.zero_grad()
        layer(torch.ones(1, 3)).pow(2).sum().backward()
        optimizer.step()
        assert torch.is_grad_enabled()
    print(kind.__name__, [value.hex() for value in layer.weight.flatten().tolist()])
assert ("torch._dynamo" in sys.modules) == {compiles}
if not {compiles}:
    import torch._dynamo
    optimizer.zero_grad()
    optimizer.step()
    torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
"""


def test_no_optimizer_imports_the_compiler_and_none_computes_otherwise(tmp_path: Path) -> None:
    spared, usual = (run_python("-c", CODE.format(compiles=compiles), cwd=tmp_path) for compiles in (False, True))
    assert (spared.code, usual.code) == (0, 0), spared.err + usual.err
    assert spared.out == usual.out
    assert len(spared.out.splitlines()) == 3
