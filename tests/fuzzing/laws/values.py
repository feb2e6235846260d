"""Odd values, for the places of structured data."""

from __future__ import annotations

from copy import deepcopy
from random import Random
from typing import Any, Final

from tests.fuzzing.payloads import LINE, MODULE

NUMBERS: Final[tuple[Any, ...]] = (
    0, 1, -1, 2, 3, 7, 255, 65_537, 100_000, 10**6, 10**8, 200_000_000, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63 - 1,
    2**63, 2**64, 10**30, 10**400, -(2**31), -(2**63) - 1, -(10**400), 0.0, -0.0, 0.5, -0.5, 1e-320, 1e300, -1e300,
    float("nan"), float("inf"), float("-inf"), 1.0000000001, 3.0,
)  # fmt: skip
PLAIN: Final[tuple[Any, ...]] = (
    None, True, False, "", " ", "0", "1", "-1", "auto", "none", "null", "None", "true", "bfloat16", "torch.float16",
    "float8_e4m3fn", "int4", "float64", "complex64", "gelu", [], {}, [[]], [{}], [None], {"": None}, [0],
    [1, "2", None],
    [[], []], {"a": {"b": {"c": []}}}, {"type": "x"}, {"rope_type": "yarn", "factor": 0}, [1] * 1000,
    list(range(-3, 3)),
    {"class_name": "x"}, {"__class__": "os"},
)  # fmt: skip
STRINGS: Final[tuple[str, ...]] = (
    "\ud800", "\udfff\ud800", "\x00", "\x1b[31mred\x1b]0;title\x07", "\u202eabc\u2066", "a\nb", "a\r\n::error::x",
    "::set-output name=a::b", "##[error]x", "##vso[task.setvariable]x", "%s%n%d%999999999d", "{0.__class__}", "{}" * 50,
    "${HOME}", "$(touch x)", "`id`", "'; DROP TABLE x; --", "<script>alert(1)</script>", "<img src=x onerror=alert(1)>",
    "[red]rich[/red]", "[/]", "[link=file:///etc/passwd]x[/link]", "(a+)+$", "(a|aa)+$", "(?P<", "[", "*" * 200, "**/*",
    ".*" * 60 + "x", "(.*)*" * 20, "a{1000000}", "((a{1,500}){1,500}){1,500}", "\\", "../../etc/passwd", "/etc/passwd",
    "/dev/zero", "/dev/stdin", "/proc/self/environ", "/proc/self/mem", "file:///etc/passwd", "http://127.0.0.1:9/x",
    "https://huggingface.co/gpt2", "~root", "~", ".", "..", "//", "C:\\x", "a/" * 2000, "NUL", "con", "-", "--help",
    "os.system", "os", "antigravity", "this", "subprocess.Popen", "builtins.eval", "builtins.exec", "torch.load",
    "torch.hub.load", "torch.ops.load_library", "importlib.import_module", "pickle.loads", "shutil.rmtree", "sys.exit",
    "__import__", "__main__", f"{MODULE}.X", MODULE, f"{MODULE}--x.X", LINE, f"__import__('{MODULE}')", "lambda: 0",
    "transformers.AutoModel", "transformers.pipeline", "transformers.utils.logging", "diffusers.utils",
    "torch.nn.Linear", "torch.distributed.init_process_group", "LlamaForCausalLM", "BertModel", "PreTrainedModel",
    "llama", "bert", "t5", "auto", "gpt2", "clip", "é", "名前", "😀" * 10, "a" * 300, "x" * 5000, "9" * 5000,
)  # fmt: skip
LONG: Final = 1_000_000
"""Characters of the longest string."""


def odd(random: Random) -> Any:
    """Any odd value."""
    draw = random.random()
    if draw < 0.35:
        return random.choice(NUMBERS)
    if draw < 0.55:
        return deepcopy(random.choice(PLAIN))
    if draw < 0.97:
        return random.choice(STRINGS)
    return random.choice(("x" * LONG, [0] * 100_000, {str(n): n for n in range(20_000)}, ["x"] * 20_000))


def near(value: Any, random: Random) -> Any:
    """A value of the same kind that is a little or very wrong; of what has no kind, any."""
    if isinstance(value, bool):
        return random.choice((not value, int(value), str(value).lower(), None))
    if isinstance(value, (int, float)):
        return random.choice(
            (value + 1, value - 1, -value, value * 2, value // 2 if value == value and abs(value) < 1e30 else 0,
             float(value) if abs(value) < 1e300 else 0.1, str(value)[:4000], [value], [value, value], *NUMBERS)
        )  # fmt: skip
    if isinstance(value, str):
        return random.choice(
            (value + "x", value[:-1], value.upper(), value * 3, f" {value}", value[::-1], value.split("."), 0,
             [value], {value: value}, None, *STRINGS)
        )  # fmt: skip
    if isinstance(value, list):
        doubled = value + value
        return random.choice((doubled, value[:-1], value[1:], value[::-1], [value], value * 50, tuple(value[:1]), None))
    if isinstance(value, dict):
        return random.choice((list(value), list(value.items())[:20], {"x": value}, dict(list(value.items())[1:]), None))
    return odd(random)
