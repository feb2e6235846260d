"""How much of transformers can be traced from a bare config.json."""
