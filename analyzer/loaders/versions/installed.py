"""The two worlds of transformers, 4 and 5: what building and loading does differently, as modules of one interface.

`installed` is the module for the installed version; to ask for it imports transformers. Both define

- `FLOAT_ATTRIBUTE`: the attribute of a config that says the dtype;
- `constructing(cls, dtype)`: the contexts around a constructor call;
- `kept_wide(model, dtype)`: expression for names that stay in float32 where `dtype` is asked for -> the list it is in;
- `assigned(model, dtype, saved)`: name of each tensor that takes another dtype as it is loaded -> that dtype;
- `default_asked()`: the dtype of a `from_pretrained` that names none, or "auto";
- `mark_trained(model)`: what loading does to which parameters are trained;
- `compute(model)`: integers that loading computes and no checkpoint holds;
- `renamer(model, stored)`: name in the checkpoint -> names in the model that it loads into.
"""

from __future__ import annotations

from importlib.util import find_spec

if find_spec("transformers.core_model_loading"):
    from analyzer.loaders.versions import v5 as installed
else:
    from analyzer.loaders.versions import v4 as installed  # type: ignore[no-redef]

__all__ = ["installed"]
