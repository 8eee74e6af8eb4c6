"""Whether more of a metric is better, guessed from its name where nobody said."""

import re

_LOW_WORDS = """
    loss losses error err mae mse rmse rmsle mape smape msle rmspe perplexity ppl nll logloss crossentropy brier
    divergence kl kld distance deviance regret latency duration time seconds ms wer cer ter fid fpr fnr far eer ece
    hinge huber residual residuals std stddev memory violation violations penalty cost bpc bpb gap norm drift
    staleness misses timeouts failures epe aic bic
"""
_HIGH_WORDS = """
    accuracy acc auc auroc auprc ap map precision recall f1 f2 fbeta fscore score r2 iou miou jaccard dice bleu rouge
    meteor ndcg mrr hit hits reward return returns throughput speed correlation corr pearson spearman kappa mcc
    sensitivity specificity tpr tnr psnr ssim likelihood elbo gain coverage purity silhouette success wins explained
    similarity quality utilization efficiency cider spice
"""
_LOWER, _HIGHER = frozenset(_LOW_WORDS.split()), frozenset(_HIGH_WORDS.split())
_NEGATED = frozenset({"neg", "negative", "minus"})
_WORDS = re.compile(r"[A-Z]+(?![a-z])\d*|[A-Z]?[a-z]+\d*|\d+")


def is_higher_better(name: str) -> bool:
    """By the last telling word: `val/loss` is better low, `f1_macro` high; high where nothing tells.

    What follows "per" is a unit (`images_per_second`), and "neg" turns the rest round (`neg_mean_squared_error`).
    """
    words = [word.lower() for word in _WORDS.findall(name)]
    told = words[: words.index("per")] if "per" in words[1:] else words
    is_negated = not _NEGATED.isdisjoint(told)
    for word in reversed(told):
        if {word, word.rstrip("0123456789")} & _HIGHER:
            return not is_negated
        if {word, word.rstrip("0123456789")} & _LOWER:
            return is_negated
    return True
