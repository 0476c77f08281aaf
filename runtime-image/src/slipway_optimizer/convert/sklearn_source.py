"""scikit-learn estimators by skops, joblib or pickle. Owner file of sklearn, skl2onnx and skops.

The estimator's one input is called ``X``: float32 [n, features], or text [n, 1] for a pipeline that
starts with a text vectoriser. What comes out is compared with the estimator's own predictions; a
difference is a failure.
"""

import copy
import importlib
import itertools
import pickle
import re
import sys
import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np

from slipway_optimizer.arrays import Array
from slipway_optimizer.convert import adapt, labels, tabular, tokens, unconvertible
from slipway_optimizer.convert.kinds import Kind, Sniffed
from slipway_optimizer.convert.order import Conversion, ConvertOrder
from slipway_optimizer.convert.tabular import INPUT, LABEL_OUTPUT, SCORES_OUTPUT
from slipway_optimizer.failures import Refused
from slipway_optimizer.session import Model

_OPSETS: Final = (17, 21)  # the second for converters that need newer operators (KNNImputer)
_ML_OPSET: Final = 3
_OF_THE_RUNTIME: Final = ("ModelNotLoadable", "ModelRunFailed")
# Plain data holders that skops does not list among its own; they run nothing when loaded.
_TRUSTED: Final = frozenset(
    {
        "numpy.dtype",  # SimpleImputer and OneHotEncoder keep theirs
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.neighbors._ball_tree.BallTree",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.tree._tree.Tree",
        "sklearn.utils._bunch.Bunch",  # of Stacking and Voting
        # Functions that score columns while fitting; predictions do not call them.
        *(
            f"sklearn.feature_selection._univariate_selection.{name}"
            for name in ("chi2", "f_classif", "f_regression")
        ),
    }
)
_TRUSTED_MODULES: Final = ("sklearn.metrics._dist_metrics.", "sklearn._loss.")


def convert(found: Sniffed, target: Path, order: ConvertOrder) -> Conversion:
    """Write the ONNX equivalent of an estimator.

    Raises:
        Refused: ``SourceCorrupt``, ``SourceUntrusted``, ``ConversionFailed``,
            ``ConversionDiffers``.
    """
    estimator = _load(found, order)
    return convert_estimator(estimator, target, order.dataset)


def convert_estimator(estimator: Any, target: Path, dataset: Path | None) -> Conversion:
    """The same for an estimator that is loaded.

    Raises:
        Refused: ``ConversionFailed``, ``ConversionDiffers``.
    """
    labels.whole(estimator)
    words = _vocabulary(estimator)
    features = getattr(estimator, "n_features_in_", None)
    if not hasattr(estimator, "predict") or (words is None and not isinstance(features, int)):
        silent = not hasattr(estimator, "predict")
        text = unconvertible.no_predictions(
            type(estimator).__name__,
            transforms=silent and hasattr(estimator, "transform"),
            labelled=silent and hasattr(estimator, "labels_"),
        )
        raise Refused("ConversionFailed", text)
    if words is not None:
        rows = tabular.text_rows(dataset, words)
        asked: Any = rows[:, 0].tolist()
    else:
        assert isinstance(features, int)
        asked = rows = tabular.numeric_rows(dataset, features)
    never = unconvertible.why_never(_names(estimator))
    if never is not None:
        raise Refused("ConversionFailed", never)
    try:
        _write(estimator, target, None if words is not None else features, (rows[:2], asked[:2]))
        answers = Model(target, threads=1).run_rows({INPUT: rows}, batch=64)
    except Refused as refusal:
        if refusal.reason not in ("ConversionFailed", *_OF_THE_RUNTIME):
            raise
        told = unconvertible.why(_names(estimator), made=refusal.reason in _OF_THE_RUNTIME)
        raise Refused("ConversionFailed", told or str(refusal)) from refusal
    return tabular.compare(estimator, asked, answers)


def _names(estimator: Any) -> list[str]:
    """Of the classes of it and of its parts."""
    return [type(part).__name__ for part in _parts(estimator)]


def _parts(estimator: Any) -> tuple[Any, ...]:
    return (estimator, *estimator.get_params(deep=True).values())


def _write(estimator: Any, target: Path, features: int | None, pair: tuple[Array, Any]) -> None:
    """With a row for each row; ``pair``: two rows as the model and as the estimator take them."""
    model = _to_onnx(estimator, features)
    adapt.portable_text(model)
    if hasattr(estimator, "classes_"):
        rank = np.ndim(estimator.predict(pair[1]))
        if rank > 1:  # several labels a row
            adapt.declare_rank(model, LABEL_OUTPUT, rank)
        if isinstance(estimator.classes_, list):  # then the scores lie label by label
            adapt.drop_output(model, SCORES_OUTPUT)
    target.write_bytes(model.SerializeToString())
    name, made = next(iter(Model(target, threads=1).run({INPUT: pair[0]}).items()))
    expected = np.shape(estimator.predict(pair[1]))
    wanted = len(expected) > 1 or name == LABEL_OUTPUT  # a regressor's [rows, 1] is usual
    if wanted and made.shape != expected and made.size == np.prod(expected):
        adapt.reshape_output(model, name, expected[1:])
        target.write_bytes(model.SerializeToString())


def _vocabulary(estimator: Any) -> list[str] | None:
    """Words of the text vectoriser that a pipeline starts with; ``None`` without one."""
    steps = getattr(estimator, "steps", None)
    first = steps[0][1] if steps else estimator
    words = getattr(first, "vocabulary_", None)
    return None if words is None else list(words)


def _load(found: Sniffed, order: ConvertOrder) -> Any:
    if found.kind in (Kind.PICKLE, Kind.JOBLIB):
        return unpickle(found)
    import skops.io as sio

    try:
        listed = sio.get_untrusted_types(file=found.path)
        unknown = [name for name in sorted(listed) if not _is_trusted(name)]
        if not unknown or order.allow_pickle:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # another sklearn version: the comparison judges
                return sio.load(found.path, trusted=listed)
    except Exception as error:  # skops raises what its parsers happen to raise
        raise Refused(
            "SourceCorrupt", "the model file is not readable as skops: write it with skops.io.dump"
        ) from error
    raise Refused(
        "SourceUntrusted",
        f"the skops file holds types that may run code when loaded ({', '.join(unknown)[:200]}): "
        "use scikit-learn's own estimators, or set spec.model.allowPickle if you trust the file",
    )


def _is_trusted(name: str) -> bool:
    return name in _TRUSTED or name.startswith(_TRUSTED_MODULES)


def unpickle(found: Sniffed) -> Any:
    """Load a pickle, which runs what it says: only after ``allowPickle``, in the sandbox.

    Raises:
        Refused: ``SourceCorrupt``.
    """
    import joblib

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # another version: the comparison judges
            if found.kind is Kind.JOBLIB:
                return joblib.load(found.path)
            with found.path.open("rb") as file:
                return pickle.load(file)  # noqa: S301 - the user allowed it; no network, no keys
    except Exception as error:  # a pickle raises anything
        text = str(error).partition("\n")[0][:160]
        raise Refused(
            "SourceCorrupt",
            f"the pickle cannot be opened here ({type(error).__name__}: {text}): save it with "
            "skops.io.dump, or with the versions of scikit-learn and its own packages of the image",
        ) from error


def _to_onnx(estimator: Any, features: int | None) -> Any:
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    _register_boosters()
    _register_histograms()
    _register_linear()
    kind = StringTensorType([None, 1]) if features is None else FloatTensorType([None, features])
    for part in (estimator, *(step for _, step in getattr(estimator, "steps", ()))):
        if hasattr(part, "flatten_transform"):  # VotingClassifier's: predictions never ask for it
            part.flatten_transform = False
    told: dict[int, dict[str, Any]] = dict(tokens.options_of(_parts(estimator)))
    plain = told | {id(estimator): {"zipmap": False}} if hasattr(estimator, "classes_") else None
    failure: Exception | None = None
    # Some converters have no such option, and say so only when they are given it.
    for opset, options in itertools.product(_OPSETS, (plain, told) if plain else (told,)):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return to_onnx(
                    estimator,
                    initial_types=[(INPUT, kind)],
                    options=options or None,
                    target_opset={"": opset, "ai.onnx.ml": _ML_OPSET},
                )
        except Exception as error:  # noqa: BLE001 - converters raise anything
            failure = error
    raise Refused(
        "ConversionFailed",
        f"skl2onnx cannot convert {type(estimator).__name__}: {_said(failure)}; export it to ONNX "
        "yourself, or choose another estimator",
    ) from failure


def _said(failure: Exception | None) -> str:
    """By a converter; one that is missing names the class, in a page of text."""
    words = (str(failure).strip().splitlines() or [""])[0]
    missing = re.match(r"Unable to find a .* for type '<class '[\w.]*?(\w+)'>'", words)
    return words[:200] if missing is None else f"it has no converter for {missing.group(1)}"


class _Lists:
    """A converter's container that takes arrays and booleans, which onnx's attributes do not."""

    def __init__(self, container: Any) -> None:
        self._container = container

    def add_node(self, *words: Any, **attributes: Any) -> Any:
        plain = {name: _plain(value) for name, value in attributes.items()}
        return self._container.add_node(*words, **plain)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(each) for each in value]
    single = value.item() if isinstance(value, np.generic) else value
    return int(single) if isinstance(single, bool) else single


def _with_lists(theirs: Any) -> Any:
    def ours(scope: Any, operator: Any, container: Any) -> None:
        theirs(scope, operator, _Lists(container))

    return ours


def _register_histograms() -> None:
    """HistGradientBoosting: skl2onnx 1.20 gives onnx attributes of types that it refuses."""
    from skl2onnx import update_registered_converter
    from skl2onnx.common._registration import get_converter, get_shape_calculator
    from sklearn import ensemble

    for kind in ("Classifier", "Regressor"):
        alias = f"SklearnHistGradientBoosting{kind}"
        update_registered_converter(
            getattr(ensemble, f"HistGradientBoosting{kind}"),
            f"Slipway{alias}",
            get_shape_calculator(alias),
            _with_lists(get_converter(alias)),
            options={
                "zipmap": [True, False, "columns"],
                "raw_scores": [True, False],
                "output_class_labels": [False, True],
                "nocl": [True, False],
            }
            if kind == "Classifier"
            else None,
        )


def _register_linear() -> None:
    """A pipeline hands ZipMap's option down, which LinearSVC's converter does not know."""
    from skl2onnx import update_registered_converter
    from skl2onnx.common._registration import get_converter, get_shape_calculator
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.svm import LinearSVC

    for kind, alias, wrapped in (
        (LinearSVC, "SklearnLinearSVC", _with_lists),
        (LinearDiscriminantAnalysis, "SklearnLinearClassifier", _with_halves),
    ):
        update_registered_converter(
            kind,
            f"Slipway{kind.__name__}",
            get_shape_calculator(alias),
            wrapped(get_converter(alias)),
            options={
                "zipmap": [True, False, "columns"],
                "nocl": [True, False],
                "output_class_labels": [False, True],
                "raw_scores": [True, False],
            },
        )


def _with_halves(theirs: Any) -> Any:
    """Two classes are answered by the softmax of -d and d, which is the logistic of 2 d, not d."""

    def ours(scope: Any, operator: Any, container: Any) -> None:
        fitted = operator.raw_operator
        if len(fitted.classes_) == 2:
            operator.raw_operator = copy.copy(fitted)
            operator.raw_operator.coef_ = fitted.coef_ / 2
            operator.raw_operator.intercept_ = fitted.intercept_ / 2
        theirs(scope, operator, container)
        operator.raw_operator = fitted

    return ours


def _register_boosters() -> None:
    """Let XGBoost's and LightGBM's estimators be the end of a pipeline.

    Who loaded a pipeline with one of them has imported its library; nobody else needs it.
    """
    from skl2onnx import update_registered_converter
    from skl2onnx.common import shape_calculator as shapes

    pairs = (
        ("xgboost", "XGB", "onnxmltools.convert.xgboost.operator_converters.XGBoost",
         "convert_xgboost"),
        ("lightgbm", "LGBM", "onnxmltools.convert.lightgbm.operator_converters.LightGbm",
         "convert_lightgbm"),
    )  # fmt: skip
    for package, prefix, module, function in pairs:
        library = sys.modules.get(package)
        if library is not None:
            converter = getattr(importlib.import_module(module), function)
            update_registered_converter(
                getattr(library, f"{prefix}Classifier"),
                f"Slipway{prefix}Classifier",
                shapes.calculate_linear_classifier_output_shapes,
                converter,
                options={"zipmap": [True, False, "columns"], "nocl": [True, False]},
            )
            update_registered_converter(
                getattr(library, f"{prefix}Regressor"),
                f"Slipway{prefix}Regressor",
                shapes.calculate_linear_regressor_output_shapes,
                converter,
            )
