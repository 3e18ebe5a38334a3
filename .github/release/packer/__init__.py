"""Packs one set of binaries for every channel, byte for byte the same each time.

`project` and `binaries` read what goes in, `archives` writes tar and zip files, and each of the other modules makes the
packages of one channel.
"""
