"""Counts lines, words and bytes of every file of /in and writes /out/count.txt."""

import os

with open("/out/count.txt", "w") as out:
    for name in sorted(os.listdir("/in")):
        with open(os.path.join("/in", name)) as file:
            text = file.read()
        out.write(f"{text.count(chr(10))} {len(text.split())} {len(text)} {name}\n")
