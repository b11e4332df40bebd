"""What a page must show, worked out from verdicts.json alone."""
import json
import math

STAGES_LAST = 10**6


def number(value):
    return float(value)  # "NaN", "Infinity" too


class Facts:
    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            self.run = json.load(file)
        self.findings = self.run["findings"]
        for f in self.findings:
            m = f["metrics"]
            f["ratio"] = number(m["bound_ratio"])
            f["probe_name"] = f"{f['probe']} ({f['mode']})" if f["mode"] else f["probe"]
            contradicts = math.isnan(f["ratio"]) or (m["count"] > 0 and not f["ratio"] <= 1)
            f["worth"] = "invalid" if f["status"] == "pass" and contradicts else f["status"]

    def chosen(self, **wanted):
        """Findings with these fields; an empty one stands for all."""
        return [f for f in self.findings if all(value == "" or f[name] == value for name, value in wanted.items())]

    def stage_cells(self, **wanted):
        """(stage, layer) -> worst (count, status, ratio)"""
        return worst_cells((f["stage"], f["layer"], f["worth"], f["ratio"]) for f in self.chosen(**wanted)
                           if f["stage"] and not f["stage"].startswith("weight/"))

    def head_cells(self, stage, **wanted):
        return worst_cells((head, f["layer"], "pass" if number(r) <= 1 else "fail", number(r))
                           for f in self.chosen(stage=stage, **wanted) for head, r in enumerate(f.get("head_ratio", [])))

    def bins(self, which, **wanted):
        rows = [f[which] for f in self.chosen(**wanted) if f.get(which)]
        return [sum(column) for column in zip(*rows)]

    def drift(self, arm):
        """({layer or "logits": ratio}, {first position of the range: ratio})"""
        layers, positions = {}, {}
        for f in self.chosen(mode="chained", arm=arm):
            for at, ratio in enumerate(f.get("row_ratio", [])):
                position = f["first_position"] + at
                low = 0 if position == 0 else 1 << (position.bit_length() - 1)
                positions[low] = max(positions.get(low, 0), number(ratio))
            if f.get("row_ratio"):
                name = "logits" if f["layer"] < 0 else str(f["layer"])
                layers[name] = max(layers.get(name, 0), f["ratio"])
        return layers, positions


def rank(status, ratio):
    return (["pass", "fail", "invalid"].index(status), math.isnan(ratio), 0 if math.isnan(ratio) else ratio)


def worst_cells(rows):
    out = {}
    for row, column, status, ratio in rows:
        count, worst = out.get((row, column), (0, None))
        if worst is None or rank(status, ratio) > rank(*worst):
            worst = (status, ratio)
        out[row, column] = (count + 1, worst)
    return out


def same(shown, true):
    """A number of the page has four digits at least."""
    shown, true = number(shown), number(true)
    return shown == true or (math.isnan(shown) and math.isnan(true)) or abs(shown - true) <= 6e-4 * abs(true)
