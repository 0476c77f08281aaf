"""Writes the same small network in every TensorFlow format, and refusals. Runs there."""

import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import keras
import tensorflow as tf

FOLDER = Path(sys.argv[1])


def main() -> None:
    keras.utils.set_random_seed(0)
    layers = [
        keras.Input((8, 8, 1), name="image"),
        keras.layers.Conv2D(4, 3, activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(3, activation="softmax"),
    ]
    net = keras.Sequential(layers)
    net.save(FOLDER / "net.keras")
    net.save(FOLDER / "net.h5")
    net.export(FOLDER / "saved", format="tf_saved_model", verbose=False)
    lite = tf.lite.TFLiteConverter.from_saved_model(str(FOLDER / "saved")).convert()
    (FOLDER / "net.tflite").write_bytes(lite)
    gelu = keras.layers.Dense(8, activation="gelu")
    keras.Sequential([keras.Input((4,)), gelu]).save(FOLDER / "gelu.keras")
    keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda x: x * 2)]).save(
        FOLDER / "lambda.keras"
    )
    first_version(FOLDER / "first")


def first_version(folder: Path) -> None:
    """A SavedModel as TensorFlow 1 wrote it: a graph with variables and no objects."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        rows = v1.placeholder(tf.float32, [None, 4], name="rows")
        weights = v1.get_variable("weights", initializer=tf.ones([4, 2]), use_resource=False)
        scores = tf.matmul(rows, weights, name="scores")
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(session, str(folder), {"rows": rows}, {"scores": scores})


main()
