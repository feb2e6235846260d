"""The Python face in a process of its own: what it imports, and what it leaves behind."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
import analyzer
assert not {"torch", "networkx", "numpy"} & set(sys.modules)
import torch
report = analyzer.trace(torch.matmul, (torch.ones(2, 3), torch.ones(3, 4, dtype=torch.bfloat16)))
assert [finding.code for finding in report.findings] == ["DT101"]
print(sorted({"transformers", "click", "rich", "graphviz", "diffusers", "peft"} & set(sys.modules)))
"""


def test_a_plain_function_is_traced_without_transformers() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
