"""Feast's feature services: what each model is given, stored features and those derived at the request.

The derived ones are an on-demand view over the same functions that the scorer and the training set use, in
list mode: Feast's `singleton` mode answers the first row of a request and silently leaves out the rest.
"""

import inspect
from types import FunctionType
from typing import Any, cast

import numpy as np
from feast import FeatureService, FeatureView, Field, OnDemandFeatureView, RequestSource
from feast.types import Float64, Int64
from numpy.typing import NDArray

from features.catalog import SERVICE
from features.vector import derived_features, event_features

AMOUNT, TIME = "amount_minor", "event_time"
COMPUTED = tuple(name for name in SERVICE.event + SERVICE.derived if name != AMOUNT)


def payment_context(inputs: dict[str, list[Any]]) -> dict[str, list[float]]:
    """Return the features that the payment itself completes, one number a row."""
    # Feast stores this source and runs it on its own, without the names of this module
    from feature_repo.services import completed

    return completed(inputs)


def completed(inputs: dict[str, list[Any]]) -> dict[str, list[float]]:
    """Return what `features.vector` derives from stored features and the payment; null is NaN.

    Args:
        inputs: lists of one length: the payment's `amount_minor` and `event_time`, the stored features of
            customer and terminal, and whatever else Feast hands over (keys of the rows).
    """
    amount = _floats(inputs[AMOUNT])
    stored = {name: _floats(inputs[name]) for name in SERVICE.customer + SERVICE.terminal}
    event = event_features(amount, np.array(inputs[TIME], np.int64))
    computed = event | derived_features(amount, stored)
    return {name: computed[name].tolist() for name in COMPUTED}


def services(views: dict[str, FeatureView]) -> tuple[OnDemandFeatureView, FeatureService]:
    """Return the on-demand view and the service of the model, over the given feature views."""
    payment = RequestSource(
        name="payment", schema=[Field(name=AMOUNT, dtype=Int64), Field(name=TIME, dtype=Int64)]
    )
    streamed = [view for view in views.values() if view.stream_source is not None]
    context = OnDemandFeatureView(
        name=payment_context.__name__,
        sources=[payment, *streamed],
        schema=[Field(name=name, dtype=Float64) for name in COMPUTED],
        mode="python",
        udf=cast(FunctionType, payment_context),
        udf_string=inspect.getsource(payment_context),
    )
    return context, FeatureService(name=SERVICE.name, features=[*views.values(), context])


def _floats(values: list[Any]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], np.float64)
