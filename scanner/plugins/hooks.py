"""The hooks: what a plugin may have functions for. Each docstring is the contract.

A plugin's function has the hook's name, and of its arguments those that it wants. What a hook asks for is
asked once, when the plugin is loaded. What a hook tells of is told from a thread of the plugin's own,
in order, and nobody waits for it.

A plugin that raises, or takes longer than LIMIT seconds, is reported once and left alone for the rest of the
run. Its thread cannot be stopped, only abandoned: a plugin is code that runs with the user's rights in this
process, and one that crashes the interpreter takes the sweep with it.
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from scanner.contracts import EvidenceSink, Format, Identifier, Probe, ScopeProvider
from scanner.model import Verdict

PROJECT = "ghostport"
PREFIX = "ghostport_"

hookspec = pluggy.HookspecMarker(PROJECT)


@hookspec
def ghostport_probes() -> Iterable[Probe]:
    """The probes that the plugin has, for `--probe NAME`. See `scanner.contracts.Probe`."""
    raise NotImplementedError


@hookspec
def ghostport_identifiers() -> Iterable[Identifier]:
    """The identifiers that the plugin has; `--identify` asks them all. See `scanner.contracts.Identifier`."""
    raise NotImplementedError


@hookspec
def ghostport_reporters() -> Iterable[Format]:
    """The formats that the plugin has, for `--format NAME`. See `scanner.contracts.Format`.

    What a reporter writes takes its place when it is whole. Where that fails, the records are written as
    JSON lines instead.
    """
    raise NotImplementedError


@hookspec
def ghostport_evidence_sinks() -> Iterable[EvidenceSink]:
    """The sinks that the plugin has, for `--evidence-sink NAME:WHERE`. See `scanner.contracts.EvidenceSink`.

    A sink that fails leaves the evidence incomplete, which is said; the sweep goes on.
    """
    raise NotImplementedError


@hookspec
def ghostport_scope_providers() -> Iterable[ScopeProvider]:
    """The scope providers that the plugin has, for `--scope-from NAME:WHICH`.

    See `scanner.contracts.ScopeProvider`. If one that was named fails, nothing is sent at all.
    """
    raise NotImplementedError


@hookspec
def ghostport_sweep_started(targets: int, ports: tuple[int, ...], protocols: tuple[str, ...]) -> None:
    """A sweep begins: so many targets (addresses × protocols × ports) will get a verdict."""


@hookspec
def ghostport_batch_sent(probes: int) -> None:
    """So many probes have left since this was last told; several batches count as one for who is slow."""


@hookspec
def ghostport_verdict_final(verdict: Verdict) -> None:
    """A target's verdict will not change any more. Every target's, once: open ports' first."""


@hookspec
def ghostport_sweep_ended(complete: bool, probes: int, seconds: float) -> None:
    """The sweep is over. complete: no target is without a verdict. Always told where the start was."""


ASKING: dict[str, type] = {
    "ghostport_probes": Probe,
    "ghostport_identifiers": Identifier,
    "ghostport_reporters": Format,
    "ghostport_evidence_sinks": EvidenceSink,
    "ghostport_scope_providers": ScopeProvider,
}
"""The hooks that ask for declared values, and of what kind."""

TELLING = (
    "ghostport_sweep_started",
    "ghostport_batch_sent",
    "ghostport_verdict_final",
    "ghostport_sweep_ended",
)
"""The hooks that tell of something."""
