"""Small remote codes of older releases of transformers, and what those releases really make of them."""
