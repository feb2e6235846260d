"""Every minor release of transformers that is supported: four models, traced and really run in an environment of it."""
