#!/usr/bin/env bash
# gate.sh MODEL DATA --at-least 0.02 ...: a gate in a CI, with the exit code of `intriguing gate`.
#
# In GitHub Actions its verdict stands in the step's summary and as annotations. Everything is left
# in $GATE_OUT (results/gate): report/junit.xml and report/gate.sarif for what reads these.
set -uo pipefail
out=${GATE_OUT:-results/gate}
intriguing gate "$@" --out "$out"
code=$?
case $code in 0 | 1 | 3) ;; *) exit "$code" ;; esac  # stopped, or wrong input: there is no verdict
if [[ -n ${GITHUB_STEP_SUMMARY:-} ]]; then
  cat "$out/report/summary.md" >>"$GITHUB_STEP_SUMMARY"
  cat "$out/report/annotations.txt"
fi
exit "$code"
