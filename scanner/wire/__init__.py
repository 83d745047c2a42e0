"""Ways out and back in: one file each, all under the `scanner.contracts.Wire` contract.

Everything that touches a socket, the routing tables or the real time lives on this
floor. Nothing here knows of targets, verdicts or scopes: a wire sends what it is given.
"""
