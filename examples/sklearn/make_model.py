"""A scikit-learn classifier of handwritten digits and the rows that judge it.

    python examples/sklearn/make_model.py FOLDER

writes ``digits.skops`` (skops: loading it runs no code, unlike a pickle) and ``digits.npz`` with
the rows that were not trained on: ``X`` float32 [n, 64] and ``labels`` int64 [n].
"""

import argparse
import zipfile
from pathlib import Path

import numpy as np
import skops.io
from numpy.lib import format as npy
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def main() -> None:
    """Train and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    pixels, digits = load_digits(return_X_y=True)
    train, test, train_labels, test_labels = train_test_split(
        pixels, digits, test_size=0.5, random_state=0, stratify=digits
    )
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(train, train_labels)
    skops.io.dump(model, folder / "digits.skops")
    arrays = {"X": test.astype(np.float32), "labels": test_labels.astype(np.int64)}
    # Not numpy.savez: it writes the time, and equal rows should have equal digests.
    with zipfile.ZipFile(folder / "digits.npz", "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), "w") as file:
                npy.write_array(file, array, allow_pickle=False)


if __name__ == "__main__":
    main()
