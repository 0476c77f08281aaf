"""Where inputs come from: atheris, or random changes of the seeds."""

import importlib.util
import random
import re
import sys
import time
from pathlib import Path

_SPECIAL = (0, 1, 4, 5, 8, 9, 15, 16, 31, 32, 63, 64, 127, 128, 192, 255)
_MOST = 4096


def has_atheris() -> bool:
    """Whether atheris is installed."""
    return importlib.util.find_spec("atheris") is not None


def runs_of(output: str) -> str:
    """How many inputs a child says it tried."""
    found = re.findall(r"(?:stat::number_of_executed_units:|Done|runs:) +(\d+)", output)
    return found[-1] if found else "?"


def random_changes(name: str, runs: int, seconds: float, *, seed: int) -> int:
    """Run a target on random changes of its seeds; returns how many."""
    from tests.fuzz.targets import TARGETS

    target = TARGETS[name]
    source = random.Random(f"{name} {seed}")
    corpus = list(target.seeds())
    for one in corpus:
        target.run(one)
    end = time.monotonic() + seconds
    done = 0
    while done < runs and time.monotonic() < end:
        data = _changed(source, corpus, target.words)
        try:
            target.run(data)
        except BaseException:
            print(f"input: {data!r}", file=sys.stderr)
            raise
        if source.random() < 0.01 and len(corpus) < 1000:
            corpus.append(data)
        done += 1
    print(f"runs: {done}")
    return done


def _changed(source: random.Random, corpus: list[bytes], words: tuple[bytes, ...]) -> bytes:
    data = bytearray(source.choice(corpus))
    for _ in range(source.randint(1, 4)):
        place = source.randint(0, len(data))
        kind = source.randrange(6 if words else 5)
        if kind == 0:
            data[place : place + 1] = bytes([source.choice(_SPECIAL)])
        elif kind == 1:
            data[place:place] = source.randbytes(source.randint(1, 8))
        elif kind == 2:
            del data[place : place + source.randint(1, 8)]
        elif kind == 3:
            other = source.choice(corpus)
            start = source.randint(0, len(other))
            data[place:place] = other[start : start + source.randint(1, 64)]
        elif kind == 5:
            data[place:place] = source.choice(words)
        elif data:
            data[place % len(data)] ^= 1 << source.randrange(8)
    return bytes(data[:_MOST])


def atheris_changes(name: str, folder: Path, arguments: list[str]) -> None:
    """Run a target on what atheris makes; ends the process."""
    import atheris

    from tests.fuzz import targets

    prefixes = targets.TARGETS[name].modules
    for module in [one for one in sys.modules if one.startswith(prefixes)]:
        del sys.modules[module]
    for module in [one for one in sys.modules if one.startswith("tests.")]:
        if module != __name__:
            del sys.modules[module]
    with atheris.instrument_imports(include=list(prefixes)):
        from tests.fuzz.targets import TARGETS as INSTRUMENTED
    target = INSTRUMENTED[name]
    for number, seed in enumerate(target.seeds()):
        (folder / f"seed-{number}").write_bytes(seed)
    if target.words:
        dictionary = folder.with_suffix(".words")
        dictionary.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words))
        arguments = [*arguments, f"-dict={dictionary}"]
    atheris.Setup([sys.argv[0], *arguments, str(folder)], target.run)
    atheris.Fuzz()


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)
