"""A small network on scikit-learn's handwritten digits, epoch by epoch, with charts, images and a table to compare."""

import argparse
import time

import matplotlib.pyplot as plt
import mlflow
import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.metrics import ConfusionMatrixDisplay, accuracy_score, log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

parser = argparse.ArgumentParser()
parser.add_argument("--learning-rate", type=float, required=True)
parser.add_argument("--hidden", type=int, required=True)
parser.add_argument("--solver", choices=("adam", "sgd"), default="adam")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=20)
arguments = parser.parse_args()
mlflow.log_params(vars(arguments))

digits = load_digits()
train_x, test_x, train_y, test_y = train_test_split(
    digits.data / 16, digits.target, test_size=0.25, random_state=0, stratify=digits.target
)
model = MLPClassifier(
    hidden_layer_sizes=(arguments.hidden,),
    learning_rate_init=arguments.learning_rate,
    solver=arguments.solver,
    batch_size=64,
    random_state=arguments.seed,
)
started = time.time()
for epoch in range(arguments.epochs):
    model.partial_fit(train_x, train_y, classes=np.arange(10))
    odds = model.predict_proba(test_x)
    mlflow.log_metrics(
        {
            "train/loss": log_loss(train_y, model.predict_proba(train_x)),
            "val/loss": log_loss(test_y, odds),
            "val/accuracy": accuracy_score(test_y, odds.argmax(axis=1)),
            "time/seconds": time.time() - started,
        },
        step=epoch,
    )
    if epoch % 5 == 0 or epoch == arguments.epochs - 1:
        weights = model.coefs_[0].T[:8].reshape(-1, 8, 8)
        tiled = np.block([list(weights[:4]), list(weights[4:])])
        scaled = (255 * (tiled - tiled.min()) / (np.ptp(tiled) or 1)).astype(np.uint8)
        mlflow.log_image(np.kron(scaled, np.ones((6, 6), np.uint8)), key="weights", step=epoch)

figure, axes = plt.subplots(figsize=(4, 4))
ConfusionMatrixDisplay.from_predictions(test_y, model.predict(test_x), ax=axes, colorbar=False)
mlflow.log_figure(figure, "confusion.png")
wrong = np.flatnonzero(model.predict(test_x) != test_y)
mlflow.log_table(
    pd.DataFrame({"digit": test_y[wrong], "taken for": model.predict(test_x)[wrong], "certainty": odds[wrong].max(1)}),
    "wrong.json",
)
print(f"accuracy {accuracy_score(test_y, model.predict(test_x)):.3f}")
