#!/usr/bin/env bash
# What the GitHub action runs: one check with annotations, a SARIF, a JUnit and a Markdown file, and a job summary.
set -euo pipefail

python=${ANALYZE_PYTHON:-python}
folder=${ANALYZE_REPORT_DIR:-dtype-report}
if ! "$python" -c 'import analyzer' 2>/dev/null; then
    "$python" -m pip install --quiet "$GITHUB_ACTION_PATH"
fi

shared=()
while IFS= read -r argument; do
    if [ -n "$argument" ]; then shared+=("$argument"); fi
done <<<"${ANALYZE_ARGS:-}"
own=(--also "sarif=$folder/dtypes.sarif" --also "junit=$folder/dtypes.xml" --also "markdown=$folder/dtypes.md")
if [ -n "${ANALYZE_BASELINE:-}" ]; then own+=(--baseline "$ANALYZE_BASELINE"); fi

mkdir -p "$folder"
rm -f "$folder/dtypes.md" "$folder/diff.md"  # an earlier run's
code=0
"$python" -m analyzer check "$ANALYZE_MODEL" --format github "${own[@]}" ${shared[@]+"${shared[@]}"} || code=$?
if [ -f "$folder/dtypes.md" ] && [ -n "${ANALYZE_BASE:-}" ]; then  # also of a run that stopped early
    # only what says how the model runs holds for a diff; its exit code is no verdict
    "$python" -m analyzer diff "$ANALYZE_MODEL" --rev "$ANALYZE_BASE..HEAD" --out "$folder/diff.md" \
        ${shared[@]+"${shared[@]}"} >/dev/null || true
fi

for page in dtypes.md diff.md; do
    if [ -n "${GITHUB_STEP_SUMMARY:-}" ] && [ -f "$folder/$page" ]; then
        cat "$folder/$page" >>"$GITHUB_STEP_SUMMARY"
    fi
done
if [ -n "${GITHUB_OUTPUT:-}" ]; then
    printf '%s\n' "exit-code=$code" "sarif=$folder/dtypes.sarif" "comment=$folder/dtypes.md" >>"$GITHUB_OUTPUT"
fi
exit "$code"
