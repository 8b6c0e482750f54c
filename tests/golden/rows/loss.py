"""Losses."""
import torch
import torch.nn.functional as F

from rows.attrs import flag, number, text, whole


def reduce(loss, a):
    return {"mean": loss.mean, "sum": loss.sum, "none": lambda: loss}[text(a, "reduction")]()


def reduction(a):
    return {"reduction": text(a, "reduction")}


def cross_entropy(x, a, weight=None):
    options = {"ignore_index": whole(a, "ignore_index", -100)} if not x[1].is_floating_point() else {}
    return F.cross_entropy(x[0], x[1], weight, label_smoothing=number(a, "label_smoothing"), **options, **reduction(a))


def linear_cross_entropy(x, a):
    return [cross_entropy([F.linear(x[0], x[1], x[2]), x[3]], a), None, None, None]


def fixed(t):
    """Weights and targets that PyTorch gives no gradient."""
    return t.detach() if t is not None else None


def focal_loss(x, a):
    p, ce = torch.sigmoid(x[0]), F.binary_cross_entropy_with_logits(x[0], x[1], reduction="none")
    loss = ce * (p + x[1] - 2 * p * x[1]) ** number(a, "gamma", 2)
    alpha = number(a, "alpha", 0.25)
    return reduce(loss * (alpha * x[1] + (1 - alpha) * (1 - x[1])) if alpha >= 0 else loss, a)


def dice_loss(x, a):
    p, t, smooth = x[0].flatten(1), x[1].flatten(1), number(a, "smooth", 1)
    return reduce(1 - (2 * (p * t).sum(1) + smooth) / (p.sum(1) + t.sum(1) + smooth), a)


def ctc_loss(x, a):
    """PyTorch's gradient is that of logits before a log_softmax, not of the log-probabilities: only values are compared."""
    return F.ctc_loss(x[0].detach(), x[1], x[2], x[3], blank=whole(a, "blank"), zero_infinity=flag(a, "zero_infinity"), **reduction(a))


ROWS = {
    "ctc_loss": ctc_loss,
    "cross_entropy": lambda x, a: [cross_entropy(x, a), None],
    "linear_cross_entropy": linear_cross_entropy,
    "cross_entropy_weighted": lambda x, a: cross_entropy(x, a, fixed(x[2])),
    "cross_entropy_probabilities": lambda x, a: cross_entropy(x, a, fixed(x[2])),
    "nll_loss": lambda x, a: F.nll_loss(x[0], x[1], fixed(x[2]), ignore_index=whole(a, "ignore_index", -100), **reduction(a)),
    "mse_loss": lambda x, a: F.mse_loss(x[0], x[1], **reduction(a)),
    "l1_loss": lambda x, a: F.l1_loss(x[0], x[1], **reduction(a)),
    "huber_loss": lambda x, a: F.huber_loss(x[0], x[1], delta=number(a, "delta", 1), **reduction(a)),
    "smooth_l1_loss": lambda x, a: F.smooth_l1_loss(x[0], x[1], beta=number(a, "beta", 1), **reduction(a)),
    "kl_div": lambda x, a: F.kl_div(x[0], x[1], log_target=flag(a, "log_target"), **reduction(a)),
    "poisson_nll_loss": lambda x, a: F.poisson_nll_loss(x[0], x[1], log_input=not flag(a, "rate_given"), full=flag(a, "full"),
                                                        eps=number(a, "eps", 1e-8), **reduction(a)),
    "gaussian_nll_loss": lambda x, a: F.gaussian_nll_loss(x[0], x[1], x[2], full=flag(a, "full"), eps=number(a, "eps", 1e-6), **reduction(a)),
    "binary_cross_entropy": lambda x, a: F.binary_cross_entropy(x[0], x[1], fixed(x[2]), **reduction(a)),
    "bce_with_logits": lambda x, a: F.binary_cross_entropy_with_logits(x[0], x[1], fixed(x[2]), pos_weight=fixed(x[3]), **reduction(a)),
    "multilabel_soft_margin_loss": lambda x, a: F.multilabel_soft_margin_loss(x[0], x[1], fixed(x[2]), **reduction(a)),
    "focal_loss": focal_loss,
    "dice_loss": dice_loss,
    "hinge_embedding_loss": lambda x, a: F.hinge_embedding_loss(x[0], fixed(x[1]), margin=number(a, "margin", 1), **reduction(a)),
    "margin_ranking_loss": lambda x, a: F.margin_ranking_loss(x[0], x[1], fixed(x[2]), margin=number(a, "margin"), **reduction(a)),
    "soft_margin_loss": lambda x, a: F.soft_margin_loss(x[0], fixed(x[1]), **reduction(a)),
    "cosine_embedding_loss": lambda x, a: F.cosine_embedding_loss(x[0], x[1], fixed(x[2]), margin=number(a, "margin"), **reduction(a)),
    "triplet_margin_loss": lambda x, a: F.triplet_margin_loss(x[0], x[1], x[2], margin=number(a, "margin", 1), p=number(a, "p", 2),
                                                              eps=number(a, "eps", 1e-6), swap=flag(a, "swap"), **reduction(a)),
    "multi_margin_loss": lambda x, a: F.multi_margin_loss(x[0], x[1], p=whole(a, "p", 1), margin=number(a, "margin", 1),
                                                          weight=fixed(x[2]), **reduction(a)),
    "multilabel_margin_loss": lambda x, a: F.multilabel_margin_loss(x[0], x[1], **reduction(a)),
}
