"""The one door for bytes that somebody else wrote: regular files, up to a size, and plain data, up to a depth."""

from analyzer.foreign.data import check_containers, check_data, parse_json
from analyzer.foreign.files import LARGEST, is_file, is_folder, opened, read_small, read_small_text
from analyzer.foreign.model_folder import check_folder
from analyzer.foreign.toml_text import parse_toml
from analyzer.foreign.yaml_text import parse_yaml

__all__ = [
    "LARGEST", "check_containers", "check_data", "check_folder", "is_file", "is_folder", "opened", "parse_json",
    "parse_toml", "parse_yaml", "read_small", "read_small_text",
]  # fmt: skip
