"""Real estimators of scikit-learn become ONNX that answers as they do."""

import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import skops.io
from lightgbm import LGBMClassifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.discriminant_analysis import (
    LinearDiscriminantAnalysis,
    QuadraticDiscriminantAnalysis,
)
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression, SGDClassifier, TweedieRegressor
from sklearn.mixture import GaussianMixture
from sklearn.multiclass import OneVsOneClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier, LocalOutlierFactor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC, OneClassSVM
from xgboost import XGBClassifier, XGBRegressor

from slipway.api.v1alpha1.model import ModelFormatName
from slipway_optimizer import graph
from slipway_optimizer.convert.dispatch import convert
from slipway_optimizer.convert.order import Conversion, ConvertOrder
from slipway_optimizer.failures import Refused
from slipway_optimizer.session import Model
from slipway_optimizer.tensors import DYNAMIC

RANDOM = np.random.default_rng(5)
ROWS = RANDOM.normal(size=(120, 4)).astype(np.float32)
LABELS = (ROWS[:, 0] + ROWS[:, 1] > 0).astype(int) + (ROWS[:, 2] > 1)
TEXTS = ["good morning", "very bad word", "nice day", "rude and bad", "hello world", "bad day"] * 4
RUDE = [0, 1, 0, 1, 0, 1] * 4


def converted(path: Path, *, name: str = "sklearn", allow_pickle: bool = False) -> Conversion:
    order = ConvertOrder(
        model_format=ModelFormatName(name),
        source=path,
        target=path.with_suffix(".onnx"),
        allow_pickle=allow_pickle,
    )
    return convert(order)


def saved(folder: Path, estimator: Any) -> Path:
    skops.io.dump(estimator, folder / "m.skops")
    return folder / "m.skops"


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        HistGradientBoostingClassifier(max_iter=3),
        SGDClassifier(),
        make_pipeline(StandardScaler(), LogisticRegression()),
        LinearSVC(),
        make_pipeline(StandardScaler(), LinearSVC()),
        QuadraticDiscriminantAnalysis(),
        OneVsOneClassifier(LogisticRegression()),
        KNeighborsClassifier(),
        CalibratedClassifierCV(LinearSVC()),
        VotingClassifier([("a", LogisticRegression()), ("b", QuadraticDiscriminantAnalysis())]),
        make_pipeline(SimpleImputer(), SelectKBest(k=2), LogisticRegression()),
        make_pipeline(KNNImputer(), LogisticRegression()),
    ],
    ids=lambda e: "-".join(type(s[1]).__name__ for s in getattr(e, "steps", [("", e)])),
)
def test_a_classifier_answers_as_before(estimator: Any, tmp_path: Path) -> None:
    estimator.fit(ROWS, LABELS)
    found = converted(saved(tmp_path, estimator))
    assert found.figures["labels_differing"] == 0
    labels = Model(tmp_path / "m.onnx", threads=1).run({"X": ROWS})["label"]
    assert labels.tolist() == estimator.predict(ROWS).tolist()


@pytest.mark.parametrize(
    "estimator",
    [
        MLPClassifier((8,), max_iter=500, tol=1e-2),
        RandomForestClassifier(5),
        MultiOutputClassifier(LogisticRegression()),
    ],
    ids=lambda e: type(e).__name__,
)
def test_several_labels_a_row_are_answered_as_before(estimator: Any, tmp_path: Path) -> None:
    estimator.fit(ROWS, (ROWS[:, :2] > 0).astype(int))
    found = converted(saved(tmp_path, estimator))
    assert (found.figures["labels_differing"], found.output) == (0, "label")
    signature = graph.signature_of(graph.load(tmp_path / "m.onnx"))
    assert signature.outputs[0].shape == (DYNAMIC, DYNAMIC)
    labels = Model(tmp_path / "m.onnx", threads=1).run({"X": ROWS})["label"]
    assert labels.tolist() == estimator.predict(ROWS).tolist()


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        LinearSVC(),
        AdaBoostClassifier(n_estimators=3),
        make_pipeline(StandardScaler(), RandomForestClassifier(5)),
        CalibratedClassifierCV(LinearSVC()),
        VotingClassifier([("a", LogisticRegression()), ("b", QuadraticDiscriminantAnalysis())]),
        OneVsOneClassifier(LogisticRegression()),
    ],
    ids=lambda e: "-".join(type(s[1]).__name__ for s in getattr(e, "steps", [("", e)])),
)
def test_a_classifier_of_false_and_true_answers_0_and_1(estimator: Any, tmp_path: Path) -> None:
    estimator.fit(ROWS, ROWS[:, 0] > 0)
    found = converted(saved(tmp_path, estimator))
    assert (found.figures["labels_differing"], found.classes) == (0, None)
    labels = Model(tmp_path / "m.onnx", threads=1).run({"X": ROWS})["label"]
    assert labels.tolist() == estimator.predict(ROWS).astype(int).tolist()


@pytest.mark.parametrize(
    "estimator",
    [
        LinearDiscriminantAnalysis(),
        make_pipeline(StandardScaler(), LinearDiscriminantAnalysis()),
        VotingClassifier([("a", LinearDiscriminantAnalysis())], voting="soft"),
    ],
    ids=lambda e: type(e).__name__,
)
@pytest.mark.parametrize("labels", [LABELS, LABELS > 0], ids=["three", "two"])
def test_linear_discriminants_answer_with_their_probabilities(
    estimator: Any, labels: Any, tmp_path: Path
) -> None:
    estimator.fit(ROWS, labels)
    converted(saved(tmp_path, estimator))
    answers = Model(tmp_path / "m.onnx", threads=1).run({"X": ROWS})["probabilities"]
    np.testing.assert_allclose(answers, estimator.predict_proba(ROWS), atol=1e-4)


def test_several_labels_of_false_and_true_a_row_answer_0_and_1(tmp_path: Path) -> None:
    estimator = MultiOutputClassifier(LogisticRegression()).fit(ROWS, ROWS[:, :2] > 0)
    assert converted(saved(tmp_path, estimator)).output == "label"
    labels = Model(tmp_path / "m.onnx", threads=1).run({"X": ROWS})["label"]
    assert labels.tolist() == estimator.predict(ROWS).astype(int).tolist()


@pytest.mark.parametrize(
    ("estimator", "decides"),
    [
        (KMeans(3), "transform"),
        (GaussianMixture(2), "predict_proba"),
        (IsolationForest(n_estimators=5), "decision_function"),
        (OneClassSVM(), "decision_function"),
        (make_pipeline(StandardScaler(), LocalOutlierFactor(novelty=True)), "decision_function"),
    ],
    ids=lambda e: e if isinstance(e, str) else type(e).__name__,
)
def test_clusters_and_outliers_are_answered_with_what_decides_them(
    estimator: Any, decides: str, tmp_path: Path
) -> None:
    estimator.fit(ROWS)
    joblib.dump(estimator, tmp_path / "m.joblib")
    found = converted(tmp_path / "m.joblib", allow_pickle=True)
    assert (found.figures["labels_differing"], found.output) == (0, "label")
    label, numbers = Model(tmp_path / "m.onnx", threads=1).run({"X": ROWS}).values()
    assert label.tolist() == estimator.predict(ROWS).tolist()
    expected = getattr(estimator, decides)(ROWS).reshape(numbers.shape)
    np.testing.assert_allclose(numbers, expected, atol=1e-3)


def test_a_regressor_with_a_loss_of_scikit_learn_s_own_is_trusted(tmp_path: Path) -> None:
    estimator = TweedieRegressor(power=0).fit(ROWS, ROWS[:, 0])
    assert float(converted(saved(tmp_path, estimator)).figures["max_difference"]) < 1e-5


@pytest.mark.parametrize(
    "estimator",
    [
        MLPRegressor(hidden_layer_sizes=(8,), max_iter=500, tol=1e-2),
        BaggingRegressor(n_estimators=3),
    ],
    ids=lambda e: type(e).__name__,
)
def test_several_numbers_a_row_keep_their_columns(estimator: Any, tmp_path: Path) -> None:
    estimator.fit(ROWS, ROWS[:, :2] * 3)
    joblib.dump(estimator, tmp_path / "m.joblib")
    converted(tmp_path / "m.joblib", allow_pickle=True)
    (numbers,) = graph.signature_of(graph.load(tmp_path / "m.onnx")).outputs
    assert numbers.shape == (DYNAMIC, 2)
    answers = Model(tmp_path / "m.onnx", threads=1).run({"X": ROWS})["variable"]
    np.testing.assert_allclose(answers, estimator.predict(ROWS), atol=1e-3)


def test_a_histogram_regressor_answers_as_before(tmp_path: Path) -> None:
    estimator = HistGradientBoostingRegressor(max_iter=3).fit(ROWS, ROWS[:, 0])
    assert float(converted(saved(tmp_path, estimator)).figures["max_difference"]) < 1e-5


@pytest.mark.parametrize("words", [TfidfVectorizer(), CountVectorizer(lowercase=False)])
def test_a_text_pipeline_takes_text_and_needs_no_locale(words: Any, tmp_path: Path) -> None:
    pipeline = make_pipeline(words, LogisticRegression()).fit(TEXTS, RUDE)
    assert converted(saved(tmp_path, pipeline)).output == "probabilities"
    signature = graph.signature_of(graph.load(tmp_path / "m.onnx"))
    (texts,) = signature.inputs
    assert (texts.name, texts.datatype, texts.shape) == ("X", "BYTES", (DYNAMIC, 1))
    unicode = np.array([["Bad DAY"], ["GÜTE und nice"]])
    answers = Model(tmp_path / "m.onnx", threads=1).run({"X": unicode})
    expected = pipeline.predict_proba(unicode[:, 0])
    np.testing.assert_allclose(answers["probabilities"], expected, atol=1e-5)


@pytest.mark.parametrize("pattern", [r"(?u)\b\w\w+\b", r"\b\w+\b"])
@pytest.mark.parametrize("kind", [TfidfVectorizer, CountVectorizer])
def test_words_of_any_letters_and_their_pairs_are_the_same(
    kind: Any, pattern: str, tmp_path: Path
) -> None:
    texts = [
        "naïve Straße a café",
        "ΑΒΓ δεζ 1 2 33",
        "日本 日本語 x² _ __",
        "I like a cat",
        "bad day",
    ]
    texts, rude = texts * 4, [0, 1, 0, 1, 1] * 4
    words = kind(ngram_range=(1, 2), token_pattern=pattern)
    pipeline = make_pipeline(words, LogisticRegression(C=50)).fit(texts, rude)
    converted(saved(tmp_path, pipeline))
    asked = np.array([*texts[:5], "été \u2019quoted\u2019 Straße", "I like I cat"]).reshape(-1, 1)
    answers = Model(tmp_path / "m.onnx", threads=1).run({"X": asked})
    expected = pipeline.predict_proba(asked[:, 0])
    np.testing.assert_allclose(answers["probabilities"], expected, atol=1e-5)


def test_a_vectoriser_of_letters_is_refused_with_a_remedy(tmp_path: Path) -> None:
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 3))
    pipeline = make_pipeline(letters, LogisticRegression()).fit(TEXTS, RUDE)
    with pytest.raises(Refused, match=r"only tokenizer='word' .* choose another") as caught:
        converted(saved(tmp_path, pipeline))
    assert caught.value.reason == "ConversionFailed"


@pytest.mark.parametrize("write", ["pickle", "joblib", "joblib, compressed"])
def test_a_pickle_is_opened_only_when_it_is_allowed(write: str, tmp_path: Path) -> None:
    estimator = CalibratedClassifierCV(LinearSVC()).fit(ROWS, LABELS)
    path = tmp_path / "m.bin"
    if write == "pickle":
        path.write_bytes(pickle.dumps(estimator))
    else:
        joblib.dump(estimator, path, compress=3 if "," in write else 0)
    with pytest.raises(Refused, match=r"runs code when it is opened: save it with skops\.io\.dump"):
        converted(path)
    assert converted(path, allow_pickle=True).figures["labels_differing"] == 0


def test_a_pickle_of_unknown_classes_says_which(tmp_path: Path) -> None:
    path = tmp_path / "m.pkl"
    path.write_bytes(b"\x80\x04\x8c\x07nowhere\x8c\x05Model\x93.")
    with pytest.raises(Refused, match="ModuleNotFoundError: No module named 'nowhere'"):
        converted(path, allow_pickle=True)


@pytest.mark.parametrize(
    "booster", [XGBClassifier(n_estimators=3), LGBMClassifier(n_estimators=3, verbose=-1)],
    ids=["XGBoost", "LightGBM"],
)  # fmt: skip
def test_a_pipeline_may_end_in_a_booster(booster: Any, tmp_path: Path) -> None:
    pipeline = make_pipeline(StandardScaler(), booster).fit(ROWS, LABELS)
    path = saved(tmp_path, pipeline)
    with pytest.raises(
        Refused, match=r"types that may run code when loaded \(.*\): use .*allowPickle"
    ):
        converted(path)
    assert converted(path, allow_pickle=True).figures["labels_differing"] == 0


def test_a_pickled_booster_is_read_as_its_library_s(tmp_path: Path) -> None:
    path = tmp_path / "m.pkl"
    path.write_bytes(pickle.dumps(XGBRegressor(n_estimators=3).fit(ROWS, ROWS[:, 0])))
    found = converted(path, name="xgboost", allow_pickle=True)
    assert float(found.figures["max_difference"]) < 1e-5


def test_half_a_model_is_refused(tmp_path: Path) -> None:
    words = TfidfVectorizer().fit(TEXTS)
    with pytest.raises(Refused, match=r"only transforms: save the whole fitted pipeline"):
        converted(saved(tmp_path, words))
