"""Estimators that misbehave, by import path."""

import time

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.tree import DecisionTreeClassifier


class Failing(ClassifierMixin, BaseEstimator):
    def fit(self, x, y):
        raise RuntimeError("this estimator\nalways fails")

    def predict(self, x):
        return x


class Hungry(Failing):
    def fit(self, x, y):
        raise MemoryError


class NotANumber(DummyClassifier):
    def predict_proba(self, x):
        return np.full((len(x), 2), np.nan)


class NotANumberOnMany(DecisionTreeClassifier):
    def fit(self, x, y):
        self.many_ = len(x) > 200
        return super().fit(x, y)

    def predict_proba(self, x):
        return super().predict_proba(x) * (np.nan if self.many_ else 1.0)


class FailsOnMany(DecisionTreeClassifier):
    def fit(self, x, y):
        if len(x) > 200:
            raise RuntimeError("too many rows")
        return super().fit(x, y)


class Slow(DecisionTreeClassifier):
    def __init__(self, seconds=0.1):
        super().__init__(max_depth=2)
        self.seconds = seconds

    def fit(self, x, y):
        time.sleep(self.seconds)
        return super().fit(x, y)


class Swelling(DecisionTreeClassifier):
    def __init__(self, mb=100):
        super().__init__(max_depth=2)
        self.mb = mb

    def fit(self, x, y):
        block = np.ones(self.mb * 1_000_000 // 8)
        time.sleep(0.1)
        del block
        return super().fit(x, y)
