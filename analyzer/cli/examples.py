"""What stands below the help of each command: examples to copy, and what else decides."""

from __future__ import annotations

from typing import Final

EXAMPLES: Final = {
    "": """
Start with `analyze trace MODEL_DIR`. Each command has a --help with examples.

\b
Exit code:    0 ran to its end and nothing found, 1 something found,
              2 could not run, or stopped early
Environment:  NO_COLOR=1 for no colours, COLUMNS=80 for the width
Completion:   eval "$(_ANALYZE_COMPLETE=bash_source analyze)"
              also zsh_source and fish_source
""",
    "trace": """
\b
Examples:
  analyze trace model --out graph.svg
  analyze trace model --trust-remote-code --dtype bf16 --set 'vpm.*=f32'
  analyze trace model --recipe args.yaml --stage train
  analyze trace model --autocast cuda:bfloat16 --scope run
  analyze trace model --steps prefill,decode --out report.json
  analyze trace model --trust-remote-code --stub auto
  analyze trace model --trust-remote-code --with transformers==4.44.2
""",
    "draw": """
\b
Examples:
  analyze trace model --out report.json
  analyze draw report.json --out graph.svg --out report.html
  analyze draw report.json --finding 1 --out finding.png
  analyze draw report.json --focus resampler --out resampler.svg
""",
    "check": """
\b
Examples:
  analyze check model --baseline dtypes.json --update-baseline
  analyze check model --baseline dtypes.json
  analyze check model --format github --also sarif=dtypes.sarif
  analyze check model --recipe args.yaml --fail-on error

\b
Suppressions: [tool.analyzer] in pyproject.toml, or at the source line
  # analyzer: ignore[DT101] why it is right
""",
    "diff": """
\b
Examples:
  analyze diff old_model new_model
  analyze diff model --rev main..HEAD --out diff.svg
  analyze diff model --a dtype=f16 --b dtype=bf16
  analyze diff model --recipe-a old.yaml --recipe-b new.yaml
  analyze diff before.json after.json --out diff.md
""",
    "fix": """
\b
Examples:
  analyze fix model --recipe args.yaml
  analyze fix model --try to=bf16 --try set.resampler=bf16 --diff
  analyze fix model --apply patched_model
  analyze fix model --apply plan.json; analyze trace model --plan plan.json
""",
    "explain": """
\b
Examples:
  analyze explain
  analyze explain DT101
  analyze explain mixed-product
""",
}
"""By command; "" is the group. A line `\\b` keeps the lines below it as they are."""

SUMMARIES: Final = {
    "trace": "Report what does not fit in a model, and draw it.",
    "draw": "Draw a report that was saved as JSON.",
    "check": "For CI: fail on what is not known yet.",
    "diff": "Compare two models, set-ups, revisions or reports.",
    "fix": "Propose changes that clear the errors, each tried.",
    "explain": "Print the page of a rule.",
}
"""One line for the list of commands."""
