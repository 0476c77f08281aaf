"""Why estimators of scikit-learn do not convert, and what to do instead. Pure."""

from collections.abc import Iterable
from typing import Final

_NONE: Final = "skl2onnx has no converter for it"
_CENTRES: Final = (
    "KNeighborsClassifier(n_neighbors=1), fitted on its cluster_centers_ and their numbers, "
    "answers alike and converts"
)
_CENTROIDS: Final = (
    "KNeighborsClassifier(n_neighbors=1), fitted on its centroids_ and classes_, answers alike "
    "and converts"
)
_PROCESS: Final = (
    "GaussianProcessRegressor with the same kernel and alpha, and optimizer=None, answers alike "
    "and converts"
)
_KMEANS: Final = "KMeans converts, and so does a classifier that is trained on its labels_"
_MANY: Final = "MultiOutputClassifier, around an estimator a label, converts"
_LABELS: Final = "train a classifier, as KNeighborsClassifier, on its transduction_"
_PLS: Final = "PLSRegression converts"
_CONSTANT: Final = "it looks at no row: compare with it while training, and serve another"
_THRESHOLD: Final = "serve its estimator_, and hold the probability to the threshold where you ask"
_RADIUS: Final = "its conversion fails at rows that have fewer neighbours than others"
_RIDGE: Final = "skl2onnx converts it for one label a row only"
# These convert otherwise: they are to blame only where ONNX Runtime refused what was made of them.
_IN_SOME_FORMS: Final = frozenset({"OneVsOneClassifier", "RidgeClassifier", "RidgeClassifierCV"})
# Their conversion answers some rows: a comparison may not meet those at which it fails.
_AT_SOME_ROWS: Final = frozenset(
    {"RadiusNeighborsClassifier", "RadiusNeighborsRegressor", "TunedThresholdClassifierCV"}
)
_WHY: Final[dict[str, tuple[str, str]]] = {
    "AffinityPropagation": (_NONE, _CENTRES),
    "Birch": (_NONE, _KMEANS),
    "BisectingKMeans": (_NONE, _KMEANS),
    "CCA": (_NONE, _PLS),
    "ClassifierChain": (_NONE, _MANY),
    "DummyClassifier": (_NONE, _CONSTANT),
    "DummyRegressor": (_NONE, _CONSTANT),
    "FixedThresholdClassifier": (_NONE, _THRESHOLD),
    "GaussianProcessClassifier": (
        "its conversion needs a solver of linear equations, which ONNX Runtime has not",
        "CalibratedClassifierCV(SVC(), ensemble=False) converts",
    ),
    "KernelRidge": (
        _NONE,
        _PROCESS,
    ),
    "LabelPropagation": (_NONE, _LABELS),
    "LabelSpreading": (_NONE, _LABELS),
    "MeanShift": (_NONE, _CENTRES),
    "NearestCentroid": (
        _NONE,
        _CENTROIDS,
    ),
    "OneVsOneClassifier": (
        "skl2onnx converts it for labels that are whole numbers only",
        "fit it on LabelEncoder's numbers, or use OneVsRestClassifier",
    ),
    "OutputCodeClassifier": (_NONE, "OneVsRestClassifier converts"),
    "PLSCanonical": (_NONE, _PLS),
    "RadiusNeighborsClassifier": (_RADIUS, "KNeighborsClassifier converts"),
    "RadiusNeighborsRegressor": (_RADIUS, "KNeighborsRegressor converts"),
    "RegressorChain": (_NONE, "MultiOutputRegressor, around an estimator a number, converts"),
    "RidgeClassifier": (_RIDGE, _MANY),
    "RidgeClassifierCV": (_RIDGE, _MANY),
    "TunedThresholdClassifierCV": ("skl2onnx leaves its threshold out", _THRESHOLD),
}


def why(names: Iterable[str], *, made: bool) -> str | None:
    """A sentence with reason and remedy; ``None`` where nothing is known.

    Args:
        names: of the classes of an estimator and of its parts, itself first.
        made: whether skl2onnx made a graph, which ONNX Runtime then refused.
    """
    blamed = (name for name in names if name in _WHY and (made or name not in _IN_SOME_FORMS))
    known = next(blamed, None)
    if known is None:
        return None
    reason, remedy = _WHY[known]
    return f"{known} cannot be converted: {reason}; {remedy}"


def why_never(names: Iterable[str]) -> str | None:
    """The same for what must not be converted even where that works."""
    return why((name for name in names if name in _AT_SOME_ROWS), made=False)


def no_predictions(name: str, *, transforms: bool, labelled: bool) -> str:
    """The same for what has nothing to ask, or was never fitted.

    Args:
        name: the class.
        transforms: whether it answers rows with other rows.
        labelled: whether it has labels of the rows that it was fitted on.
    """
    if transforms:
        return (
            f"{name} has no predictions, it only transforms: save the whole fitted pipeline, from "
            "its input to its predictions"
        )
    if labelled:
        return (
            f"{name} has no predictions, it labels only the rows that it was fitted on: train a "
            "classifier, as KNeighborsClassifier, on its labels_"
        )
    return (
        f"{name} is not a fitted estimator on numeric columns or texts: save the whole fitted "
        "pipeline, from its input to its predictions"
    )
