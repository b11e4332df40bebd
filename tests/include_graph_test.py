#!/usr/bin/env python3
"""Holds every #include "folder/…" of the tree against the arrows of the architecture, then plants a violation of each
kind in a copy of the graph and sees that it is caught."""
import pathlib
import re
import sys

# folder -> folders that its files may include (itself is always allowed)
ALLOWED = {
    "datasets": set(),
    "kernels": set(),
    "engine": {"kernels", "datasets"},
    "reference": {"datasets"},
    "probes": {"reference", "datasets"},
    "reports": {"probes", "datasets"},
    "suites": {"engine", "probes", "reports", "reference", "datasets"},
    "cli": {"suites", "engine", "probes", "reports", "reference", "kernels", "datasets"},
}
# What no file may reach, even through others.
NEVER = [("engine", "reference"), ("kernels", "reference"), ("reference", "engine"), ("reference", "kernels"),
         ("probes", "engine"), ("probes", "kernels")]
SUFFIXES = {".cpp", ".hpp", ".hip", ".h"}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


def read_graph(root):
    """file -> the files of this tree that it includes"""
    files = {p.relative_to(root).as_posix(): p for folder in ALLOWED for p in (root / folder).rglob("*")
             if p.suffix in SUFFIXES}
    graph = {}
    for name, path in files.items():
        found = INCLUDE.findall(path.read_text(encoding="utf-8"))
        unknown = [i for i in found if i not in files]
        if unknown:
            sys.exit(f'{name} includes "{unknown[0]}", which is not in the tree (includes are written from the root)')
        graph[name] = set(found)
    return graph


def folder(name):
    return name.split("/")[0]


def violations(graph):
    out = [f"{f} includes {i}: {folder(f)}/ may not use {folder(i)}/" for f in graph for i in graph[f]
           if folder(i) != folder(f) and folder(i) not in ALLOWED[folder(f)]]
    for f in graph:
        seen, todo = set(), [f]
        while todo:
            for i in graph.get(todo.pop(), ()):
                if i not in seen:
                    seen.add(i)
                    todo.append(i)
        for start, end in NEVER:
            if folder(f) == start:
                out += [f"{f} reaches {i}: {start}/ must never see {end}/" for i in sorted(seen) if folder(i) == end]
    return out


def main():
    graph = read_graph(pathlib.Path(__file__).resolve().parent.parent)
    if len(graph) < 50:
        sys.exit(f"only {len(graph)} files found: the test looks in the wrong place")
    found = violations(graph)
    if found:
        sys.exit("\n".join(found))
    for start, end in NEVER:  # the tester is tested: each planted include must be seen
        planted = {f: set(i) for f, i in graph.items()}
        planted[next(f for f in sorted(planted) if folder(f) == start)].add(
            next(f for f in sorted(planted) if folder(f) == end))
        if not violations(planted):
            sys.exit(f"a planted include of {end}/ in {start}/ went unseen")
    print(f"{len(graph)} files, {sum(map(len, graph.values()))} includes: the arrows point down only")


main()
