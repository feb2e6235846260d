"""Stands in for tokenizers that a model's code loads by name and that are not there; none makes a model's tensors."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any, Final

from analyzer.capture.patching import patched
from analyzer.foreign.hub_cache import read_id
from analyzer.loaders.remote_code.environment import Environment
from analyzer.loaders.remote_code.hub_requests import is_missing
from analyzer.loaders.remote_code.processors import tokenizer

_WORDS: Final = {"[UNK]": 0, "[PAD]": 1, "[BOS]": 2, "[EOS]": 3}
_WHY: Final = "A tokenizer that a constructor loads by name and that is not there has no say in dtypes."


def answer_tokenizers(place: Environment) -> None:
    """Answer for as long as the environment lasts."""
    import tokenizers
    import transformers

    for owner in (transformers.AutoTokenizer, transformers.PreTrainedTokenizerBase):
        answering: Any = _Loading(place, vars(owner)["from_pretrained"].__func__)
        place.stack.enter_context(
            patched(
                owner, "from_pretrained", classmethod(answering), why=_WHY,
                what="transformers.AutoTokenizer.from_pretrained, PreTrainedTokenizerBase.from_pretrained",
            )
        )  # fmt: skip
    place.stack.enter_context(patched(tokenizers, "Tokenizer", _Tokenizer(place, tokenizers.Tokenizer), why=_WHY))


def of_folder(root: Path) -> tuple[Any, str]:
    """The folder's tokenizer, or one of a few words; and what to say of it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _tokenizer(root), ""
    except (Exception, SystemExit) as error:  # whatever a stranger's tokenizer raises
        said = f"{type(error).__name__}: {error}".partition("\n")[0]
        return _of_few_words(), f"one of 4 words, as the folder's cannot be made: {said}"


def _tokenizer(root: Path) -> Any:
    """As the folder names it, else as its tokenizer.json alone has it."""
    import transformers

    try:
        return tokenizer(root)
    except (Exception, SystemExit):
        if not (root / "tokenizer.json").is_file():
            raise
        plain: Any = transformers.PreTrainedTokenizerFast
        return plain.from_pretrained(str(root))


def _of_few_words() -> Any:
    import transformers

    unknown, pad, begin, end = _WORDS
    made: Any = transformers.PreTrainedTokenizerFast
    return made(tokenizer_object=_small(), unk_token=unknown, pad_token=pad, bos_token=begin, eos_token=end)


class _Loading:
    """Stands for a `from_pretrained` of transformers' tokenizers."""

    def __init__(self, place: Environment, real: Any) -> None:
        self._place, self._real = place, real

    def __call__(self, cls: Any, name: Any, *args: object, **keywords: object) -> object:
        """What the real one gives, or a tokenizer of a few words."""
        try:
            return self._real(cls, name, *args, **keywords)
        except Exception as error:
            if not _stands_in(self._place, name, error):
                raise
        return _of_few_words()


class _Tokenizer:
    """Stands for the class `tokenizers.Tokenizer`, which takes no other attributes and no subclasses."""

    def __init__(self, place: Environment, real: Any) -> None:
        self._place, self._real = place, real

    def __call__(self, *args: object, **keywords: object) -> object:
        """The real class's instance."""
        return self._real(*args, **keywords)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def from_pretrained(self, name: Any, *args: object, **keywords: object) -> object:
        """What the real one gives, or a tokenizer of a few words."""
        try:
            return self._real.from_pretrained(name, *args, **keywords)
        except Exception as error:
            if not _stands_in(self._place, name, error):
                raise
        return _small()


def _stands_in(place: Environment, name: object, error: Exception) -> bool:
    """Whether the model's own code asked for a tokenizer that nobody has; then it is noted."""
    frames: list[str] = []
    frame = sys._getframe(2)
    while frame is not None and len(frames) < 3:
        frames.append(place.asks(frame))
        frame = frame.f_back  # type: ignore[assignment]
    wanted = read_id(str(name))
    if not any(frames) or wanted is None or not is_missing(error):
        return False
    place.note(f"the tokenizer {name} is not in the Hugging Face cache", f"one of 4 words; {wanted.download()}")
    return True


def _small() -> Any:
    from tokenizers import models, pre_tokenizers

    real = sys.modules["tokenizers"].Tokenizer
    made: Any = real(models.WordLevel(_WORDS, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return made
