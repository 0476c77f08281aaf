"""What does not convert says why, and what it says to do instead converts."""

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import (
    DBSCAN,
    AffinityPropagation,
    AgglomerativeClustering,
    Birch,
    BisectingKMeans,
    KMeans,
    MeanShift,
)
from sklearn.cross_decomposition import CCA, PLSCanonical, PLSRegression
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import (
    LogisticRegression,
    Ridge,
    RidgeClassifier,
    RidgeClassifierCV,
)
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import (
    ClassifierChain,
    MultiOutputClassifier,
    MultiOutputRegressor,
    RegressorChain,
)
from sklearn.neighbors import (
    KNeighborsClassifier,
    KNeighborsRegressor,
    NearestCentroid,
    RadiusNeighborsClassifier,
    RadiusNeighborsRegressor,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import LabelPropagation, LabelSpreading
from sklearn.svm import SVC, SVR

from slipway.api.v1alpha1.model import ModelFormatName
from slipway_optimizer.convert import unconvertible
from slipway_optimizer.convert.dispatch import convert
from slipway_optimizer.convert.order import ConvertOrder
from slipway_optimizer.failures import Refused
from slipway_optimizer.session import Model

RANDOM = np.random.default_rng(5)
ROWS = RANDOM.normal(size=(60, 4)).astype(np.float32)
CLASSES = (ROWS[:, 0] > 0).astype(int) + (ROWS[:, 1] > 0.5)
TWO = (ROWS[:, 0] > 0).astype(int)
NAMES = np.array(["cat", "dog", "eel"])[CLASSES]
MANY = (ROWS[:, :2] > 0).astype(int)
NUMBER = ROWS[:, 0] * 2 + ROWS[:, 1]
NUMBERS = np.stack([NUMBER, NUMBER + 1], axis=1)
NOTHING = None


def converted(estimator: Any, folder: Path) -> dict[str, Any]:
    """Its answers to ``ROWS``, converted; compared with its own on the way."""
    joblib.dump(estimator, folder / "m.joblib")
    np.savez(folder / "rows.npz", X=ROWS)
    convert(
        ConvertOrder(
            model_format=ModelFormatName.SKLEARN,
            source=folder / "m.joblib",
            target=folder / "m.onnx",
            dataset=folder / "rows.npz",
            allow_pickle=True,
        )
    )
    return Model(folder / "m.onnx", threads=1).run_rows({"X": ROWS})


def refusal(estimator: Any, folder: Path) -> str:
    with pytest.raises(Refused) as caught:
        converted(estimator, folder)
    assert caught.value.reason == "ConversionFailed"
    return str(caught.value)


UNCONVERTIBLE = [
    (AffinityPropagation(random_state=0), NOTHING),
    (Birch(), NOTHING),
    (BisectingKMeans(3), NOTHING),
    (CCA(1), NUMBERS),
    (ClassifierChain(LogisticRegression()), MANY),
    (DummyClassifier(), CLASSES),
    (DummyRegressor(), NUMBER),
    (FixedThresholdClassifier(LogisticRegression()), TWO),
    (GaussianProcessClassifier(), TWO),
    (GaussianProcessClassifier(), CLASSES),
    (KernelRidge(), NUMBER),
    (LabelPropagation(), CLASSES),
    (LabelSpreading(), CLASSES),
    (MeanShift(), NOTHING),
    (NearestCentroid(), CLASSES),
    (OneVsOneClassifier(SVC()), NAMES),
    (OutputCodeClassifier(LogisticRegression()), CLASSES),
    (PLSCanonical(1), NUMBERS),
    (RadiusNeighborsClassifier(radius=9.0), CLASSES),
    (RadiusNeighborsRegressor(radius=9.0), NUMBER),
    (RegressorChain(Ridge()), NUMBERS),
    (RidgeClassifier(), MANY),
    (RidgeClassifierCV(), MANY),
    (TunedThresholdClassifierCV(LogisticRegression(), cv=2), TWO),
]


@pytest.mark.parametrize(("estimator", "labels"), UNCONVERTIBLE)
def test_what_does_not_convert_says_why_and_what_to_do(
    estimator: Any, labels: Any, tmp_path: Path
) -> None:
    name = type(estimator).__name__
    said = refusal(estimator.fit(ROWS, labels), tmp_path)
    assert said == unconvertible.why([name], made=True)
    assert said.startswith(f"{name} cannot be converted: ")


def test_every_estimator_of_the_table_is_tried() -> None:
    tried = {type(estimator).__name__ for estimator, _ in UNCONVERTIBLE}
    assert tried == set(unconvertible._WHY)


@pytest.mark.parametrize(
    ("estimator", "labels"),
    [
        (KMeans(3), NOTHING),
        (PLSRegression(1), NUMBERS),
        (MultiOutputClassifier(RidgeClassifier()), MANY),
        (MultiOutputClassifier(LogisticRegression()), MANY),
        (MultiOutputRegressor(Ridge()), NUMBERS),
        (CalibratedClassifierCV(SVC(), ensemble=False), CLASSES),
        (OneVsRestClassifier(LogisticRegression()), NAMES),
        (OneVsOneClassifier(SVC()), CLASSES),
        (KNeighborsClassifier(), CLASSES),
        (KNeighborsRegressor(), NUMBER),
    ],
)
def test_what_it_says_to_use_converts(estimator: Any, labels: Any, tmp_path: Path) -> None:
    assert converted(estimator.fit(ROWS, labels), tmp_path)


@pytest.mark.parametrize("clusters", [AffinityPropagation(random_state=0), MeanShift()])
def test_neighbours_of_the_centres_answer_as_the_clusters_do(clusters: Any, tmp_path: Path) -> None:
    centres = clusters.fit(ROWS).cluster_centers_
    instead = KNeighborsClassifier(n_neighbors=1).fit(centres, np.arange(len(centres)))
    answers = converted(instead, tmp_path)
    assert answers["label"].tolist() == clusters.predict(ROWS).tolist()


def test_neighbours_of_the_centroids_answer_as_the_classifier_does(tmp_path: Path) -> None:
    nearest = NearestCentroid().fit(ROWS, NAMES)
    instead = KNeighborsClassifier(n_neighbors=1).fit(nearest.centroids_, nearest.classes_)
    answers = converted(instead, tmp_path)
    assert answers["label"].tolist() == nearest.predict(ROWS).tolist()


def test_a_gaussian_process_answers_as_kernel_ridge_does(tmp_path: Path) -> None:
    ridge = KernelRidge(kernel="rbf", gamma=0.5, alpha=0.1).fit(ROWS, NUMBER)
    instead = GaussianProcessRegressor(RBF(1.0), alpha=0.1, optimizer=None).fit(ROWS, NUMBER)
    (answers,) = converted(instead, tmp_path).values()
    np.testing.assert_allclose(answers.ravel(), ridge.predict(ROWS), atol=1e-3)


@pytest.mark.parametrize("radius", [1.0, 9.0], ids=["fails here", "would fail elsewhere"])
def test_neighbours_within_a_radius_are_refused_even_where_they_convert(
    radius: float, tmp_path: Path
) -> None:
    neighbours = RadiusNeighborsRegressor(radius=radius).fit(ROWS, NUMBER)
    assert refusal(neighbours, tmp_path).endswith("; KNeighborsRegressor converts")


def test_a_part_of_a_pipeline_is_named(tmp_path: Path) -> None:
    pipeline = make_pipeline(StandardScaler(), RadiusNeighborsClassifier(radius=9.0))
    said = refusal(pipeline.fit(ROWS, CLASSES), tmp_path)
    assert said.startswith("RadiusNeighborsClassifier cannot be converted: ")


def test_an_estimator_that_converts_is_not_blamed_for_a_vectoriser(tmp_path: Path) -> None:
    pipeline = make_pipeline(TfidfVectorizer(analyzer="char_wb"), RidgeClassifier())
    said = refusal(pipeline.fit(["good", "bad", "nice", "rude"], [0, 1, 0, 1]), tmp_path)
    assert "only tokenizer='word'" in said


class Own(SVR):  # type: ignore[misc]  # scikit-learn has no types
    """An estimator that nobody wrote a converter for."""


def test_an_estimator_of_ones_own_is_named_without_a_page_of_text(tmp_path: Path) -> None:
    assert refusal(Own().fit(ROWS, NUMBER), tmp_path) == (
        "skl2onnx cannot convert Own: it has no converter for Own; export it to ONNX yourself, "
        "or choose another estimator"
    )


@pytest.mark.parametrize(
    ("estimator", "words"),
    [
        (DBSCAN(), "DBSCAN has no predictions, it labels only the rows that it was fitted on"),
        (AgglomerativeClustering(3), "train a classifier, as KNeighborsClassifier, on its labels_"),
        (PCA(2), "PCA has no predictions, it only transforms: save the whole fitted pipeline"),
    ],
)
def test_what_has_no_predictions_says_so(estimator: Any, words: str, tmp_path: Path) -> None:
    assert words in refusal(estimator.fit(ROWS), tmp_path)


def test_what_was_never_fitted_says_so(tmp_path: Path) -> None:
    assert refusal(LogisticRegression(), tmp_path).startswith(
        "LogisticRegression is not a fitted estimator"
    )
