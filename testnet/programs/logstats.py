"""Reads every file of /in and writes /out/report.json and /out/report.md.

Lines of *.log files are requests: time, address, method, path, status, bytes, duration. All other
files are taken as text. The report depends on the content alone, so that everybody who runs it gets
the same bytes.
"""

import collections
import hashlib
import json
import os
import re
import statistics
import sys

REQUEST = re.compile(r"(?P<time>\S+) (?P<address>\S+) (?P<method>[A-Z]+) (?P<path>\S+) (?P<status>\d{3}) (?P<bytes>\d+) (?P<ms>\d+)ms")


def percentile(values, share):
    """Nearest-rank percentile of a sorted list."""
    return values[min(len(values) - 1, int(share * len(values)))]


def requests(lines):
    rows, rejected = [], 0
    for line in lines:
        match = REQUEST.fullmatch(line)
        if match:
            rows.append(match)
        else:
            rejected += 1
    milliseconds = sorted(int(row["ms"]) for row in rows)
    hours = collections.Counter(row["time"][11:13] for row in rows)
    return {
        "requests": len(rows),
        "rejected_lines": rejected,
        "addresses": len({row["address"] for row in rows}),
        "bytes": sum(int(row["bytes"]) for row in rows),
        "status": dict(sorted(collections.Counter(row["status"] for row in rows).items())),
        "paths": collections.Counter(row["path"] for row in rows).most_common(5),
        "mean_ms": round(statistics.fmean(milliseconds), 3),
        "deviation_ms": round(statistics.pstdev(milliseconds), 3),
        "median_ms": percentile(milliseconds, 0.5),
        "p99_ms": percentile(milliseconds, 0.99),
        "busiest_hour": max(sorted(hours), key=hours.get),
    }


def words(text):
    found = re.findall(r"[a-z]+(?:'[a-z]+)?", text.lower())
    sentences = [part for part in re.split(r"[.!?;:]+\s", text) if part.strip()]
    return {
        "words": len(found),
        "distinct": len(set(found)),
        "mean_length": round(statistics.fmean(map(len, found)), 3),
        "sentences": len(sentences),
        "frequent": sorted(collections.Counter(found).items(), key=lambda item: (-item[1], item[0]))[:8],
    }


def main():
    report = {}
    for folder, folders, names in os.walk("/in"):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                content = file.read()
            text = content.decode("utf-8")
            part = requests(text.splitlines()) if name.endswith(".log") else words(text)
            report[os.path.relpath(path, "/in")] = {"sha256": hashlib.sha256(content).hexdigest(), **part}
    if not report:
        sys.exit("nothing to report: /in is empty")

    with open("/out/report.json", "w") as file:
        json.dump(report, file, indent=2, sort_keys=True)
        file.write("\n")
    with open("/out/report.md", "w") as file:
        file.write("# Report\n\n| file | requests | errors | median ms | p99 ms | busiest hour |\n|---|---|---|---|---|---|\n")
        for name, part in report.items():
            if "requests" in part:
                errors = sum(count for status, count in part["status"].items() if status >= "400")
                file.write(f"| {name} | {part['requests']} | {errors} | {part['median_ms']} | {part['p99_ms']} | {part['busiest_hour']} |\n")
        for name, part in report.items():
            if "words" in part:
                listed = ", ".join(f"{word} ({count})" for word, count in part["frequent"])
                file.write(f"\n{name}: {part['words']} words, {part['distinct']} different; most frequent: {listed}.\n")
    print(f"{len(report)} files read")


main()
