"""Trains a linear classifier on 1,797 handwritten digits and logs everything with plain MLflow."""

import argparse
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import mlflow
import numpy as np
import sklearn
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import ConfusionMatrixDisplay, log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--learning-rate", type=float, default=0.01)
    parser.add_argument("--report", type=Path, default=Path("outputs"))
    return parser.parse_args()


def main() -> None:
    chosen = arguments()
    images, labels = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(images, labels, test_size=0.25, random_state=0, stratify=labels)
    scaler = StandardScaler().fit(train_x)
    model = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=chosen.learning_rate, random_state=0)
    mlflow.log_params({"epochs": chosen.epochs, "learning_rate": chosen.learning_rate, "model": "SGDClassifier"})
    print(f"{len(train_x)} digits to learn from, {len(test_x)} to be tested on")

    for epoch in range(1, chosen.epochs + 1):
        order = np.random.default_rng(epoch).permutation(len(train_x))
        model.partial_fit(scaler.transform(train_x[order]), train_y[order], classes=np.unique(labels))
        scores = {
            "train_loss": log_loss(train_y, model.predict_proba(scaler.transform(train_x))),
            "test_loss": log_loss(test_y, model.predict_proba(scaler.transform(test_x))),
            "train_accuracy": model.score(scaler.transform(train_x), train_y),
            "test_accuracy": model.score(scaler.transform(test_x), test_y),
        }
        mlflow.log_metrics(scores, step=epoch)
        print(f"epoch {epoch:3d}: loss {scores['test_loss']:.4f}, accuracy {scores['test_accuracy']:.4f}")

    figure, axes = plt.subplots(figsize=(6, 6))
    ConfusionMatrixDisplay.from_predictions(test_y, model.predict(scaler.transform(test_x)), ax=axes, colorbar=False)
    axes.set_title("Digits: what was taken for what")
    mlflow.log_figure(figure, "confusion_matrix.png")
    requirements = [f"scikit-learn=={sklearn.__version__}", "skops", "pandas"]
    mlflow.sklearn.log_model(
        make_pipeline(scaler, model), name="model", input_example=test_x[:2], pip_requirements=requirements
    )
    chosen.report.mkdir(parents=True, exist_ok=True)
    (chosen.report / "report.txt").write_text(f"test accuracy {scores['test_accuracy']:.4f}\n")
    print(f"done: test accuracy {scores['test_accuracy']:.4f}")


if __name__ == "__main__":
    main()
