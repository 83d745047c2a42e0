"""Probes: one file a probe, each one declared value; and the compiler that makes templates of them."""
