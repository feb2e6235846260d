# What the GitHub action sources: one check with annotations, a SARIF, a JUnit and a Markdown file, and a job summary.
# The working directory is the checkout of a pull request: nothing of it is run, imported or written through.
set -euo pipefail
exec 2>&1  # one stream, so that the runner reads its lines in the order in which they were written

code=2  # could not run, until the check says otherwise
own=
whole=
while IFS= read -r -d : entry; do  # an empty or relative entry of PATH is the checkout
    case $entry in /*) whole+=${whole:+:}$entry ;; esac
done <<<"$PATH:"
export PATH=$whole
unset ${!PYTHON@} ${!PIP_@}  # a PYTHONPATH or a PIP_CONSTRAINT of a workflow often leads into the checkout

random() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }
fail() {
    printf 'analyze: %s\n' "$1"
    exit 2
}
hand_on() {
    local end
    end=$(random)
    printf '%s<<%s\n%s\n%s\n' "$1" "$end" "$2" "$end" >>"$GITHUB_OUTPUT"
}
finish() {
    trap - EXIT
    printf '\n::%s::\n' "$token"  # from here on the runner obeys again: the annotations, which are escaped
    if [ -f "$own/annotations" ]; then grep -E '^::(error|warning|notice) ' -- "$own/annotations" || true; fi
    if [ -n "${GITHUB_OUTPUT:-}" ]; then hand_on exit-code "$code"; fi
    exit "$code"
}
token=$(random) || exit 2
printf '::stop-commands::%s\n' "$token"  # what people read may hold the text of a stranger
trap finish EXIT

own=$(mktemp -d "${RUNNER_TEMP:-${TMPDIR:-/tmp}}/analyze.XXXXXXXXXX")
case ${ANALYZE_PYTHON:=python} in
    /*) python=$ANALYZE_PYTHON ;;
    */*) python=$PWD/$ANALYZE_PYTHON ;;
    *) python=$(command -v -- "$ANALYZE_PYTHON") || fail "there is no $ANALYZE_PYTHON (actions/setup-python brings one)" ;;
esac
if ! "$python" -I -c 'import analyzer' 2>/dev/null; then
    (cd "$own" && "$python" -I -m pip --isolated install --quiet --disable-pip-version-check -- "$GITHUB_ACTION_PATH") ||
        fail "it could not be installed into $python"
fi

model=${ANALYZE_MODEL:-}
if [ -z "$model" ]; then fail "the action needs the input 'model'"; fi
folder=${ANALYZE_REPORT_DIR:-$own}
shared=()
while IFS= read -r argument; do
    if [ -n "$argument" ]; then shared+=("$argument"); fi
done <<<"${ANALYZE_ARGS:-}"
"$python" -I "$GITHUB_ACTION_PATH/integrations/links.py" "${GITHUB_WORKSPACE:-$PWD}" "$folder" \
    "$model" "${ANALYZE_BASELINE:-}" ${shared[@]+"${shared[@]}"} || exit 2
mkdir -p -- "$folder" || fail "the folder of the report cannot be made"
rm -f -- "$folder/dtypes.sarif" "$folder/dtypes.xml" "$folder/dtypes.md"  # an earlier run's

files=(--also "sarif=$folder/dtypes.sarif" --also "junit=$folder/dtypes.xml" --also "markdown=$folder/dtypes.md")
if [ -n "${ANALYZE_BASELINE:-}" ]; then files+=(--baseline "$ANALYZE_BASELINE"); fi
checked=0
"$python" -I -m analyzer check ${shared[@]+"${shared[@]}"} \
    "${files[@]}" --format github --out "$own/annotations" -- "$model" || checked=$?
if [ -f "$folder/dtypes.md" ] && [ -n "${ANALYZE_BASE:-}" ]; then  # also of a run that stopped early
    # only what says how the model runs holds for a diff; its exit code is no verdict
    "$python" -I -m analyzer diff ${shared[@]+"${shared[@]}"} \
        --rev "$ANALYZE_BASE..HEAD" --out "$own/diff.md" -- "$model" >/dev/null || true
fi

for page in "$folder/dtypes.md" "$own/diff.md"; do
    if [ -n "${GITHUB_STEP_SUMMARY:-}" ] && [ -f "$page" ]; then cat -- "$page" >>"$GITHUB_STEP_SUMMARY"; fi
done
if [ -n "${GITHUB_OUTPUT:-}" ]; then
    for output in sarif:sarif junit:xml comment:md; do
        if [ -f "$folder/dtypes.${output#*:}" ]; then hand_on "${output%:*}" "$folder/dtypes.${output#*:}"; fi
    done
fi
code=$checked
exit "$code"
