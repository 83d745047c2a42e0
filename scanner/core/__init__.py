"""The rules and the arithmetic of a sweep, without I/O.

Nothing in here opens a socket, reads a clock, a file or the environment, draws a random
number or starts a thread: time, keys and seeds are arguments.
"""
