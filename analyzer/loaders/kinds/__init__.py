"""One file for each kind of thing that people call a model; `loaders.LOADERS` lists them."""
