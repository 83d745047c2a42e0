#!/usr/bin/env bash
# `make demo`: a lab of one prober and a host that owns a /16, a sweep of all 65 536 addresses, and the
# sweep's own capture read back. Nothing leaves the lab's namespaces, and the lab is removed in the end.
set -euo pipefail

lab=demo

if [[ $EUID -ne 0 ]]; then
    echo "demo: building a lab takes root; run: sudo make demo" >&2
    exit 1
fi
for command in ip nft; do
    type -P "$command" >/dev/null || { echo "demo: $command is not installed; run: make lab-packages" >&2; exit 1; }
done

ghostport=$(realpath "${GHOSTPORT:-.venv/bin/ghostport}")
out=$(mktemp -d)
tear_down() {
    "$ghostport" lab down --name "$lab" || true
    rm -rf "$out"
}
trap tear_down EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

show() {
    printf '\n$ ghostport %s\n' "$*"
    "$ghostport" "$@"
}

show lab up --profile demo --name "$lab"
show lab exec --name "$lab" -- "$ghostport" sweep 10.50.0.0/16 -p 401 \
    --evidence "$out/evidence" --jsonl "$out/sweep.jsonl"
show read "$out/evidence" --jsonl "$out/read.jsonl"

if ! cmp "$out/sweep.jsonl" "$out/read.jsonl"; then
    echo "demo: the capture, read back, gives other verdicts than the sweep" >&2
    exit 1
fi
printf '\ndemo: %d verdicts, and the same again from the capture.\n' "$(wc -l <"$out/sweep.jsonl")"
