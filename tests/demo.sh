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
out=out/demo
mkdir -p "$out"
tear_down() {
    "$ghostport" lab down --name "$lab" || true
}
trap tear_down EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

show() {
    printf '\n$ ghostport %s\n' "${*//$ghostport/ghostport}"
    "$ghostport" "$@"
}

show lab up --profile demo --name "$lab"
show lab exec --name "$lab" -- "$ghostport" sweep 10.50.0.0/16 --rate 20000 \
    -o "$out/sweep.jsonl" --evidence "$out/sweep.pcap"
show read "$out/sweep.pcap" -q -o "$out/read.jsonl"

if ! cmp "$out/sweep.jsonl" "$out/read.jsonl"; then
    echo "demo: the capture, read back, gives other verdicts than the sweep" >&2
    exit 1
fi
printf '\n%d verdicts in %s, and the capture read back gives the very same records.\n' \
    "$(wc -l <"$out/sweep.jsonl")" "$out/sweep.jsonl"
