"""Welfare optima of auction instances by HiGHS, prices ignored.

usage: optimum.py FOLDER: reads FOLDER/*.txt (the format of tests/data), writes FOLDER/optima.json
{name: {"welfare": int, "bound": float, "proved": bool}}. The bound is what no
allocation exceeds; where the solver proved optimality within its time it is the optimum.
"""

import json
import pathlib
import sys

import highspy

SECONDS_MAX = 20.0
# The solver's tolerances want coefficients of moderate size.
MONEY = 1000.0


def optimum(text):
    """Maximal welfare of a market: integer lots of each alternative, divisible supply, free disposal."""
    solver = highspy.Highs()
    solver.silent()
    solver.setOptionValue("time_limit", SECONDS_MAX)
    solver.setOptionValue("mip_rel_gap", 1e-5)
    solver.setOptionValue("threads", 1)
    lines = [line.split("#")[0].split() for line in text.splitlines()]
    lines = [line for line in lines if line]
    inf = highspy.kHighsInf
    balance = {}
    columns = 0
    at = 0
    worth = []
    caps = []
    while at < len(lines):
        line = lines[at]
        at += 1
        if line[0] == "S":
            pool, ask, quantity = int(line[1]), int(line[2]), int(line[3])
            solver.addVar(0, quantity)
            solver.changeColCost(columns, -ask / MONEY)
            balance.setdefault(pool, []).append((columns, -1))
            worth.append(-ask)
            columns += 1
        elif line[0] == "O":
            lots, alternatives = int(line[2]), int(line[3])
            own = []
            for alternative in lines[at : at + alternatives]:
                solver.addVar(0, lots)
                solver.changeColCost(columns, int(alternative[1]) / MONEY)
                solver.changeColIntegrality(columns, highspy.HighsVarType.kInteger)
                for entry in alternative[3:]:
                    pool, quantity = entry.split(":")
                    balance.setdefault(int(pool), []).append((columns, int(quantity)))
                worth.append(int(alternative[1]))
                own.append(columns)
                columns += 1
            at += alternatives
            caps.append((own, lots))
    for own, lots in caps:
        if len(own) > 1:
            solver.addRow(-inf, lots, len(own), own, [1.0] * len(own))
    for entries in balance.values():
        solver.addRow(-inf, 0, len(entries), [c for c, _ in entries], [float(q) for _, q in entries])
    solver.changeObjectiveSense(highspy.ObjSense.kMaximize)
    solver.run()
    values = solver.getSolution().col_value
    info = solver.getInfo()
    mixed = any(line[0] == "O" for line in lines)
    bound = info.mip_dual_bound if mixed else info.objective_function_value
    return {
        "welfare": sum(w * round(v) for w, v in zip(worth, values)),
        "bound": MONEY * bound,
        "proved": solver.getModelStatus() == highspy.HighsModelStatus.kOptimal,
    }


def main():
    folder = pathlib.Path(sys.argv[1])
    optima = {path.stem: optimum(path.read_text()) for path in sorted(folder.glob("*.txt"))}
    (folder / "optima.json").write_text(json.dumps(optima, indent=1) + "\n")


if __name__ == "__main__":
    main()
